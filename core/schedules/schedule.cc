#include "core/schedules/schedule.h"

#include <fmt/format.h>

#include <array>

namespace ringmill {

namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::array<std::string_view, 3> missed_names{"once", "skip", "all"};

std::optional<TickTime> next_of(const CronTimes& times, TickTime after) {
  const auto found = times.cron.next_after(after, times.zone);
  if (!found) return std::nullopt;
  return std::chrono::floor<milliseconds>(*found);
}

std::optional<TickTime> next_of(const EveryTimes& times, TickTime created_at, TickTime after) {
  const milliseconds passed = std::max(after - created_at, milliseconds(0));
  return created_at + (passed / times.interval + 1) * times.interval;
}

/// The last tick up to `now`; `first` is one as well. By halving, since there may be millions in between.
TickTime last_tick_until(const Schedule& schedule, TickTime first, TickTime now) {
  // The tick after `low` has come; the one after `high` has not.
  TickTime low = first - milliseconds(1);
  TickTime high = now;
  while (high - low > milliseconds(1)) {
    const TickTime middle = low + (high - low) / 2;
    const auto tick = next_tick(schedule, middle);
    (tick && *tick <= now ? low : high) = middle;
  }
  return next_tick(schedule, low).value_or(first);
}

}  // namespace

std::string_view name_of(MissedTicks missed) noexcept { return missed_names[static_cast<std::size_t>(missed)]; }

std::optional<MissedTicks> missed_ticks_of(std::string_view name) noexcept {
  for (std::size_t n = 0; n < missed_names.size(); ++n) {
    if (missed_names[n] == name) return static_cast<MissedTicks>(n);
  }
  return std::nullopt;
}

std::optional<TickTime> next_tick(const Schedule& schedule, TickTime after) {
  if (const auto* cron = std::get_if<CronTimes>(&schedule.times)) return next_of(*cron, after);
  if (const auto* every = std::get_if<EveryTimes>(&schedule.times)) return next_of(*every, schedule.created_at, after);
  return std::nullopt;
}

bool lies_ahead(const Schedule& schedule, TickTime now) noexcept { return schedule.done_until() - tick_grace > now; }

std::optional<TickTime> coming_tick(const Schedule& schedule, TickTime now) {
  if (schedule.paused) return std::nullopt;
  const auto due = due_ticks(schedule, now);
  return due.empty() ? next_tick(schedule, std::max(now, schedule.done_until())) : due.front();
}

std::vector<TickTime> due_ticks(const Schedule& schedule, TickTime now) {
  if (schedule.paused) return {};
  TickTime done = schedule.done_until();
  if (schedule.missed == MissedTicks::skip) done = std::max(done, now - tick_grace - milliseconds(1));
  auto tick = next_tick(schedule, done);
  if (!tick || *tick > now) return {};
  if (schedule.missed != MissedTicks::all) return {last_tick_until(schedule, *tick, now)};
  std::vector<TickTime> ticks;
  for (; tick && *tick <= now && ticks.size() < most_ticks_at_once; tick = next_tick(schedule, *tick)) {
    ticks.push_back(*tick);
  }
  return ticks;
}

std::string unique_key_of(std::string_view schedule, TickTime tick) {
  return fmt::format("schedule:{}:{}", schedule, tick.time_since_epoch().count());
}

}  // namespace ringmill
