#include "core/keeper/waiting_room.h"

#include <algorithm>
#include <functional>

#include "ipc/clock.h"

namespace ringmill {

namespace {

/// Those who sleep are looked at this often.
constexpr std::uint64_t serve_every_ns = 2'000'000;

}  // namespace

void WaitingRoom::put(std::uint32_t number, Entry entry) {
  const std::uint32_t first = segment_->geometry().level_count;
  if (heaps_.empty()) {
    heaps_.resize(most_runtime_levels);
    notes_.assign(segment_->geometry().capacity, 0);
  }
  std::uint16_t& note = notes_[JobTable::index_of_hint(entry.hint)];
  if (note == JobTable::note_of(entry.hint)) return;  // it waits here already
  note = JobTable::note_of(entry.hint);
  Heap& heap = heaps_[number - first];
  heap.push_back(entry);
  std::ranges::push_heap(heap, std::greater<>());
}

WaitingRoom::Entry WaitingRoom::pop(Heap& heap) {
  std::ranges::pop_heap(heap, std::greater<>());
  const Entry entry = heap.back();
  heap.pop_back();
  std::uint16_t& note = notes_[JobTable::index_of_hint(entry.hint)];
  if (note == JobTable::note_of(entry.hint)) note = 0;
  return entry;
}

void WaitingRoom::take_in(CellIndex index, std::uint32_t number) {
  const JobTable& table = settling_->table();
  const StateWord word = table.word(index);
  const std::uint64_t enqueued_at_ns = table.header(index).enqueued_at_ns.load();
  if (word.state() != CellState::queued || table.header(index).level.load() != number) return;
  // If the job moved on meanwhile the time may be another one's: it is a place in a line, no more.
  put(number, {enqueued_at_ns, JobTable::hint_of(job_id_of(word, index))});
}

void WaitingRoom::take_in_marked(CellIndex index) {
  const std::uint32_t number = settling_->table().header(index).level.load();
  if (number < segment_->geometry().level_count || !segment_->has_level(number)) return;
  if (segment_->level(number).overflow.load() != 0 || lowering_ == number) take_in(index, number);
}

void WaitingRoom::take_in(CellIndex index) {
  const std::uint32_t number = settling_->table().header(index).level.load();
  if (number >= segment_->geometry().level_count && segment_->has_level(number)) take_in(index, number);
}

void WaitingRoom::follow_levels() {
  const std::uint32_t version = segment_->signals().levels_version.load();
  if (version == levels_version_) return;
  levels_version_ = version;
  numbers_.clear();
  for (std::uint32_t n = segment_->geometry().level_count; n < segment_->levels_end(); ++n) {
    if (segment_->has_level(n)) {
      numbers_.push_back(n);
    } else if (!heaps_.empty()) {
      Heap().swap(heap_of(n));  // of a level that is gone: what it named is over
    }
  }
}

void WaitingRoom::turn(const std::function<void()>& look_at_marks) {
  if (!has_seen_all_) return;
  follow_levels();
  is_needed_soon_ = false;
  for (const std::uint32_t number : numbers_) {
    LevelEntry& entry = segment_->level(number);
    const auto is_empty = [&] { return heaps_.empty() || heap_of(number).empty(); };
    if (entry.overflow.load() == 0 && is_empty()) continue;
    if (!is_empty()) feed(number, heap_of(number));  // F1
    if (is_empty()) {
      entry.overflow.store(0);  // F3
      lowering_ = number;
      look_at_marks();
      lowering_ = 0;
    }
    if (is_empty()) continue;
    entry.overflow.store(1);  // F2
    serve_sleepers(number, heap_of(number));
  }
}

void WaitingRoom::step_over_the_dead(Ring& ring) const noexcept {
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

void WaitingRoom::feed(std::uint32_t number, Heap& heap) {
  const JobTable& table = settling_->table();
  const auto is_live = [&table](std::uint64_t hint) { return table.is_live(hint); };
  Ring ring = segment_->ring(number);
  step_over_the_dead(ring);
  std::uint64_t position = ring.tail();
  if (position - std::min(ring.head(), position) > ring.slot_count() / 2) return;
  Arrival arrival;
  std::uint32_t count = 0;
  while (!heap.empty()) {
    const std::uint64_t hint = heap.front().hint;
    if (is_live(hint)) {
      if (ring.push_at(position, hint, is_live) == Ring::Pushed::full) break;
      arrival.add(number, table.header(JobTable::index_of_hint(hint)).kind.load());
      ++count;
    }
    pop(heap);
  }
  ring.raise_tail(position);
  if (count != 0) wake_for_jobs(*segment_, arrival, count);
}

std::uint64_t WaitingRoom::kinds_of_sleepers(std::uint32_t number) const noexcept {
  std::uint64_t kinds = 0;
  const std::uint64_t level_bit = std::uint64_t{1} << (number % 64);
  for (std::uint32_t n = 0; n < most_participants; ++n) {
    if ((segment_->signals().sleepers[n / 64].load() >> (n % 64) & 1) == 0) continue;
    const ParticipantEntry& entry = segment_->participant(n);
    // Whoever takes any kind would not sleep before a full ring.
    if (entry.interest_any_kind.load() == 0 && (entry.interest_levels.load() & level_bit) != 0) {
      kinds |= entry.interest_kinds.load();
    }
  }
  return kinds;
}

void WaitingRoom::serve_sleepers(std::uint32_t number, Heap& heap) {
  const std::uint64_t kinds = kinds_of_sleepers(number);
  if (kinds == 0) return;
  is_needed_soon_ = true;
  const std::uint64_t now_ns = steady_clock_ns();
  if (now_ns - served_at_ns_ < serve_every_ns) return;
  served_at_ns_ = now_ns;
  const JobTable& table = settling_->table();
  const auto is_live = [&table](std::uint64_t hint) { return table.is_live(hint); };
  std::vector<Entry> wanted;
  for (const Entry& entry : heap) {
    const std::uint32_t kind = table.header(JobTable::index_of_hint(entry.hint)).kind.load();
    if ((kinds & Arrival::kind_bit(kind)) != 0 && is_live(entry.hint)) wanted.push_back(entry);
  }
  Ring ring = segment_->ring(number);
  const std::size_t most = ring.slot_count() / 4;
  std::ranges::sort(wanted);
  if (wanted.size() > most) wanted.resize(most);
  Arrival arrival;
  std::uint32_t count = 0;
  std::uint64_t position = ring.tail();
  for (const Entry& entry : wanted) {  // F4
    const std::uint64_t front = ring.head();
    const std::uint64_t word = ring.slot(front);
    if (position - front >= ring.slot_count() && ring.turn_of(word, front) == Ring::Turn::now) {
      const CellIndex index = JobTable::index_of_hint(Ring::hint_of(word));
      if (is_live(Ring::hint_of(word))) take_in(index, number);
      ring.raise_head(front + 1);
    }
    // It also stays where it waits: a doubled hint is harmless.
    if (ring.push_at(position, entry.hint, is_live) == Ring::Pushed::full) break;
    arrival.add(number, table.header(JobTable::index_of_hint(entry.hint)).kind.load());
    ++count;
  }
  ring.raise_tail(position);
  if (count != 0) wake_for_jobs(*segment_, arrival, count);
}

}  // namespace ringmill
