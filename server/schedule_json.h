// A schedule as JSON, and what is to be expected of it: the same in every command and answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/schedules/schedule.h"
#include "ipc/segment.h"

namespace ringmill {

/// What comes of schedules from this moment on: a next tick only if one will come.
class ScheduleOutlook {
 public:
  /// Without a segment, it is not checked whether dynamic levels are there. Keeps the pointer.
  explicit ScheduleOutlook(const Segment* segment);

  std::optional<TickTime> next_tick(const Schedule& schedule) const;
  /// Returns why no tick comes, or only much later; empty if the schedule works.
  std::string trouble(const Schedule& schedule) const;

 private:
  bool lacks_level(const Schedule& schedule) const;

  TickTime now_;
  const Segment* segment_;
};

/// "30 2 * * 1-5 Europe/Berlin", "every 30s".
std::string times_text(const TickTimes& times);

/// The keys of `schedule list --json`. `with_payload`: also the payload, which only find() and list() of a book read.
nlohmann::ordered_json schedule_json(const Schedule& schedule, const ScheduleOutlook& outlook,
                                     bool with_payload = true);

}  // namespace ringmill
