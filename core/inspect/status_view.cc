#include "core/inspect/status_view.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "core/flow_control/flow_view.h"
#include "core/inspect/job_view.h"
#include "core/instance/keeper_stand.h"
#include "core/levels/level_names.h"
#include "core/table/arena.h"
#include "core/table/evictable.h"
#include "core/table/job_table.h"
#include "core/table/parents.h"
#include "core/table/room.h"
#include "ipc/clock.h"
#include "ipc/file.h"
#include "ipc/registry.h"
#include "ipc/spill_state.h"

namespace ringmill {

namespace {

void sum(std::uint64_t& total, const std::atomic<std::uint64_t>& counter) { total += counter.load(); }

/// Everything but the counts.
LevelStatus view_level(const Segment& segment, std::uint32_t n) {
  LevelStatus level;
  level.level = level_of_number(segment, n);
  level.name = level_name(segment, n);
  level.weight = segment.level(n).weight.load_once().unbounded();
  level.ring = segment.ring(n).slot_count();
  level.is_made_at_run_time = n >= segment.geometry().level_count;
  const std::uint64_t since_ns = segment.level(n).paused_since_ns.load();
  level.paused = since_ns != 0;
  if (level.paused) level.paused_since = wall_time(since_ns);
  return level;
}

/// Whether a parent of a blocked job lives.
bool has_living_parent(const JobTable& table, const Arena& arena, JobId id) {
  const auto parents = parents_of(table, arena, id);
  return parents && std::ranges::any_of(*parents, [&table](JobId parent) {
           if (!table.stands(parent)) return false;
           const auto state = shown_state(table.word(index_of(parent)).state());
           return state && !is_over(*state);
         });
}

/// Which of a level's numbers the jobs of a state add to. Dead and cancelled ones are in none.
struct CountOfState {
  JobState state;
  std::uint64_t LevelStatus::*count;
};
constexpr std::array<CountOfState, 5> counts_of_states{{
    {JobState::queued, &LevelStatus::queued},
    {JobState::delayed, &LevelStatus::delayed},
    {JobState::blocked, &LevelStatus::blocked},
    {JobState::running, &LevelStatus::running},
    {JobState::completed, &LevelStatus::completed},
}};

/// Counts the jobs of one pass over the table.
class JobCounts {
 public:
  /// `levels` are those of `numbers`, in the same order: their jobs are added to them.
  JobCounts(const Segment& segment, const std::vector<std::uint32_t>& numbers, std::vector<LevelStatus>& levels)
      : segment_(&segment),
        table_(segment),
        arena_(segment),
        levels_(&levels),
        place_of_(segment.geometry().level_numbers(), no_place),
        kinds_(segment),
        running_(most_participants, 0) {
    for (std::size_t place = 0; place < numbers.size(); ++place) place_of_[numbers[place]] = place;
  }

  void count(CellIndex index, StateWord word) {
    auto state = shown_state(word.state());
    const CellHeader& header = table_.header(index);
    if ((header.flags.load() & cell_flag::is_value) != 0) return;  // no job
    const bool is_parked = WaitMark::of_parked(header.cause.load(), word) != WaitMark::Reason::none;
    if (is_parked) state = JobState::queued;
    const auto level = header.level.load_once().below(place_of_.size());
    if (!state || !level || place_of_[*level] == no_place) return;
    LevelStatus& counts = (*levels_)[place_of_[*level]];
    const std::uint32_t kind = header.kind.load_once().unbounded();  // kinds_.count() and name_of() take any
    const bool is_held = kinds_.count(kind, *state, is_parked);
    // Until the keeper has made it queued, a job whose parents are over is as good as queued.
    if (*state == JobState::blocked && !has_living_parent(table_, arena_, job_id_of(word, index)))
      state = JobState::queued;
    const auto row = std::ranges::find(counts_of_states, *state, &CountOfState::state);
    if (row != counts_of_states.end()) ++(counts.*row->count);
    if (is_held) ++counts.held;
    const bool is_retried = *state == JobState::delayed && header.attempts.load() != 0;
    if (is_retried) ++counts.retrying;
    const bool is_left = (*state == JobState::queued && !is_held) || is_retried;
    if (is_left && !counts.paused) ++left_[{kind, place_of_[*level]}];
    const bool has_owner = word.owner() >= 1 && word.owner() <= most_participants;
    if (*state == JobState::running && has_owner) ++running_[word.owner() - 1];
  }

  std::vector<KindStatus> take_kinds() { return std::move(kinds_).take(); }
  std::vector<JobsLeft> left() const {
    std::vector<JobsLeft> left;
    for (const auto& [where, count] : left_) {
      const auto& [kind, place] = where;
      left.push_back({segment_->kinds().name_of(kind).value_or(std::to_string(kind)), (*levels_)[place].name, count});
    }
    return left;
  }
  /// Per participant.
  const std::vector<std::uint64_t>& running() const noexcept { return running_; }

 private:
  static constexpr std::size_t no_place = ~std::size_t{0};

  const Segment* segment_;
  JobTable table_;
  Arena arena_;
  std::vector<LevelStatus>* levels_;
  std::vector<std::size_t> place_of_;  // in levels_, per number of a level
  KindCounts kinds_;
  std::map<std::pair<std::uint32_t, std::size_t>, std::uint64_t> left_;  // by kind and place of the level
  std::vector<std::uint64_t> running_;
};

void count_result(const Segment& segment, const JobTable& table, CellIndex index, StateWord word,
                  ResultsStatus& results) {
  if (!is_kept(word.state())) return;
  ++results.count;
  const CellHeader& header = table.header(index);
  if ((header.flags.load() & cell_flag::is_value) != 0) ++results.values;
  const bool in_arena = (header.flags.load() & cell_flag::result_in_arena) != 0;
  const Untrusted<std::uint32_t> long_bytes = header.lease_ms.load_once();
  if (word.state() != CellState::completed) return;
  results.bytes += in_arena ? long_bytes.at_most(segment.geometry().max_payload)
                            : header.text_bytes.load_once().at_most(table.text_room(index));
}

void view_keeper(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive, EngineStatus& status) {
  const auto keeper = number_of_keeper(segment);
  if (!keeper) return;
  const ParticipantEntry& entry = segment.participant(*keeper);
  status.keeper_pid = static_cast<int>(entry.process_id.load());
  status.keeper_alive = EntryState::of(entry).state == ParticipantState::alive && is_alive(*keeper);
  if (status.keeper_alive) status.keeper_trouble = keeper_trouble(segment);
  status.keeper_since = wall_time(segment.signals().keeper_since_ns.load());
}

/// `running` is per participant.
void view_participants(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive,
                       const std::vector<std::uint64_t>& running, EngineStatus& status) {
  for_each_entry_in_use(segment, [&](std::uint32_t n, ParticipantState) {
    const ParticipantEntry& entry = segment.participant(n);
    const std::uint32_t role = entry.role.load();
    status.participants.push_back({static_cast<int>(n), static_cast<int>(entry.process_id.load()),
                                   std::string(role <= 3 ? name_of(static_cast<Role>(role)) : "unknown"), is_alive(n),
                                   running[n]});
  });
}

}  // namespace

JournalStatus view_journal(const JournalWords& words) {
  JournalStatus journal;
  switch (static_cast<JournalMode>(words.mode.load())) {
    case JournalMode::none:
      break;
    case JournalMode::io_uring:
      journal.mode = "io_uring";
      break;
    case JournalMode::io_uring_unregistered:
      journal.mode = "io_uring";
      journal.note = "buffers are not registered: the process that keeps may not lock enough memory (RLIMIT_MEMLOCK)";
      break;
    case JournalMode::pwritev2:
      journal.mode = "pwritev2";
      journal.note = "one block at a time: io_uring is refused to the process that keeps (kernel, or a seccomp filter)";
      break;
    case JournalMode::other:
      journal.mode = "other";
      break;
  }
  journal.segments = words.segments.load();
  journal.bytes = words.bytes_on_disk.load();
  journal.bytes_written = words.bytes_written.load();
  journal.records_written = words.records_written.load();
  journal.jobs_elided = words.jobs_elided.load();
  const std::uint64_t now_ns = lease_clock_ns();
  const auto since = [now_ns](std::uint64_t then_ns) {
    return then_ns != 0 && then_ns < now_ns ? now_ns - then_ns : 0;
  };
  journal.durable_lag = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::nanoseconds(since(words.behind_since_ns.load())));
  const std::uint64_t working_ns = since(words.working_since_ns.load());
  const std::uint64_t written = words.bytes_written.load() - words.bytes_written_before.load();
  if (working_ns != 0) {
    journal.bytes_per_s =
        static_cast<std::uint64_t>(static_cast<double>(written) * 1e9 / static_cast<double>(working_ns));
  }
  switch (static_cast<JournalCondition>(words.condition.load())) {
    case JournalCondition::behind:
      journal.last_error = "the disk does not keep up";
      break;
    case JournalCondition::no_space:
    case JournalCondition::failed:
      journal.last_error = error_text(static_cast<int>(words.error_number.load()));
      break;
    default:
      break;
  }
  return journal;
}

Totals view_totals(const Segment& segment) {
  Totals totals;
  for_each_entry(segment, [&totals](std::uint32_t, const ParticipantEntry& entry) {
    sum(totals.enqueued, entry.enqueued);
    sum(totals.completed, entry.completed);
    sum(totals.failed, entry.failed);
    sum(totals.retried, entry.retried);
    sum(totals.worker_lost, entry.worker_lost);
    sum(totals.lease_expired, entry.lease_expired);
    sum(totals.cancelled, entry.cancelled);
    sum(totals.dead, entry.dead);
  });
  return totals;
}

EngineStatus view_status(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive) {
  const auto look = segment.look();
  EngineStatus status;
  const JobTable table(segment);
  status.layout_version = layout_version;
  const Room room(segment);
  status.capacity = room.plain_capacity();
  status.cell_size = segment.geometry().cell_bytes;
  status.max_payload = segment.geometry().max_payload;
  status.arena_bytes = segment.header().arena_bytes.load();
  status.arena_used = Arena(segment).used_bytes();
  status.created_at = wall_time(segment.header().created_at_ns.load());
  status.memory_bytes = segment.allocated_bytes();
  status.unlinked = segment.is_unlinked();
  status.results.limit = segment.signals().results_limit.load_once().unbounded();
  status.results.evicted = segment.signals().results_evicted.load();
  status.journal = view_journal(segment.journal());
  const std::vector<std::uint32_t> numbers = levels_in_use(segment);
  for (const std::uint32_t n : numbers) {
    status.levels.push_back(view_level(segment, n));
    status.levels.back().kept = room.own_of(n).size();
    status.levels.back().most = segment.level(n).most_cells.load_once().unbounded();
  }
  JobCounts jobs(segment, numbers, status.levels);
  table.for_each_cell([&](CellIndex index) {
    const StateWord word = table.word(index);
    if (word.state() == CellState::free) return;
    ++status.cells_used;
    jobs.count(index, word);
    count_result(segment, table, index, word, status.results);
  });
  status.cells_free = status.capacity - std::min<std::uint64_t>(status.cells_used, status.capacity);
  status.kinds = jobs.take_kinds();
  status.left = jobs.left();
  status.totals = view_totals(segment);
  view_participants(segment, is_alive, jobs.running(), status);
  view_keeper(segment, is_alive, status);
  return status;
}

RingView view_ring(const Segment& segment, std::uint32_t level) {
  const auto look = segment.look();
  const JobTable table(segment);
  const Ring ring = segment.ring(level);
  RingView view;
  view.level = level_name(segment, level);
  view.slots = ring.slot_count();
  view.head = ring.head();
  view.tail = ring.tail();
  view.overflow = !SpillState::is_direct(segment.level(level).overflow.load());
  std::uint64_t position = view.head;
  for (std::uint64_t step = 0; step < view.slots; ++step, ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) break;
    ++(table.is_live(Ring::hint_of(word)) ? view.live_hints : view.dead_hints);
  }
  return view;
}

}  // namespace ringmill
