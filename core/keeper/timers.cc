#include "core/keeper/timers.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include "core/table/expiry.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// The interval of checks for what sets no mark: a parent that is completing, records that are not durable yet.
constexpr std::uint64_t soon_ns = 2 * ns_per_ms;

}  // namespace

void Timers::push(Heap& heap, Entry entry) {
  heap.push_back(entry);
  std::ranges::push_heap(heap, std::greater<>());
}

void Timers::remember(JobId id, DueTime due) {
  push(due.is_wall ? by_wall_clock_ : by_lease_clock_, {due.ns, id.value()});
  if (rebuilding_) push(due.is_wall ? next_by_wall_clock_ : next_by_lease_clock_, {due.ns, id.value()});
}

void Timers::look_at(CellIndex index) {
  const JobTable& table = reaper_->settling().table();
  const StateWord word = table.word(index);
  const JobId id = job_id_of(word, index);
  look_at_serial_key(index, word);
  // Read before run() checks the word again: a torn value costs one check.
  switch (word.state()) {
    case CellState::delayed: {
      const WaitMark::Reason reason = WaitMark::of_parked(table.header(index).cause.load(), word);
      if (reason != WaitMark::Reason::none) {
        parked_.note(table, index, word);
      } else {
        remember(id, DueTime::of(table.header(index).due_at.load()));
      }
      break;
    }
    case CellState::completed:
    case CellState::cancelled:
      note_end(index, word);
      kept_.note(index, word);
      remember(id, DueTime::of(table.header(index).due_at.load()));
      break;
    case CellState::burying:
      note_end(index, word);
      if (may_go(index, word)) {
        burying_.push_back(index);
      } else {
        look_again_soon(id);
      }
      return;
    case CellState::blocked:
    case CellState::queued:
      look_at_parents(index, word);
      break;
    case CellState::running:
      look_at_parents(index, word);
      return;
    default:
      return;
  }
  if (!waits_to_begin(word.state())) return;
  if (const DueTime expiry = expiry_due(table, index); expiry.ns != 0) remember(id, expiry);
}

void Timers::look_at_serial_key(CellIndex index, StateWord word) {
  if (!word.has_job()) return;
  if (const auto place = serial_place_of(reaper_->settling().table(), index)) serial_keys_.look_at(index, word, *place);
}

bool Timers::promote_serial(std::uint32_t most) {
  if (!has_scanned_) return false;  // another job of a key may be active
  std::vector<JobId> timed;
  const bool more = serial_keys_.promote(most, timed);
  const JobTable& table = reaper_->settling().table();
  for (const JobId id : timed) remember(id, DueTime::of(table.header(index_of(id)).due_at.load()));
  return more;
}

void Timers::look_again_soon(JobId id) { remember(id, {.ns = lease_clock_ns() + soon_ns, .is_wall = false}); }

void Timers::look_at_parents(CellIndex index, StateWord word) {
  if (reaper_->settling().table().parents(index) == 0) return;
  if (dependencies_.look_at(index, word)) look_again_soon(job_id_of(word, index));
}

void Timers::note_end(CellIndex index, StateWord word) {
  const JobTable& table = reaper_->settling().table();
  if ((table.header(index).flags.load() & cell_flag::end_is_seen) == 0) return;
  std::vector<JobId> no_longer_kept;
  dependencies_.note_end(index, word, no_longer_kept);
  for (const JobId parent : no_longer_kept) remember(parent, {});
}

bool Timers::may_go(CellIndex index, StateWord word) {
  const std::uint16_t flags = reaper_->settling().table().header(index).flags.load();
  const bool has_records_to_come = (flags & cell_flag::leads_bundle) != 0 && (flags & cell_flag::memory_only) == 0 &&
                                   segment_->marks().is_marked(index);
  if (has_records_to_come) return false;
  if (word.state() == CellState::burying) return true;  // a dead job has no result to keep
  const JobId id = job_id_of(word, index);
  if (!has_scanned_ || dependencies_.is_wanted(id)) return false;
  return (flags & cell_flag::has_children) == 0 || (dependencies_.knows_all() && grace_.has_passed(id));
}

void Timers::look_at_marked() {
  grace_.begin_pass();
  overflow_queue_.begin_pass();
  serial_keys_.begin_pass();
  const JobTable& table = reaper_->settling().table();
  struct Marked {
    CellIndex first = 0;
    std::uint64_t bits = 0;
  };
  const auto look_at_all = [this](Marked marked) {
    for (; marked.bits != 0; marked.bits &= marked.bits - 1) {
      const CellIndex index = marked.first + static_cast<std::uint32_t>(std::countr_zero(marked.bits));
      look_at(index);
      overflow_queue_.add_marked(index);
    }
  };
  // The cells of one word come into the cache while those of the word before are looked at.
  Marked before;
  segment_->keeper_marks().take_all([&](CellIndex first, std::uint64_t marks) {
    for (std::uint64_t bits = marks; bits != 0; bits &= bits - 1) {
      table.prefetch_to_look(first + static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
    overflow_queue_.prefetch(first);
    look_at_all(std::exchange(before, {.first = first, .bits = marks}));
  });
  look_at_all(before);
}

void Timers::run(JobId id, Now now) {
  const CellIndex index = index_of(id);
  const JobTable& table = reaper_->settling().table();
  const StateWord word = table.word(index);
  if (word.generation() != generation_of(id)) return;
  const DueTime due = DueTime::of(table.header(index).due_at.load());
  const bool is_due = due.ns <= (due.is_wall ? now.wall_ns : now.lease_ns);
  const std::uint64_t expires_ns = expiry_due(table, index).ns;
  // Each of these swaps `word`: the values read above belong to it, or the swap fails.
  if (waits_to_begin(word.state()) && expires_ns != 0 && expires_ns <= now.wall_ns) {
    reaper_->expire_job(index, word);
    return;
  }
  switch (word.state()) {
    case CellState::delayed:
      if (is_due) reaper_->settling().promote(index, word);
      return;
    case CellState::blocked:
    case CellState::queued:
    case CellState::running:
      look_at_parents(index, word);
      look_at_serial_key(index, word);
      return;
    case CellState::completed:
    case CellState::cancelled:
      if (!is_due) return;
      if (may_go(index, word)) {
        if (reaper_->drop(index, word)) kept_.forget(index);
        grace_.forget(id);
      } else if (!dependencies_.is_wanted(id)) {
        look_again_soon(id);
      }
      return;
    case CellState::burying:
      look_at(index);
      return;
    default:
      return;
  }
}

bool Timers::run_due(Heap& heap, std::uint64_t until_ns, Now now, std::uint32_t& most) {
  for (; !heap.empty() && heap.front().due_ns <= until_ns; --most) {
    if (most == 0) return true;
    std::ranges::pop_heap(heap, std::greater<>());
    const JobId id(heap.back().id);
    heap.pop_back();
    run(id, now);
  }
  return false;
}

bool Timers::run_due(std::uint32_t most) {
  const Now now{.lease_ns = lease_clock_ns(), .wall_ns = exact_wall_clock_ns()};
  const bool more = run_due(by_lease_clock_, now.lease_ns, now, most);
  return run_due(by_wall_clock_, now.wall_ns, now, most) || more;
}

std::uint64_t Timers::next_due_ns() const noexcept {
  std::uint64_t next = parked_.next_due_ns();
  if (!by_lease_clock_.empty()) next = std::min(next, by_lease_clock_.front().due_ns);
  if (!by_wall_clock_.empty()) {
    next = std::min(next, KeeperMarks::on_lease_clock({.ns = by_wall_clock_.front().due_ns, .is_wall = true}));
  }
  return next;
}

bool Timers::evict(std::uint32_t most) {
  return kept_.evict(most, [this](CellIndex index, StateWord word) { return may_go(index, word); });
}

void Timers::begin_rebuild() {
  rebuilding_ = true;
  parked_.begin_rebuild();
  next_by_lease_clock_.clear();
  next_by_wall_clock_.clear();
}

void Timers::end_rebuild() {
  if (!rebuilding_) return;
  rebuilding_ = false;
  has_scanned_ = true;
  parked_.end_rebuild();
  kept_.end_scan();
  grace_.forget_passed();
  by_lease_clock_.swap(next_by_lease_clock_);
  by_wall_clock_.swap(next_by_wall_clock_);
  next_by_lease_clock_.clear();
  next_by_wall_clock_.clear();
}

}  // namespace ringmill
