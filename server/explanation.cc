#include "server/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/durations.h"
#include "core/base/shown_text.h"
#include "core/flow_control/flow_view.h"
#include "core/instance/keeper_stand.h"
#include "core/levels/level_names.h"
#include "core/table/job_table.h"
#include "core/table/parents.h"
#include "core/table/serial.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/spill_state.h"
#include "server/job_json.h"
#include "server/room_text.h"

namespace ringmill {

namespace {

/// Returns how many jobs are before this one in its level's ring, or nothing if it has no place there.
std::optional<std::uint64_t> jobs_before(const Segment& segment, const JobView& job) {
  if (!segment.has_level(job.level_number)) return std::nullopt;
  const JobTable table(segment);
  const Ring ring = segment.ring(job.level_number);
  const std::uint64_t own = JobTable::hint_of(job.info.id);
  std::uint64_t before = 0;
  std::uint64_t position = ring.head();
  for (std::uint64_t step = 0; step < ring.slot_count(); ++step, ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) break;
    const std::uint64_t hint = Ring::hint_of(word);
    if (hint == own) return before;
    if (table.is_live(hint)) ++before;
  }
  return std::nullopt;
}

/// Returns whether the entry's thread claims jobs of this kind and level. The registry has a bit for 64 kinds, and for
/// 64 levels: `is_sure` is false where another kind or level may have set it.
struct Takes {
  bool yes = false;
  bool is_sure = true;
};
Takes takes(const Segment& segment, const ParticipantEntry& entry, const JobView& job) {
  const auto bit = [](std::uint32_t number) { return std::uint64_t{1} << (number % 64); };
  const bool any_kind = entry.interest_any_kind.load() != 0;
  const bool yes = (entry.interest_levels.load() & bit(job.level_number)) != 0 &&
                   (any_kind || (entry.interest_kinds.load() & bit(job.kind_number)) != 0);
  const bool shares_kind_bit = job.kind_number >= 64 || segment.kinds().name_of(job.kind_number + 64).has_value();
  return {yes, levels_in_use(segment).back() < 64 && (any_kind || !shares_kind_bit)};
}

struct Workers {
  std::uint32_t count = 0;
  bool is_sure = true;
};
Workers workers_for(const EngineView& view, const JobView& job) {
  Workers workers;
  for_each_entry_in_use(view.segment(), [&](std::uint32_t n, ParticipantState state) {
    if (state != ParticipantState::alive || !view.is_alive(n).value_or(false)) return;
    const Takes taken = takes(view.segment(), view.segment().participant(n), job);
    if (!taken.yes) return;
    ++workers.count;
    workers.is_sure = workers.is_sure && taken.is_sure;
  });
  return workers;
}

bool is_kept(const EngineView& view) {
  const auto keeper = number_of_keeper(view.segment());
  return keeper && view.is_alive(*keeper).value_or(false);
}

std::string without_keeper(const EngineView& view, std::string_view what) {
  if (!is_kept(view)) {
    return fmt::format("; no keeper lives to {}: the next process that opens the engine keeps", what);
  }
  const std::string trouble = keeper_trouble(view.segment());
  return trouble.empty() ? "" : fmt::format("; the keeper, which has to {}, cannot: {}", what, trouble);
}

/// Counts how many of them wait and run, in a pass over the table.
std::optional<KindStatus> counts_of(const EngineView& view, const std::string& kind) {
  for (const KindStatus& status : view.status().kinds) {
    if (status.name == kind) return status;
  }
  return std::nullopt;
}

/// "1 other", "2 others".
std::string others(std::uint64_t count) { return fmt::format("{} other{}", count, count == 1 ? "" : "s"); }

std::string of_attempts(const JobInfo& info) {
  return info.max_attempts == 0 ? std::to_string(info.attempts)
                                : fmt::format("{} of {}", info.attempts, info.max_attempts);
}

/// Returns the rules that keep a job from beginning; empty if none does.
std::string explain_rules(const EngineView& view, const JobView& job) {
  const std::uint64_t since_ns = view.segment().level(job.level_number).paused_since_ns.load();
  const bool is_parked = job.parked != WaitMark::Reason::none;
  if (since_ns != 0 && !is_parked) {
    return fmt::format("is paused: level {} is, since {}", job.info.level, time_text(wall_time(since_ns)));
  }
  const auto rule = job.kind_number < most_kinds ? view_kind_rule(view.segment(), job.kind_number) : std::nullopt;
  if (rule && rule->paused) {
    return fmt::format("is paused: kind {} is, since {}", job.info.kind, time_text(rule->paused_since));
  }
  if (!is_parked) return "";
  if (rule && job.parked == WaitMark::Reason::rate && rule->limits.rate.count != 0) {
    const KindStatus counted = counts_of(view, rule->name).value_or(*rule);
    return fmt::format("is limited: {} of kind {} may begin in {}, and {} wait for their turn{}",
                       rule->limits.rate.count, job.info.kind, format_duration(rule->limits.rate.period),
                       counted.waiting, without_keeper(view, "bring it back"));
  }
  if (rule && rule->limits.concurrency != 0 && job.parked != WaitMark::Reason::paused) {
    const KindStatus counted = counts_of(view, rule->name).value_or(*rule);
    return fmt::format("is limited: {} of kind {} may run at a time, {} do, and {} wait{}", rule->limits.concurrency,
                       job.info.kind, counted.running, counted.waiting, without_keeper(view, "bring it back"));
  }
  return "was held back by a rule of its kind that holds no more: the keeper brings it back" +
         without_keeper(view, "do it");
}

/// A ring has few places; a producer that finds it full leaves its job to the keeper's overflow queue.
bool waits_with_keeper(const Segment& segment, const JobView& job) {
  return segment.has_level(job.level_number) && !SpillState::is_direct(segment.level(job.level_number).overflow.load());
}

std::string explain_queued(const EngineView& view, const JobView& job) {
  if (const std::string held = explain_rules(view, job); !held.empty()) return "is queued, and " + held;
  const auto before = jobs_before(view.segment(), job);
  const std::string place =
      !before && waits_with_keeper(view.segment(), job)
          ? "waiting with the keeper for a place in its level's ring" + without_keeper(view, "give it one")
      : !before      ? "without a place in its level's ring yet" + without_keeper(view, "give it one")
      : *before == 0 ? "first in its level"
                     : "behind " + others(*before) + " in its level";
  const Workers workers = workers_for(view, job);
  if (workers.count == 0) {
    return fmt::format("is queued, and no live worker takes kind {} at level {}; it is {}", job.info.kind,
                       job.info.level, place);
  }
  return fmt::format("is queued at level {}, {}; {} live worker thread{} {} its kind and level", job.info.level, place,
                     workers.count, workers.count == 1 ? "" : "s",
                     !workers.is_sure     ? "may take"
                     : workers.count == 1 ? "takes"
                                          : "take");
}

/// Its handler followed up, and was refused (WaitMark::Reason::no_room).
std::string explain_put_off(const EngineView& view, const JobView& job) {
  return fmt::format("is put off until {}: its last run found no room for a follow-up, and counts no attempt; {}{}",
                     time_text(job.info.due_at), bounds_at(view.segment(), job.level_number),
                     without_keeper(view, "begin it"));
}

std::string explain_delayed(const EngineView& view, const JobInfo& info) {
  const std::string failures =
      info.attempts == 0 ? ""
                         : fmt::format("; {} attempts failed{}", of_attempts(info),
                                       info.last_error.empty() ? "" : ", the last: " + shown(info.last_error));
  return fmt::format("is delayed until {}{}{}", time_text(info.due_at), failures, without_keeper(view, "begin it"));
}

bool has_serial_key(const Segment& segment, JobId id) {
  const auto look = segment.look();
  const JobTable table(segment);
  return table.stands(id) && serial_place_of(table, index_of(id)).has_value() && table.stands(id);
}

std::string explain_blocked(const EngineView& view, const JobInfo& info) {
  constexpr std::size_t most_named = 3;
  std::vector<std::string> waits_for;
  std::size_t more = 0;
  const auto parents = parents_of(JobTable(view.segment()), Arena(view.segment()), info.id);
  for (const JobId parent : parents.value_or(std::vector<JobId>())) {
    const auto there = find_job(view.segment(), parent);
    if (!there || is_over(there->state)) continue;
    if (waits_for.size() == most_named) {
      ++more;
    } else {
      waits_for.push_back(fmt::format("{} ({})", parent.to_string(), name_of(there->state)));
    }
  }
  if (waits_for.empty() && has_serial_key(view.segment(), info.id)) {
    const std::string when = info.due_at.time_since_epoch().count() == 0 ? "" : ", or for " + time_text(info.due_at);
    return fmt::format("waits for its turn among the jobs of its serial key{}{}", when,
                       without_keeper(view, "begin it"));
  }
  if (waits_for.empty()) return "is blocked, and all that it waits for is over: it goes on at this moment";
  return fmt::format("is blocked by {}{}{}", fmt::join(waits_for, ", "),
                     more == 0 ? "" : fmt::format(" and {} more", more), without_keeper(view, "release it"));
}

std::string explain_running(const EngineView& view, const JobView& job) {
  const JobInfo& info = job.info;
  if (info.worker < 0) return "ends at this moment";
  const auto worker = static_cast<std::uint32_t>(info.worker);
  const auto process = view.segment().participant(worker).process_id.load();
  const std::string holder = fmt::format("participant {} (process {})", worker, process);
  if (!view.is_alive(worker).value_or(false)) {
    return "was held by " + holder + ", which died: the keeper hands it on" + without_keeper(view, "do it");
  }
  if (job.word.state() == CellState::completing) return "ends at this moment, on " + holder;
  if (info.started_at.time_since_epoch().count() == 0) return "was taken in advance by " + holder + ", which is busy";
  const std::string progress =
      has_progress(info) ? fmt::format("; it is at {} {}", info.progress, shown(info.progress_text)) : "";
  return fmt::format("runs on {} since {}, attempt {}{}", holder, time_text(info.started_at), of_attempts(info),
                     progress);
}

/// Completed or cancelled, and kept.
std::string explain_kept(const EngineView& view, const JobView& job) {
  const auto look = view.segment().look();
  const JobTable table(view.segment());
  if (!table.stands(job.info.id)) return {};
  const DueTime until = DueTime::of(table.header(index_of(job.info.id)).due_at.load());
  const std::uint64_t left_ns = until.ns - std::min(until.ns, lease_clock_ns());
  const auto until_wall = wall_time(until.is_wall ? until.ns : later_by(exact_wall_clock_ns(), left_ns));
  const std::string when =
      job.info.ended_at.time_since_epoch().count() == 0 ? "" : " at " + time_text(job.info.ended_at);
  return fmt::format("was {}{}, and is kept until {}", name_of(job.info.state), when, time_text(until_wall));
}

std::string explain_dying(const EngineView& view, const JobView& job) {
  return fmt::format(
      "is dead: {}{}; it goes to the dead letters{}", name_of(job.info.cause.value_or(DeathCause::failed)),
      job.info.last_error.empty() ? "" : ", " + shown(job.info.last_error), without_keeper(view, "bury it"));
}

}  // namespace

std::string explanation_of(const DeadLetter& letter) {
  return fmt::format("is dead since {}: {} after {} attempt{}{}", time_text(letter.died_at), name_of(letter.cause),
                     letter.attempts, letter.attempts == 1 ? "" : "s",
                     letter.last_error.empty() ? "" : ", the last error: " + shown(letter.last_error));
}

std::string explanation_of(const EngineView& view, const JobView& job) {
  switch (job.info.state) {
    case JobState::queued:
      return explain_queued(view, job);
    case JobState::delayed:
      return job.is_put_off ? explain_put_off(view, job) : explain_delayed(view, job.info);
    case JobState::running:
      return explain_running(view, job);
    case JobState::completed:
    case JobState::cancelled:
      return explain_kept(view, job);
    case JobState::dead:
      return explain_dying(view, job);
    case JobState::blocked:
      return explain_blocked(view, job.info);
    case JobState::ended:
      break;
  }
  return explanation_of_ended(job.info);
}

std::string explanation_of_ended(const JobInfo& info) {
  if (info.retried_as) return "was a dead letter, and was retried as job " + info.retried_as.to_string();
  if (!info.evicted) return "is over, and nothing was kept of it";
  const std::string when = info.ended_at.time_since_epoch().count() == 0 ? "" : " at " + time_text(info.ended_at);
  return fmt::format("ended{}, and its result: {}", when, text_of_evicted);
}

Result<std::string> explanation_of_level(const EngineView& view, std::string_view name) {
  const Segment& segment = view.segment();
  const auto level = find_level(segment, name);
  if (!level) return std::unexpected(level_named(segment, name).error());
  const std::string refusal = refusal_at(segment, *level);
  const std::string paused = segment.level(*level).paused_since_ns.load() == 0 ? "" : "; it is paused: none begins";
  return refusal.empty() ? fmt::format("takes jobs: {}{}", bounds_at(segment, *level), paused)
                         : fmt::format("refuses jobs: {}{}", refusal, paused);
}

}  // namespace ringmill
