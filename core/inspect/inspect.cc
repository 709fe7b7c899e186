#include "core/inspect/inspect.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>

#include "core/flow_control/flow_view.h"
#include "core/levels/runtime_levels.h"
#include "core/table/arena.h"
#include "core/table/lease_slots.h"
#include "ipc/clock.h"
#include "ipc/file.h"
#include "ipc/spill_state.h"

namespace ringmill {

namespace {

constexpr std::size_t most_reported = 100;
constexpr std::size_t no_place = ~std::size_t{0};

/// Collects broken invariants, up to a bound: a segment of random bytes breaks millions.
class Findings {
 public:
  void add(std::string sentence) {
    if (list_.size() < most_reported)
      list_.push_back(std::move(sentence));
    else
      ++more_;
  }
  std::vector<std::string> take() {
    if (more_ != 0) list_.push_back("and " + std::to_string(more_) + " more");
    return std::move(list_);
  }

 private:
  std::vector<std::string> list_;
  std::uint64_t more_ = 0;
};

std::string cell_text(CellIndex index, StateWord word) {
  return "cell " + std::to_string(index) + " (job " + job_id_of(word, index).to_string() + ")";
}

/// The slot of the lease that a running cell's word rests on.
const LeaseSlot* lease_of(const Segment& segment, JobId id, StateWord word) {
  if (word.owner() == 0 || word.owner() > most_participants) return nullptr;
  const ParticipantEntry& entry = segment.participant(word.owner() - 1);
  const auto slot = lease_slot_of(entry, id, word);
  return slot ? &entry.leases[*slot] : nullptr;
}

bool has_owner(CellState state) noexcept {
  return state == CellState::filling || state == CellState::running || state == CellState::completing;
}

/// How often each cell's present job is hinted at, counted over one ring.
void count_hints(const Segment& segment, std::uint32_t level, std::vector<std::uint8_t>& hints) {
  const JobTable table(segment);
  const Ring ring = segment.ring(level);
  std::uint64_t position = ring.head();
  for (std::uint64_t step = 0; step < ring.slot_count(); ++step, ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) return;
    const std::uint64_t hint = Ring::hint_of(word);
    const CellIndex index = JobTable::index_of_hint(hint);
    if (index < table.capacity() && table.is_live(hint) && hints[index] < 255) ++hints[index];
  }
}

void check_ring(const Segment& segment, std::uint32_t level, Findings& findings) {
  const Ring ring = segment.ring(level);
  const std::string name = "level " + level_name(segment, level);
  if (const auto weight = segment.level(level).weight.load_once().below(1001U); !weight || *weight == 0) {
    findings.add(name + ": its weight is not 1 to 1000");
  }
  // A lagging counter is fine; one that is ahead of what the slots say is not.
  const std::uint64_t head = ring.head();
  const std::uint64_t tail = ring.tail();
  if (head > tail + ring.slot_count()) {
    findings.add(name + ": the ring's head is more than a lap beyond its tail");
    return;
  }
  for (const std::uint64_t position : {head, tail}) {
    if (ring.turn_of(ring.slot(position - 1), position - 1) == Ring::Turn::before && position > ring.slot_count()) {
      findings.add(name + ": position " + std::to_string(position - 1) + " was passed but never filled");
    }
  }
}

void check_cell(const Segment& segment, CellIndex index, bool at_rest, Findings& findings) {
  const JobTable table(segment);
  const StateWord word = table.word(index);
  const auto state = static_cast<std::uint8_t>(word.state());
  const std::string name = cell_text(index, word);
  if (state > most_cell_state) {
    findings.add(name + ": its state is none that is known (" + std::to_string(state) + ")");
    return;
  }
  if (!word.has_job() && word.generation() < segment.header().first_generation.load())
    findings.add(name + ": its generation is below the first");
  if (word.generation() > segment.signals().generation_limit.load() + 1) {
    findings.add(name + ": its generation is beyond the durable limit");
  }
  if (has_owner(word.state()) && (word.owner() == 0 || word.owner() > most_participants)) {
    findings.add(name + ": it needs an owner and has none that exists");
    return;
  }
  if (!has_owner(word.state()) && word.owner() != 0)
    findings.add(name + ": it has an owner in a state that knows none");
  if (has_owner(word.state()) &&
      EntryState::of(segment.participant(word.owner() - 1)).state == ParticipantState::free &&
      table.word(index) == word) {
    findings.add(name + ": its owner, participant " + std::to_string(word.owner() - 1) + ", has left");
  }
  if (!word.has_job() || word.state() == CellState::completing) {
    if (at_rest && (word.state() == CellState::filling || word.state() == CellState::completing)) {
      findings.add(name + ": in the middle of a step, though nobody works");
    }
    return;
  }
  const CellHeader& header = table.header(index);
  const bool in_arena = (header.flags.load() & cell_flag::in_arena) != 0;
  const std::uint32_t most_payload = in_arena ? segment.geometry().max_payload : table.inline_bytes();
  const bool sound =
      has_ever_been_level(segment, header.level.load_once().unbounded()) && header.kind.load_once().below(most_kinds) &&
      header.payload_bytes.load_once().below(most_payload + 1) &&
      header.text_bytes.load_once().below(table.text_room(index) + 1) && header.flags.load() <= cell_flag::all;
  if (!sound && table.word(index) == word) findings.add(name + ": its level, kind or payload size is impossible");
  if (in_arena && !Arena(segment).payload_of(job_id_of(word, index)) && table.word(index) == word) {
    findings.add(name + ": its payload's extent is not its own, or none");
  }
  if (word.state() == CellState::running && lease_of(segment, job_id_of(word, index), word) == nullptr &&
      table.word(index) == word) {
    findings.add(name + ": it runs without a lease slot of its owner");
  }
}

void check_hints_at_rest(const Segment& segment, Findings& findings) {
  const JobTable table(segment);
  const FreeMap free_map = segment.free_map();
  const std::uint32_t level_numbers = segment.geometry().level_numbers();
  std::vector<std::vector<std::uint8_t>> hints(level_numbers);
  for (std::uint32_t level = 0; level < level_numbers; ++level) {
    if (!segment.has_level(level)) continue;
    hints[level].assign(table.capacity(), 0);
    count_hints(segment, level, hints[level]);
  }
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    const auto level = table.header(index).level.load_once().below(level_numbers);
    if (word.state() == CellState::queued && level && !hints[*level].empty() && hints[*level][index] == 0 &&
        SpillState::is_direct(segment.level(*level).overflow.load())) {
      findings.add(cell_text(index, word) + ": it is queued without a hint in its level's ring");
    }
    if (word.state() != CellState::free && free_map.lists(index)) {
      findings.add(cell_text(index, word) + ": it holds a job and is listed as free");
    }
  }
}

void sum(std::uint64_t& total, const std::atomic<std::uint64_t>& counter) { total += counter.load(); }

}  // namespace

std::optional<JobState> shown_state(CellState state) noexcept {
  switch (state) {
    case CellState::queued:
      return JobState::queued;
    case CellState::delayed:
      return JobState::delayed;
    case CellState::blocked:
      return JobState::blocked;
    case CellState::running:
    case CellState::completing:
      return JobState::running;
    case CellState::completed:
      return JobState::completed;
    case CellState::cancelled:
      return JobState::cancelled;
    case CellState::burying:
      return JobState::dead;
    case CellState::free:
    case CellState::filling:
      break;
  }
  return std::nullopt;
}

bool is_over(JobState state) noexcept {
  return state == JobState::completed || state == JobState::cancelled || state == JobState::dead ||
         state == JobState::ended;
}

namespace {

/// Text and times that the cell keeps. The caller looks at the word again.
void view_history(const Segment& segment, CellIndex index, JobView& view) {
  const JobTable table(segment);
  const CellHeader& header = table.header(index);
  const JobTable::TextPlace place = table.text_place(index);
  const std::uint32_t bytes = header.text_bytes.load_once().at_most(place.room());
  std::string text(in_words(bytes) * 8, '\0');
  JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(text.data()), bytes);
  text.resize(bytes);
  const bool is_result = view.word.state() == CellState::completed;
  (is_result ? view.info.result : view.info.last_error) = std::move(text);
  view.info.result_cut = is_result && (header.flags.load() & cell_flag::result_cut) != 0;
  const bool has_time = view.parked == WaitMark::Reason::none || view.parked == WaitMark::Reason::rate;
  if (view.word.state() == CellState::delayed && has_time) {
    const DueTime due = DueTime::of(header.due_at.load());
    const std::uint64_t left_ns = due.ns - std::min(due.ns, lease_clock_ns());
    view.info.due_at = wall_time(due.is_wall ? due.ns : later_by(exact_wall_clock_ns(), left_ns));
  }
  const CellOptions* const options = table.options(index);
  if (options == nullptr || options->started.load() == 0) return;
  const AttemptStart started = AttemptStart::of(options->started.load());
  view.info.started_at = wall_time(started.at_ms * 1'000'000);
  view.info.ended_at = wall_time(std::min(options->ended_at_ms.load(), AttemptStart::ms_mask) * 1'000'000);
  view.info.worker = static_cast<int>(started.owner) - 1;
}

void view_progress(const ParticipantEntry& entry, JobInfo& info) {
  if (entry.progress.job_id.load() != info.id.value()) return;
  const std::uint64_t number = entry.progress.number.load();
  std::array<std::uint64_t, 8> words{};
  for (std::size_t n = 0; n < words.size(); ++n) words[n] = entry.progress.text[n].load();
  if (entry.progress.job_id.load() != info.id.value()) return;
  info.progress = number;
  const auto bytes = std::bit_cast<std::array<char, sizeof words>>(words);
  info.progress_text.assign(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
}

}  // namespace

std::optional<std::vector<std::byte>> copy_payload(const Segment& segment, const JobView& view) {
  const JobTable table(segment);
  const CellIndex index = index_of(view.info.id);
  const std::size_t end = std::size_t{view.payload_begins_at} + view.info.payload_size;
  std::vector<std::byte> copy(in_words(end) * 8);
  if ((table.header(index).flags.load() & cell_flag::in_arena) == 0) {
    if (copy.size() > in_words(table.inline_bytes()) * 8) return std::nullopt;  // another job's, by now
    table.copy_words_out(index, copy.data(), copy.size());
  } else {
    const auto large = Arena(segment).payload_of(view.info.id);
    if (large && large->size() <= copy.size()) Arena::copy_out(*large, copy.data());
    if (!large) copy.clear();  // somebody scribbled over it
  }
  if (table.word(index) != view.word) return std::nullopt;  // ORDER second-look
  copy.resize(std::min(copy.size(), end));
  const std::size_t begin = std::min<std::size_t>(copy.size(), view.payload_begins_at);
  copy.erase(copy.begin(), copy.begin() + static_cast<std::ptrdiff_t>(begin));
  return copy;
}

std::optional<JobView> view_job(const Segment& segment, CellIndex index) {
  const JobTable table(segment);
  // A busy cell may change under us for ever; a few looks are enough for a moment's picture.
  for (int look = 0; look < 4; ++look) {
    JobView view;
    view.word = table.word(index);
    const auto state = shown_state(view.word.state());
    if (!state) return std::nullopt;
    const CellHeader& header = table.header(index);
    view.level_number = header.level.load_once().unbounded();  // level_name() and name_of() take any
    view.kind_number = header.kind.load_once().unbounded();
    view.info.id = job_id_of(view.word, index);
    view.info.state = *state;
    view.parked = WaitMark::of_parked(header.cause.load(), view.word);
    if (view.parked != WaitMark::Reason::none) view.info.state = JobState::queued;
    view.info.attempts = header.attempts.load();
    view.info.parents = table.parent_ids(index);
    view.payload_begins_at = static_cast<std::uint32_t>(view.info.parents.size() * 8);
    const bool in_arena = (header.flags.load() & cell_flag::in_arena) != 0;
    const std::uint32_t bytes =
        header.payload_bytes.load_once().at_most(in_arena ? segment.geometry().max_payload : table.inline_bytes());
    view.info.payload_size = bytes - std::min(bytes, view.payload_begins_at);
    view.info.max_attempts = header.most_attempts.load();
    view.info.enqueued_at = wall_time(header.enqueued_at_ns.load());
    if (*state == JobState::dead) {
      const auto cause = header.cause.load();
      const bool is_known = cause <= static_cast<std::uint16_t>(DeathCause::parent_dead);
      view.info.cause = is_known ? static_cast<DeathCause>(cause) : DeathCause::failed;
    }
    view_history(segment, index, view);
    if (view.word.state() == CellState::running && view.word.owner() >= 1 && view.word.owner() <= most_participants) {
      view.info.worker = static_cast<int>(view.word.owner()) - 1;
      const LeaseSlot* slot = lease_of(segment, view.info.id, view.word);
      if (slot != nullptr && slot->started_at_ns.load() != 0) {
        view.info.started_at = wall_time(slot->started_at_ns.load());
        view.info.ended_at = {};
        ++view.info.attempts;
      }
      view_progress(segment.participant(view.word.owner() - 1), view.info);
    }
    if (table.word(index) != view.word) continue;  // the loads above are seq_cst: they come before this one
    view.info.level = level_name(segment, view.level_number);
    view.info.kind = segment.kinds().name_of(view.kind_number).value_or("?");
    return view;
  }
  return std::nullopt;
}

Result<JobInfo> find_job(const Segment& segment, JobId id) {
  const JobTable table(segment);
  const CellIndex index = index_of(id);
  const auto unknown = [id] { return std::unexpected(Error(ErrorCode::not_found, "no such job", id.to_string())); };
  if (!table.can_have_given(id)) return unknown();
  const StateWord word = table.word(index);
  if (!JobTable::was_enqueued(id, word)) return unknown();
  if (generation_of(id) == word.generation()) {
    const auto view = view_job(segment, index);
    if (view && view->info.id == id) return view->info;
  }
  JobInfo info;
  info.id = id;
  info.state = JobState::ended;
  return info;
}

namespace {

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
bool waits_for_somebody(const JobTable& table, CellIndex index) {
  return std::ranges::any_of(table.parent_ids(index), [&table](JobId parent) {
    if (!table.stands(parent)) return false;
    const auto state = shown_state(table.word(index_of(parent)).state());
    return state && !is_over(*state);
  });
}

void view_keeper(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive, EngineStatus& status) {
  const auto keeper = number_of_keeper(segment);
  if (!keeper) return;
  const ParticipantEntry& entry = segment.participant(*keeper);
  status.keeper_pid = static_cast<int>(entry.process_id.load());
  status.keeper_alive = EntryState::of(entry).state == ParticipantState::alive && is_alive(*keeper);
  status.keeper_since = wall_time(segment.signals().keeper_since_ns.load());
}

/// Those who take part, and the totals of all who ever did. `running` is per participant.
void view_participants(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive,
                       const std::vector<std::uint64_t>& running, EngineStatus& status) {
  for (std::uint32_t n = 0; n < most_participants; ++n) {
    const ParticipantEntry& entry = segment.participant(n);
    sum(status.totals.enqueued, entry.enqueued);
    sum(status.totals.completed, entry.completed);
    sum(status.totals.failed, entry.failed);
    sum(status.totals.retried, entry.retried);
    sum(status.totals.worker_lost, entry.worker_lost);
    sum(status.totals.lease_expired, entry.lease_expired);
    sum(status.totals.cancelled, entry.cancelled);
    sum(status.totals.dead, entry.dead);
    if (EntryState::of(entry).state == ParticipantState::free) continue;
    const std::uint32_t role = entry.role.load();
    status.participants.push_back({static_cast<int>(n), static_cast<int>(entry.process_id.load()),
                                   std::string(role <= 3 ? name_of(static_cast<Role>(role)) : "unknown"), is_alive(n),
                                   running[n]});
  }
}

}  // namespace

EngineStatus view_status(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive) {
  EngineStatus status;
  const JobTable table(segment);
  status.layout_version = layout_version;
  status.capacity = table.capacity();
  status.cell_size = segment.geometry().cell_bytes;
  status.max_payload = segment.geometry().max_payload;
  status.arena_bytes = segment.header().arena_bytes.load();
  status.arena_used = Arena(segment).used_bytes();
  status.created_at = wall_time(segment.header().created_at_ns.load());
  status.memory_bytes = segment.geometry().bytes;
  status.unlinked = segment.is_unlinked();
  status.journal = view_journal(segment.journal());
  std::vector<std::size_t> place_of(segment.geometry().level_numbers(), no_place);
  for (const std::uint32_t n : levels_in_use(segment)) {
    place_of[n] = status.levels.size();
    status.levels.push_back(view_level(segment, n));
  }
  KindCounts kinds(segment);
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> left;  // by kind and place of the level
  std::vector<std::uint64_t> running(most_participants, 0);
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    if (word.state() == CellState::free) {
      ++status.cells_free;
      continue;
    }
    ++status.cells_used;
    auto state = shown_state(word.state());
    const CellHeader& header = table.header(index);
    const bool is_parked = WaitMark::of_parked(header.cause.load(), word) != WaitMark::Reason::none;
    if (is_parked) state = JobState::queued;
    const auto known_level = header.level.load_once().below(place_of.size());
    if (!state || !known_level || place_of[*known_level] == no_place) continue;
    const std::size_t level = *known_level;
    LevelStatus& counts = status.levels[place_of[level]];
    const std::uint32_t kind = header.kind.load_once().unbounded();  // kinds.count() and name_of() take any
    const bool is_held = kinds.count(kind, *state, is_parked);
    if (is_held) ++counts.held;
    // Until the keeper comes by, a job whose parents are over is as good as queued.
    if (*state == JobState::blocked && !waits_for_somebody(table, index)) state = JobState::queued;
    const bool is_retried = *state == JobState::delayed && header.attempts.load() != 0;
    if (*state == JobState::queued) ++counts.queued;
    if (*state == JobState::delayed) ++counts.delayed;
    if (is_retried) ++counts.retrying;
    if (*state == JobState::blocked) ++counts.blocked;
    if (((*state == JobState::queued && !is_held) || is_retried) && !counts.paused) ++left[{kind, place_of[level]}];
    if (*state == JobState::completed) ++counts.completed;
    if (*state == JobState::running) {
      ++counts.running;
      if (word.owner() >= 1 && word.owner() <= most_participants) ++running[word.owner() - 1];
    }
  }
  status.kinds = std::move(kinds).take();
  for (const auto& [where, count] : left) {
    const auto& [kind, place] = where;
    status.left.push_back(
        {segment.kinds().name_of(kind).value_or(std::to_string(kind)), status.levels[place].name, count});
  }
  view_participants(segment, is_alive, running, status);
  view_keeper(segment, is_alive, status);
  return status;
}

RingView view_ring(const Segment& segment, std::uint32_t level) {
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

std::vector<std::string> check_invariants(const Segment& segment, bool at_rest) {
  Findings findings;
  const Geometry& geometry = segment.geometry();
  for (const std::uint32_t level : levels_in_use(segment)) {
    if (!decode_name(segment.level(level).name))
      findings.add("level " + std::to_string(level) + ": its name cannot be read");
    check_ring(segment, level, findings);
  }
  for (std::uint32_t n = segment.levels_end(); n < geometry.level_numbers(); ++n) {
    if (segment.has_level(n)) findings.add("level " + std::to_string(n) + ": behind the end of all that ever were");
  }
  for (std::uint32_t n = 0; n < most_participants; ++n) {
    const ParticipantEntry& entry = segment.participant(n);
    if ((entry.state.load() & 0xff) > static_cast<std::uint64_t>(ParticipantState::reaping)) {
      findings.add("participant " + std::to_string(n) + ": its state is none that is known");
    }
    if (!entry.placing_count.load_once().below(placing_slots + 1)) {
      findings.add("participant " + std::to_string(n) + ": its placing list is longer than it can be");
    }
  }
  for (std::string& finding : check_flow_rules(segment)) findings.add(std::move(finding));
  for (CellIndex index = 0; index < geometry.capacity; ++index) check_cell(segment, index, at_rest, findings);
  if (at_rest) check_hints_at_rest(segment, findings);
  return findings.take();
}

}  // namespace ringmill
