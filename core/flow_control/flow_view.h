// Looking at the rules of flow control without trusting what stands in shared memory.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/job.h>
#include <ringmill/status.h>

#include "ipc/segment.h"

namespace ringmill {

/// The rule of one kind; nothing: it is as others.
std::optional<KindStatus> view_kind_rule(const Segment& segment, std::uint32_t kind);

/// How many jobs of the kinds that have a rule wait and run; filled during a pass over the table.
class KindCounts {
 public:
  explicit KindCounts(const Segment& segment);
  /// True: it waits, and its kind is paused.
  bool count(std::uint32_t kind, JobState state, bool is_parked) noexcept;
  std::vector<KindStatus> take() &&;

 private:
  std::vector<KindStatus> kinds_;
  std::array<std::uint16_t, most_kinds> place_{};  // in kinds_, plus 1
};

/// A sentence for each invariant that is broken: rules within their bounds, the signs up that stand for them, a row for
/// each concurrency limit and none for two kinds, no job in two permits.
std::vector<std::string> check_flow_rules(const Segment& segment);

}  // namespace ringmill
