// Recovery, when all records were read: what never was is dropped (rec.R2a), each cell is settled (rec.R3), hints and
// names are placed (rec.R4).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/durability/recovery.h"
#include "core/durability/scratch_cell.h"
#include "core/table/growth.h"
#include "core/table/serial.h"
#include "ipc/clock.h"
#include "ipc/spill_state.h"

namespace ringmill {

using fresh::ScratchCell, fresh::is_over, fresh::no_rule, fresh::set, fresh::value_of, fresh::value_of16;

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;

}  // namespace

NeverWere::Bond TableRebuild::bond_of(CellIndex cell) const {
  constexpr NeverWere::Bond counts{};
  constexpr NeverWere::Bond never_was{.never_was = true};
  const CellLinks* const links = table_.links(cell);
  if (links == nullptr) return counts;  // another life has come
  const std::uint16_t rule = value_of16(links->rule);
  if (rule == static_cast<std::uint16_t>(BornRule::alone) || rule == no_rule) return counts;
  const JobId leader(value_of(links->born_of));
  const CellIndex index = index_of(leader);
  if (!table_.is_there(index)) return never_was;
  const ScratchCell scratch(table_.header(index));
  const StateWord word = scratch.word();
  if (scratch.latest_generation() > generation_of(leader)) return counts;  // over
  if (word.generation() != generation_of(leader)) return never_was;
  if (rule == static_cast<std::uint16_t>(BornRule::with_it) || is_over(word.state())) return {.leader = index};
  return never_was;
}

void TableRebuild::drop_what_never_was() {
  if (linked_.empty()) return;
  never_were_ = NeverWere(table_.capacity());
  for (const CellIndex index : linked_) {
    never_were_.look_at(index, [this](CellIndex cell) { return bond_of(cell); });
  }
  for (const CellIndex index : linked_) {
    const CellLinks* const links = table_.links(index);
    if (links == nullptr || !never_were_.contains(index)) continue;
    const JobId leader(value_of(links->born_of));
    if (!table_.stands(leader)) continue;
    // So that the journal writes its end behind theirs.
    CellHeader& header = table_.header(index_of(leader));
    set(header.flags, header.flags.load() | cell_flag::leads_bundle);
  }
}

std::uint64_t TableRebuild::kinds() const noexcept {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(kinds_, [](const KindName& kind) { return !kind.name.empty(); }));
}

Result<void> TableRebuild::finish() {
  note_incomplete();
  const std::uint64_t free_word =
      StateWord::make(segment_->header().first_generation.load(), 0, CellState::free, 0).bits();
  now_ = {.wall_ns = exact_wall_clock_ns(), .lease_ns = lease_clock_ns()};
  drop_what_never_was();
  FreeMap free_map = segment_->free_map();
  if (lacks_memory_) {
    return std::unexpected(
        Error(ErrorCode::no_space, "shared memory is too small for the jobs that come back", larger_tmpfs));
  }
  table_.chunks().for_each([&](CellIndex begin, CellIndex end) {
    for (CellIndex first = begin; first < end; first += 64) {
      std::uint64_t free = 0;
      for (CellIndex n = 0; n < 64; ++n) {
        if (settle(first + n, free_word)) free |= std::uint64_t{1} << n;
      }
      free_map.put(first, free);
    }
  });
  if (auto made = Growth::make_first_cells(*segment_); !made) return made;
  if (arena_wanted_ != 0) {
    const Geometry& geometry = segment_->geometry();
    arena_wanted_ += std::uint64_t{geometry.arena_chunk_count} * geometry.arena_chunk_bytes;
    return std::unexpected(Error(ErrorCode::no_space, "the arena is too small for the jobs that come back",
                                 fmt::format("{} bytes are enough", arena_wanted_)));
  }
  place_kinds();
  place_unique();
  place_hints();
  return {};
}

void TableRebuild::note_incomplete() {
  for (const auto& [index, incomplete] : incomplete_) {
    const ScratchCell cell(table_.header(index));
    const std::uint64_t generation = generation_of(incomplete.id);
    if (cell.word().generation() >= generation) continue;  // written once more, whole
    if (cell.note().generation > generation) continue;
    note_damage(incomplete.place, "a part of a job's payload is missing", incomplete.id);
  }
  for (const auto& [index, lost] : lost_results_) {
    const CellHeader& header = table_.header(index);
    const ScratchCell cell(table_.header(index));
    const std::uint64_t generation = generation_of(lost.id);
    const bool is_lost = value_of16(header.cause) == static_cast<std::uint16_t>(ResultRefusal::lost);
    if (cell.word().generation() != generation || cell.note().generation > generation || !is_lost) continue;
    note_damage(lost.place, "a part of a job's result is missing", lost.id);
  }
}

void TableRebuild::place_payload(CellIndex index, JobId id) {
  const std::span<const std::byte> payload = parts_.payload(id);
  const auto unit = arena_.take(id, static_cast<std::uint32_t>(payload.size()));
  if (unit) {
    arena_.fill(index, *unit, payload);
  } else {
    // A chunk is enough for any of them, so with one for each there is room.
    arena_wanted_ += segment_->geometry().arena_chunk_bytes;
  }
}

void TableRebuild::place_result(CellIndex index, JobId id) {
  const auto found = results_.find(index);
  if (found == results_.end() || found->second.id != id) return;  // a later life: its flags say nothing of a result
  const std::span<const std::byte> result = found->second.bytes;
  if (const auto unit = arena_.take(id, static_cast<std::uint32_t>(result.size()))) {
    arena_.fill_result(index, *unit, result);
  } else {
    arena_wanted_ += segment_->geometry().arena_chunk_bytes;
  }
}

bool TableRebuild::settle(CellIndex index, std::uint64_t free_word) {
  CellHeader& header = table_.header(index);
  ScratchCell cell(header);
  const StateWord word = cell.word();
  const ScratchCell::LifeNote noted = cell.note();
  cell.clear_note();
  if (word.generation() == 0 || word.generation() < noted.generation) {
    set(header.revision, 0);  // the journal knows that nothing lives here
    set(header.due_at, 0);
    set(header.state, free_word);
    return true;
  }
  if (never_were_.contains(index)) {
    // Its note stays: the journal writes that it is over.
    set(header.due_at, 0);
    set(header.state, free_word);
    segment_->marks().mark_ended(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    return true;
  }
  if (CellLinks* const links = table_.links(index); links != nullptr) {
    set(links->born_of, 0);
    set(links->next, 0);
    set(links->rule, static_cast<std::uint16_t>(BornRule::alone));
  }
  if (noted.generation == word.generation())
    set(header.attempts, std::max(noted.attempts, value_of16(header.attempts)));
  ++jobs_;
  kinds_used_.set(header.kind.load_once().at_most(most_kinds - 1));
  if ((header.flags.load() & cell_flag::in_arena) != 0) place_payload(index, job_id_of(word, index));
  if ((header.flags.load() & cell_flag::result_in_arena) != 0) place_result(index, job_id_of(word, index));
  const bool is_timed = word.state() != CellState::queued && word.state() != CellState::burying;
  set(header.due_at, is_timed ? on_its_clock(DueTime::of(value_of(header.due_at))).bits() : 0);
  if (const CellOptions* const options = table_.options(index); options != nullptr) {
    const UniqueKey key{.low = options->unique_low.load(), .high = options->unique_high.load()};
    if (key) unique_.push_back({key, job_id_of(word, index)});
  }
  if (const auto serial = serial_place_of(table_, index); serial && waits_to_begin(word.state())) {
    // None of its key is active, until the keeper has seen them all.
    cell.set_word(word.generation(), CellState::blocked);
    set(header.flags, static_cast<std::uint16_t>(header.flags.load() | cell_flag::has_children));
    raise_to(segment_->signals().serial_last, serial->number);
    return false;
  }
  if (word.state() != CellState::queued) return false;  // the keeper's first scan finds it
  waiting_[header.level.load_once().at_most(static_cast<std::uint32_t>(waiting_.size()) - 1)].push_back(
      {value_of(header.enqueued_at_ns) / ns_per_ms, job_id_of(word, index).value()});
  return false;
}

DueTime TableRebuild::on_its_clock(DueTime due) const noexcept {
  if (due.is_wall) return due;
  const std::uint64_t end_ns = later_by(now_.lease_ns, due.ns - std::min(due.ns, now_.wall_ns));
  return {.ns = std::min(end_ns, DueTime::wall_bit - 1), .is_wall = false};
}

void TableRebuild::place_kinds() {
  NameTable table = segment_->kinds();
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    if (kinds_[kind].name.empty() && kinds_used_.test(kind)) {
      // No other kind may get this number while these jobs wait, and their worker must be able to name it.
      kinds_[kind].name = fmt::format("lost-kind-{}", kind);
      JournalDamage damage;
      damage.reason = fmt::format("the name of kind {} was lost: its jobs are of kind {} now", kind, kinds_[kind].name);
      damage_.push_back(std::move(damage));
    }
    if (!kinds_[kind].name.empty()) table.place(kind, kinds_[kind].name);
  }
}

void TableRebuild::place_unique() {
  const std::vector<JobId> too_many = UniqueJobs(*segment_).place(std::move(unique_));
  if (too_many.empty()) return;
  JournalDamage damage;
  damage.reason =
      fmt::format("{} jobs have a unique key that others have as well: they do not hold it", too_many.size());
  damage.suspects.assign(too_many.begin(),
                         too_many.begin() + static_cast<std::ptrdiff_t>(std::min(too_many.size(), most_suspects)));
  damage_.push_back(std::move(damage));
}

void TableRebuild::place_hints() {
  for (std::uint32_t level = 0; level < waiting_.size(); ++level) {
    std::vector<Waiting>& jobs = waiting_[level];
    if (jobs.empty()) continue;
    // Cells are given from the lowest on, so that a young engine's come in this order already.
    if (!std::ranges::is_sorted(jobs)) std::ranges::sort(jobs);
    place_hints_in_level(level, jobs);
    std::vector<Waiting>().swap(jobs);
  }
}

void TableRebuild::place_hints_in_level(std::uint32_t level, const std::vector<Waiting>& jobs) {
  LevelEntry& entry = segment_->level(level);
  const LevelWord word = segment_->level_word(level);
  // It was removed after all, or a removal had not ended (core/levels/dynamic_levels.h, level.R4): its jobs count more.
  if (!segment_->has_level(level))
    set(entry.dynamic_state, LevelWord{.state = LevelState::open, .epoch = word.epoch}.bits());
  const auto is_live = [](std::uint64_t) { return true; };
  Ring ring = segment_->ring(level);
  std::uint64_t position = ring.tail();
  for (const Waiting& job : jobs) {
    if (ring.push_at(position, JobTable::hint_of(JobId(job.id)), is_live) == Ring::Pushed::done) continue;
    entry.overflow.store(SpillState::spilled);
    break;  // the keeper's first scan finds them
  }
  ring.raise_tail(position);
}

}  // namespace ringmill
