// A recurring job: what is enqueued, when, and what becomes of ticks that passed without a keeper.
//
// A tick is a time at which the job is to be enqueued. Ticks are wall-clock time. A jump forward makes the ticks in
// between missed ones, as if the engine had had no keeper. A jump back brings no tick again: until the clock is where
// it was, there are none; ScheduleBook::resume() begins anew before that (hazard 16 in docs/hazards.md).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/schedules.h>

#include "core/schedules/cron.h"
#include "core/schedules/zone.h"

namespace ringmill {

/// To the millisecond, as it is stored.
using TickTime = std::chrono::sys_time<std::chrono::milliseconds>;

/// By a cron expression on the clocks of a zone.
struct CronTimes {
  Cron cron;
  Zone zone;
};

/// At fixed intervals of real time: tick k is at created_at + k * interval, k from 1.
struct EveryTimes {
  static constexpr std::chrono::milliseconds least = std::chrono::milliseconds(100);
  static constexpr std::chrono::milliseconds most = std::chrono::days(3650);
  std::chrono::milliseconds interval;
};

/// A stored schedule that this process cannot read: its tzdata is older than where the schedule was added, or its
/// ringmill is. It has no ticks; `reason` says why.
struct BrokenTimes {
  std::string cron;
  std::string zone;
  std::string reason;
};

using TickTimes = std::variant<CronTimes, EveryTimes, BrokenTimes>;

/// What its jobs ask for, beside kind, level and payload.
struct TickJob {
  std::chrono::milliseconds lease{0};
  std::uint16_t max_attempts = default_max_attempts;
  std::string backoff{};  // as Engine::retry_policy() takes it; empty: the default
  std::chrono::milliseconds expires{0};
  /// A tick is passed over while the job of the one before is not over.
  bool no_overlap = false;
  std::string tag{};  // as JobRequest::tag

  bool operator==(const TickJob&) const = default;
};

struct Schedule {
  std::string name;  // as of is_valid_name()
  TickTimes times;
  std::string kind{};
  std::string level{};
  std::string payload{};
  TickJob job{};
  MissedTicks missed = MissedTicks::once;
  bool paused = false;
  TickTime created_at{};
  /// Ticks up to here are not asked for any more: created_at, or when it was resumed.
  TickTime begins_after{};
  /// The last one that was enqueued.
  std::optional<TickTime> last_tick{};
  /// The last one that became a job, if it has a TickJob.
  std::optional<TickTime> last_job{};

  /// Why its ticks could not be enqueued, since when; empty: the last ones could.
  std::string last_error{};
  std::optional<TickTime> failing_since{};

  /// Ticks up to here are over.
  TickTime done_until() const noexcept { return last_tick ? std::max(*last_tick, begins_after) : begins_after; }
};

/// A tick that is older is missed, by MissedTicks::skip.
inline constexpr std::chrono::milliseconds tick_grace = std::chrono::seconds(1);
inline constexpr std::size_t most_ticks_at_once = 1000;

/// The first tick after a time, whether paused or not. Nothing: there are no more.
std::optional<TickTime> next_tick(const Schedule& schedule, TickTime after);

/// Its clock was set back: it has no ticks until the clock is where it was, unless it is resumed.
bool lies_ahead(const Schedule& schedule, TickTime now) noexcept;

/// The tick that comes next: the first one that is due already, or the first one to come. Nothing: none comes, because
/// it is paused, not understood, or at the end of its times.
std::optional<TickTime> coming_tick(const Schedule& schedule, TickTime now);

/// The ticks up to `now` that are to be enqueued, in order, by the policy for missed ones. None while it is paused.
std::vector<TickTime> due_ticks(const Schedule& schedule, TickTime now);

/// Returns the unique key under which a tick is enqueued: one job, however many keepers enqueue it, and however often.
std::string unique_key_of(std::string_view schedule, TickTime tick);

}  // namespace ringmill
