#include "core/inspect/statistics_view.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/base/handles.h"
#include "core/inspect/status_view.h"
#include "core/instance/keeper_stand.h"
#include "core/levels/level_names.h"
#include "core/table/job_table.h"
#include "core/table/lease_slots.h"
#include "core/table/room.h"
#include "core/table/wait_begin.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/spill_state.h"
#include "ipc/statistics.h"

namespace ringmill {

namespace {

constexpr const char* other_name = "_other";
constexpr const char* removed_name = "_removed";
/// Hints at the front of a ring that are looked at for one whose job waits.
constexpr std::uint32_t most_looks_at_front = 256;

/// ORDER relaxed: counters; readers want a recent value, not an exact moment.
std::uint64_t recent(const std::atomic<std::uint64_t>& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

JobTotals totals_of(const PairCounts& counts) noexcept {
  // What ends is read before what begins, so that a job is not seen to end without having begun.
  JobTotals totals;
  totals.completed = recent(counts.completed);
  totals.dead = recent(counts.dead);
  totals.cancelled = recent(counts.cancelled);
  totals.retried = recent(counts.retried);
  totals.failed = recent(counts.failed);
  totals.attempts = totals.completed + totals.failed + recent(counts.left);
  totals.enqueued = recent(counts.enqueued);
  return totals;
}

Durations durations_of(const DurationCounts& histogram) {
  std::vector<std::uint64_t> counts(duration_buckets);
  for (std::uint32_t n = 0; n < duration_buckets; ++n) counts[n] = recent(histogram.count[n]);
  return {std::move(counts), std::chrono::duration<double>(static_cast<double>(recent(histogram.sum_ns)) * 1e-9)};
}

std::chrono::nanoseconds span_ns(std::uint64_t from_ns, std::uint64_t to_ns) noexcept {
  return std::chrono::nanoseconds(to_ns > from_ns ? to_ns - from_ns : 0);
}

/// Sums the lines of all pairs.
class PairSums {
 public:
  explicit PairSums(const Segment& segment) : segment_(&segment) {
    for_each_entry(segment, [&](std::uint32_t number, const ParticipantEntry&) {
      for (std::uint32_t n = 0; n < own_pairs; ++n) add(segment.own_pair(number, n));
    });
    for (std::uint32_t n = 0; n < shared_pairs - 1; ++n) add(segment.shared_pair(n));
    const JobTotals others = totals_of(segment.shared_pair(shared_pairs - 1));
    if (others.enqueued + others.attempts + others.ended() != 0) sums_[JobPair::other().bits()] += others;
  }

  /// Hands each pair to `visit(pair, level, totals)`; `level` is the number of its level, if that is still in use.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [bits, totals] : sums_) {
      const JobPair pair = JobPair::of_bits(bits);
      const std::uint32_t number = level_number(pair.level_value());
      const bool is_in_use = segment_->has_level(number) &&
                             level_of_number(*segment_, number) == Handles(*segment_).level(pair.level_value());
      visit(pair, is_in_use ? std::optional(number) : std::nullopt, totals);
    }
  }

 private:
  void add(const PairCounts& counts) {
    const std::uint64_t pair = recent(counts.pair);
    if (pair != 0) sums_[pair] += totals_of(counts);
  }

  const Segment* segment_;
  std::map<std::uint64_t, JobTotals> sums_;
};

/// Names of kinds, each read once.
class KindNames {
 public:
  explicit KindNames(const Segment& segment) : segment_(&segment) {}
  const std::string& of(std::uint32_t kind) {
    auto [place, is_new] = names_.try_emplace(kind);
    if (is_new) {
      place->second = kind < most_kinds ? segment_->kinds().name_of(kind).value_or(other_name) : other_name;
    }
    return place->second;
  }

 private:
  const Segment* segment_;
  std::unordered_map<std::uint32_t, std::string> names_;
};

/// The front of a ring: how long the first job there waits, or that no hint is left.
struct RingFront {
  std::optional<std::chrono::nanoseconds> oldest;
  bool is_empty = false;
};

RingFront front_of(const JobTable& table, const Ring& ring) {
  std::uint64_t position = ring.head();
  for (std::uint32_t look = 0; look < most_looks_at_front; ++look) {
    const std::uint64_t slot = ring.slot(position);
    const Ring::Turn turn = ring.turn_of(slot, position);
    if (turn == Ring::Turn::before) return {.oldest = std::nullopt, .is_empty = true};
    const std::uint64_t hint = Ring::hint_of(slot);
    if (turn == Ring::Turn::now && table.is_live(hint)) {
      const CellIndex index = JobTable::index_of_hint(hint);
      const auto begin = wait_begin(table, index, table.word(index).version());
      if (table.is_live(hint)) {
        const DueTime from = begin.value_or(DueTime{.ns = table.header(index).enqueued_at_ns.load(), .is_wall = true});
        return {.oldest = span_ns(from.ns, from.is_wall ? wall_clock_ns() : lease_clock_ns())};
      }
    }
    position = turn == Ring::Turn::after ? std::max(ring.head(), position + 1) : position + 1;
  }
  return {};
}

class StatisticsView {
 public:
  explicit StatisticsView(const Segment& segment) : segment_(&segment), table_(segment), kinds_(segment) {}

  EngineStatistics take(const std::function<bool(std::uint32_t)>& is_alive) {
    const auto look = segment_->look();
    begin();
    view_levels();
    view_pairs();
    view_participants(is_alive);
    finish_levels();
    view_runs();
    view_keeper(is_alive);
    return std::move(answer_);
  }

 private:
  void begin() {
    answer_.at = std::chrono::system_clock::now();
    answer_.engine_id = JobId(segment_->header().engine_id.load()).to_string();
    answer_.layout_version = layout_version;
    answer_.capacity = Room(*segment_).plain_capacity();
    answer_.memory_bytes = segment_->allocated_bytes();
    answer_.unlinked = segment_->is_unlinked();
    answer_.journal = view_journal(segment_->journal());
    answer_.totals = view_totals(*segment_);
  }

  void view_levels() {
    for (const std::uint32_t number : levels_in_use(*segment_)) {
      LevelStatistics level;
      level.level = level_of_number(*segment_, number);
      level.name = level_name(*segment_, number);
      const std::uint64_t since_ns = segment_->level(number).paused_since_ns.load();
      level.paused = since_ns != 0;
      if (level.paused) level.paused_since = wall_time(since_ns);
      if (number < segment_->geometry().level_count) level.wait = durations_of(segment_->waits(number));
      place_of_level_[number] = answer_.levels.size();
      answer_.levels.push_back(std::move(level));
    }
    answer_.dynamic_wait = durations_of(segment_->waits(wait_histograms - 1));
  }

  KindStatistics& kind(std::uint32_t number) {
    const auto [place, is_new] = place_of_kind_.try_emplace(number, answer_.kinds.size());
    if (is_new) answer_.kinds.emplace_back().name = kinds_.of(number);
    return answer_.kinds[place->second];
  }

  void view_pairs() {
    std::map<std::pair<std::string, std::string>, JobTotals> named;
    PairSums(*segment_).for_each([&](JobPair pair, std::optional<std::uint32_t> level, const JobTotals& totals) {
      const auto place = level ? place_of_level_.find(*level) : place_of_level_.end();
      const bool is_known = place != place_of_level_.end();
      if (is_known) answer_.levels[place->second].totals += totals;
      if (pair.kind() < most_kinds) kind(pair.kind()).totals += totals;
      const char* const unknown = pair == JobPair::other() ? other_name : removed_name;
      named[{is_known ? answer_.levels[place->second].name : unknown, kinds_.of(pair.kind())}] += totals;
    });
    for (auto& [names, totals] : named) answer_.pairs.push_back({names.first, names.second, totals});
  }

  void view_participants(const std::function<bool(std::uint32_t)>& is_alive) {
    for_each_entry_in_use(*segment_, [&](std::uint32_t number, ParticipantState) {
      const ParticipantEntry& entry = segment_->participant(number);
      ParticipantStatistics participant;
      participant.number = static_cast<int>(number);
      participant.pid = static_cast<int>(entry.process_id.load());
      const std::uint32_t role = entry.role.load();
      participant.role = role <= 3 ? name_of(static_cast<Role>(role)) : "unknown";
      participant.alive = is_alive(number);
      participant.since = wall_time(entry.attached_at_ns.load());
      participant.enqueued = recent(entry.enqueued);
      participant.completed = recent(entry.completed);
      participant.failed = recent(entry.failed);
      participant.busy = std::chrono::nanoseconds(recent(entry.busy_ns));
      view_running(number, entry, participant);
      answer_.participants.push_back(std::move(participant));
    });
  }

  void view_running(std::uint32_t number, const ParticipantEntry& entry, ParticipantStatistics& participant) {
    const std::uint64_t now_ns = wall_clock_ns();
    for (const LeaseSlot& slot : entry.leases) {
      const JobId id(slot.job_id.load());
      const std::uint64_t started_ns = slot.started_at_ns.load();
      if (!id || started_ns == 0 || !table_.stands(id)) continue;
      const CellIndex index = index_of(id);
      const CellHeader& header = table_.header(index);
      const std::uint32_t level = header.level.load_once().unbounded();
      const std::uint32_t kind_number = header.kind.load_once().unbounded();
      const StateWord word = table_.word(index);
      if (word.state() != CellState::running || word.owner() != number + 1 || !speaks_of(slot, id, word)) continue;
      RunningJob job;
      job.id = id;
      job.kind = kinds_.of(kind_number);
      job.running_for = span_ns(started_ns, now_ns);
      if (kind_number < most_kinds) ++kind(kind_number).running;
      if (const auto place = place_of_level_.find(level); place != place_of_level_.end()) {
        job.level = answer_.levels[place->second].name;
        ++answer_.levels[place->second].running;
      } else {
        job.level = removed_name;
      }
      participant.running.push_back(std::move(job));
    }
    std::ranges::sort(participant.running, std::ranges::greater{}, &RunningJob::running_for);
  }

  void finish_levels() {
    for (const auto& [number, place] : place_of_level_) {
      LevelStatistics& level = answer_.levels[place];
      const Ring ring = segment_->ring(number);
      const std::uint64_t tail = ring.tail();
      level.depth = tail - std::min(ring.head(), tail);
      level.depth = std::min<std::uint64_t>(level.depth, ring.slot_count());
      level.is_estimate = !SpillState::is_direct(segment_->level(number).overflow.load());
      if (level.is_estimate) {
        const std::uint64_t gone = level.totals.ended() + level.running;
        level.depth = std::max(level.depth, level.totals.enqueued - std::min(gone, level.totals.enqueued));
      }
      const RingFront front = front_of(table_, ring);
      level.oldest = front.oldest;
      if (front.is_empty && !level.is_estimate) level.depth = 0;  // the hints that were left are dead
    }
  }

  void view_runs() {
    for (std::uint32_t n = 0; n < run_histograms - 1; ++n) {
      const DurationCounts& histogram = segment_->runs(n);
      const std::uint64_t owner = histogram.kind.load_once().unbounded();
      if (owner == 0 || owner > most_kinds) continue;
      kind(static_cast<std::uint32_t>(owner - 1)).run = durations_of(histogram);
    }
    answer_.other_runs = durations_of(segment_->runs(run_histograms - 1));
    std::ranges::sort(answer_.kinds, {}, &KindStatistics::name);
  }

  void view_keeper(const std::function<bool(std::uint32_t)>& is_alive) {
    const Signals& signals = segment_->signals();
    KeeperStatistics& keeper = answer_.keeper;
    keeper.turns = recent(signals.keeper_turns);
    keeper.busy = std::chrono::nanoseconds(recent(signals.keeper_busy_ns));
    keeper.longest_turn = std::chrono::nanoseconds(recent(signals.keeper_longest_turn_ns));
    const std::uint64_t turned_ns = signals.keeper_turned_at_ns.load();
    if (turned_ns != 0) keeper.last_turn_ago = span_ns(turned_ns, lease_clock_ns());
    const auto number = number_of_keeper(*segment_);
    if (!number) return;
    const ParticipantEntry& entry = segment_->participant(*number);
    keeper.pid = static_cast<int>(entry.process_id.load());
    keeper.alive = EntryState::of(entry).state == ParticipantState::alive && is_alive(*number);
    if (keeper.alive) keeper.trouble = keeper_trouble(*segment_);
    keeper.since = wall_time(signals.keeper_since_ns.load());
  }

  const Segment* segment_;
  JobTable table_;
  KindNames kinds_;
  EngineStatistics answer_;
  std::map<std::uint32_t, std::size_t> place_of_level_;  // in answer_, per number
  std::map<std::uint32_t, std::size_t> place_of_kind_;
};

}  // namespace

EngineStatistics view_statistics(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive) {
  return StatisticsView(segment).take(is_alive);
}

}  // namespace ringmill
