#include "core/keeper/overflow_queue.h"

#include <algorithm>
#include <functional>

#include "core/keeper/sleeping_claimers.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "ipc/spill_state.h"

namespace ringmill {

namespace {

/// over.F4 moves at most so many jobs in a turn of the keeper; the other levels have the next one. It pauses
/// afterwards, 2 ms after so many, so that it takes a part of the keeper's time whatever it moves.
constexpr std::uint32_t enough_moved = 16384;
constexpr std::uint64_t pause_ns_per_job = 2'000'000 / enough_moved;
/// A ring that was full of jobs that wait is not looked through again before this time.
constexpr std::uint64_t look_for_dead_every_ns = 20'000'000;
/// How many jobs ahead of a refill the cells are fetched into the cache.
constexpr std::size_t prefetch_distance = 16;

}  // namespace

void OverflowQueue::prefetch(CellIndex first) const noexcept {
  if (notes_.is_empty()) return;
  constexpr std::size_t per_line = cache_line_bytes / sizeof(notes_[0]);
  for (std::size_t n = 0; n < 64; n += per_line) prefetch_to_write(&notes_[first + n]);
}

Arrived OverflowQueue::pop(ArrivalRow& row) {
  const Arrived job = row.pop();
  RINGMILL_INVARIANT(row.front() == nullptr || !row.front()->is_older(job));  // in order of arrival
  std::uint16_t& note = notes_[JobTable::index_of_hint(job.hint)];
  if (note == JobTable::note_of(job.hint)) note = 0;
  return job;
}

void OverflowQueue::add(CellIndex index, std::uint32_t number, std::uint32_t order) {
  const JobTable& table = settling_->table();
  const StateWord word = table.word(index);
  const CellHeader& header = table.header(index);
  const std::uint64_t enqueued_at_ns = header.enqueued_at_ns.load();
  const std::uint32_t kind = header.kind.load_once().unbounded();  // it says which row, and nothing else
  if (word.state() != CellState::queued || header.level.load_once() != number) return;
  if (queues_.empty()) {
    queues_.resize(segment_->geometry().level_numbers());
    notes_ = ZeroedArray<std::uint16_t>(segment_->geometry().capacity);
  }
  const std::uint64_t hint = JobTable::hint_of(job_id_of(word, index));
  std::uint16_t& note = notes_[index];
  if (note == JobTable::note_of(hint)) return;  // it is queued here already
  note = JobTable::note_of(hint);
  // Time and kind may be those of the cell's next job. They decide the order, and nothing else.
  Arrived job;
  job.enqueued_at_ns = enqueued_at_ns;
  job.order = order & Arrived::most_order;
  job.hint = hint & Ring::hint_mask;
  if (newest_.is_before(job)) newest_ = job;
  queues_[number].add(job, Arrival::kind_bit(kind));
}

std::optional<std::uint32_t> OverflowQueue::level_of(CellIndex index) const noexcept {
  if (!settling_->table().is_there(index)) return std::nullopt;
  const auto number = settling_->table().header(index).level.load_once().below(segment_->geometry().level_numbers());
  return number && segment_->has_level(*number) ? std::optional<std::uint32_t>(*number) : std::nullopt;
}

void OverflowQueue::add_marked(CellIndex index) {
  const auto number = level_of(index);
  if (number && !settling_->is_direct(*number)) add(index, *number, Arrived::by_cell(index));
}

void OverflowQueue::add(CellIndex index) {
  if (const auto number = level_of(index)) add(index, *number, Arrived::by_cell(index));
}

void OverflowQueue::follow_levels() {
  const std::uint32_t version = segment_->signals().levels_version.load();
  if (version == levels_version_) return;
  levels_version_ = version;
  numbers_.clear();
  for (std::uint32_t n = 0; n < segment_->levels_end(); ++n) {
    if (segment_->has_level(n)) {
      numbers_.push_back(n);
    } else if (!queues_.empty()) {
      queues_[n] = {};  // of a removed level: its jobs have ended
    }
  }
}

void OverflowQueue::turn(const std::function<void()>& pass_over_marks) {
  if (!has_seen_all_) return;
  follow_levels();
  busy_.clear();
  bool pass_again = false;
  for (const std::uint32_t number : numbers_) {
    if (SpillState::is_direct(segment_->level(number).overflow.load()) && is_empty(number)) continue;
    busy_.push_back(number);
    pass_again = refill(number) || pass_again;  // over.F1
    pass_again = begin_draining(number) || pass_again;
  }
  is_needed_now_ = false;
  if (pass_again) pass_over_marks();
  for (const std::uint32_t number : busy_) {
    if (pass_again) is_needed_now_ = refill(number) || is_needed_now_;
    end_draining(number);
  }
  refill_for_sleepers(pass_over_marks);
}

bool OverflowQueue::begin_draining(std::uint32_t number) noexcept {
  if (!is_empty(number)) return false;
  auto& overflow = segment_->level(number).overflow;
  std::uint32_t word = overflow.load();
  while (!SpillState::is_draining(word)) {  // a keeper before us may have done this already
    if (SpillState::is_direct(word) || overflow.compare_exchange_strong(word, SpillState::to_draining(word))) break;
  }
  return true;
}

void OverflowQueue::end_draining(std::uint32_t number) noexcept {
  auto& overflow = segment_->level(number).overflow;
  std::uint32_t word = overflow.load();
  if (!is_empty(number)) {
    if (word != SpillState::to_spilled(word))
      overflow.compare_exchange_strong(word, SpillState::to_spilled(word));  // over.F2
    return;
  }
  RINGMILL_INVARIANT(SpillState::is_known(word));
  // Fails if a producer has set `spilled` since: its mark is for the next turn.
  if (!SpillState::is_draining(word) || !overflow.compare_exchange_strong(word, SpillState::to_direct(word)))
    return;                                    // over.F3
  if (!queues_.empty()) queues_[number] = {};  // gives its memory back
}

void OverflowQueue::step_over_dead_hints(Ring& ring) const noexcept {
  const JobTable& table = settling_->table();
  std::uint64_t position = ring.head();
  const std::uint64_t begin = position;
  for (std::uint64_t step = 0; step < ring.slot_count(); ++step, ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) break;
    if (ring.turn_of(word, position) == Ring::Turn::now && table.is_live(Ring::hint_of(word))) break;
  }
  if (position != begin) ring.raise_head(position);
}

bool OverflowQueue::take_back_living(std::uint32_t number, Ring& ring) {
  const std::uint64_t now_ns = steady_clock_ns();
  if (now_ns - looked_for_dead_at_ns_ < look_for_dead_every_ns) return false;
  const JobTable& table = settling_->table();
  const std::uint64_t begin = ring.head();
  struct Living {
    CellIndex index = 0;
    std::uint32_t order = 0;
  };
  std::vector<Living> living;
  std::uint64_t position = begin;
  for (; position < begin + ring.slot_count(); ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) break;
    table.prefetch_to_look(JobTable::index_of_hint(Ring::hint_of(ring.slot(position + prefetch_distance))));
    if (ring.turn_of(word, position) != Ring::Turn::now || !table.is_live(Ring::hint_of(word))) continue;
    living.push_back({JobTable::index_of_hint(Ring::hint_of(word)), Arrived::by_position(position)});
    if (living.size() <= ring.slot_count() / 4) continue;
    looked_for_dead_at_ns_ = now_ns;  // it is full of jobs that wait: not again for a while
    return false;
  }
  for (const Living job : living) add(job.index, number, job.order);
  ring.raise_head(position);  // over.F5
  return true;
}

bool OverflowQueue::refill(std::uint32_t number) {
  if (is_empty(number)) return false;
  RINGMILL_INVARIANT(has_seen_all_);  // before that the queue may lack a job that came earlier
  ArrivalOrder& queue = queues_[number];
  queue.settle(settled_until_);
  const JobTable& table = settling_->table();
  const auto is_live = [&table](std::uint64_t hint) { return table.is_live(hint); };
  Ring ring = segment_->ring(number);
  step_over_dead_hints(ring);
  std::uint64_t position = ring.tail();
  if (position - std::min(ring.head(), position) > ring.slot_count() / 2) {
    if (!take_back_living(number, ring)) return false;
    queue.settle(settled_until_);
    position = ring.tail();
  }
  Arrival arrival;
  std::uint32_t count = 0;
  ArrivalRow* row = queue.first();
  for (; row != nullptr; row = queue.first()) {
    prefetch_to_write(&notes_[JobTable::index_of_hint(row->hint_ahead(prefetch_distance))]);
    // Whether the job still waits is for its claimer to see: a look at a cell that the cache does not have costs more
    // than a dead hint, and hardly any is.
    if (ring.push_at(position, row->front()->hint, is_live) == Ring::Pushed::full) break;
    arrival.add_kinds(number, row->kind_bit());
    ++count;
    pop(*row);
  }
  ring.raise_tail(position);
  if (count != 0) wake_for_jobs(*segment_, arrival, count);
  return row == nullptr && !queue.is_empty();
}

std::uint64_t OverflowQueue::note_sleepers() {
  sleepers_.clear();
  std::uint64_t levels = 0;
  for_each_sleeping_claimer(*segment_, [&](const ParticipantEntry& entry) {
    // A participant that claims any kind does not sleep before a full ring.
    if (entry.interest_any_kind.load() != 0) return;
    sleepers_.push_back({.levels = entry.interest_levels.load(), .kinds = entry.interest_kinds.load()});
    levels |= sleepers_.back().levels;
  });
  return levels;
}

std::uint64_t OverflowQueue::kinds_of_sleepers(std::uint32_t number) const noexcept {
  std::uint64_t kinds = 0;
  for (const Sleeper& sleeper : sleepers_) {
    if ((sleeper.levels >> (number % 64) & 1) != 0) kinds |= sleeper.kinds;
  }
  return kinds;
}

void OverflowQueue::refill_for_sleepers(const std::function<void()>& pass_over_marks) {
  is_needed_soon_ = false;
  const auto has_no_work = [this](std::uint32_t number) {
    return is_empty(number) || !queues_[number].has_kinds(kinds_of_sleepers(number));
  };
  const bool has_jobs = std::ranges::any_of(busy_, [this](std::uint32_t number) { return !is_empty(number); });
  if (!has_jobs || note_sleepers() == 0) return;
  std::erase_if(busy_, has_no_work);
  if (busy_.empty()) return;
  is_needed_soon_ = true;
  const std::uint64_t now_ns = steady_clock_ns();
  if (now_ns < serve_next_at_ns_) return;
  const auto is_unsettled = [this](std::uint32_t number) {
    queues_[number].settle(settled_until_);
    return queues_[number].first(kinds_of_sleepers(number)) == nullptr;
  };
  if (std::ranges::any_of(busy_, is_unsettled)) {
    pass_over_marks();
    is_needed_now_ = true;  // it may have found jobs for a ring that is empty, too
  }
  std::ranges::rotate(busy_, std::ranges::lower_bound(busy_, serve_next_));
  std::uint32_t moved = 0;
  for (const std::uint32_t number : busy_) {
    moved += refill_for_kinds(number, kinds_of_sleepers(number));
    serve_next_ = number + 1;
    if (moved >= enough_moved) break;
  }
  serve_next_at_ns_ = now_ns + moved * pause_ns_per_job;
}

std::uint32_t OverflowQueue::refill_for_kinds(std::uint32_t number, std::uint64_t kinds) {
  queues_[number].settle(settled_until_);
  ArrivalOrder& queue = queues_[number];
  const JobTable& table = settling_->table();
  const auto is_live = [&table](std::uint64_t hint) { return table.is_live(hint); };
  Ring ring = segment_->ring(number);
  const std::uint64_t most = ring.slot_count() / 4;
  Arrival arrival;
  std::uint32_t count = 0;
  std::uint64_t position = ring.tail();
  for (ArrivalRow* row = queue.first(kinds); row != nullptr && count < most; row = queue.first(kinds)) {  // over.F4
    const std::uint64_t hint = row->front()->hint;
    if (is_live(hint)) {
      const std::uint64_t front = ring.head();
      const std::uint64_t word = ring.slot(front);
      if (position - front >= ring.slot_count() && ring.turn_of(word, front) == Ring::Turn::now) {
        if (is_live(Ring::hint_of(word))) {
          add(JobTable::index_of_hint(Ring::hint_of(word)), number, Arrived::by_position(front));
        }
        ring.raise_head(front + 1);
      }
      if (ring.push_at(position, hint, is_live) == Ring::Pushed::full) break;
      arrival.add(number, table.header(JobTable::index_of_hint(hint)).kind.load_once().unbounded());
      ++count;
    }
    pop(*row);
  }
  ring.raise_tail(position);
  if (count != 0) wake_for_jobs(*segment_, arrival, count);
  return count;
}

}  // namespace ringmill
