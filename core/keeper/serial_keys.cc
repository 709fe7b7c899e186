#include "core/keeper/serial_keys.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "ipc/clock.h"
#include "ipc/wait_mark.h"

namespace ringmill {

bool SerialKeys::is_active(CellState state) noexcept {
  return state == CellState::queued || state == CellState::running || state == CellState::completing ||
         state == CellState::delayed;
}

bool SerialKeys::has_active_job(const Key& key) const noexcept {
  if (!key.active) return false;
  const StateWord word = settling_->table().word(index_of(key.active));
  return word.generation() == generation_of(key.active) && is_active(word.state());
}

void SerialKeys::touch(std::uint64_t hash, Key& key) {
  if (std::exchange(key.has_changed, true)) return;
  changed_.push_back(hash);
}

bool SerialKeys::block_again(CellIndex index, StateWord delayed) noexcept {
  std::uint64_t expected = delayed.bits();
  return settling_->table().state(index).compare_exchange_strong(expected, delayed.next(CellState::blocked, 0).bits());
}

void SerialKeys::look_at(CellIndex index, StateWord word, const SerialPlace& place) {
  const JobTable& table = settling_->table();
  if (table.word(index) != word) return;  // its next mark comes
  const JobId id = job_id_of(word, index);
  if (word.state() == CellState::delayed && place.may_be_passed &&
      WaitMark::of_parked(table.header(index).cause.load(), word) == WaitMark::Reason::none) {
    if (!block_again(index, word)) return;  // serial.S6
    word = table.word(index);
    if (word.generation() != generation_of(id)) return;
  }
  if (word.state() == CellState::blocked) {
    if (notes_.is_empty()) notes_ = ZeroedArray<std::uint16_t>(settling_->segment().geometry().capacity);
    Key& key = keys_[place.key];
    std::uint16_t& note = notes_[index];
    if (const std::uint16_t own = JobTable::note_of(JobTable::hint_of(id)); note != own) {
      note = own;
      key.row.push_back({.number = place.number, .id = id.value(), .pass = pass_});  // serial.S3
      std::ranges::push_heap(key.row, std::greater<>());
    }
    touch(place.key, key);
  } else if (is_active(word.state())) {
    keys_[place.key].active = id;
  } else if (const auto known = keys_.find(place.key); known != keys_.end()) {
    touch(place.key, known->second);  // serial.S5
  }
}

void SerialKeys::pop(Key& key) {
  const JobId id(key.row.front().id);
  std::uint16_t& note = notes_[index_of(id)];
  if (note == JobTable::note_of(JobTable::hint_of(id))) note = 0;
  std::ranges::pop_heap(key.row, std::greater<>());
  key.row.pop_back();
}

SerialKeys::Next SerialKeys::promote_next(Key& key, std::vector<JobId>& timed) {
  const JobTable& table = settling_->table();
  if (has_active_job(key)) return Next::waits;
  while (!key.row.empty()) {
    const Entry first = key.row.front();
    const JobId id(first.id);
    const CellIndex index = index_of(id);
    const StateWord word = table.word(index);
    if (word.generation() != generation_of(id) || word.state() != CellState::blocked) {
      pop(key);
      continue;
    }
    if (first.pass >= pass_) return Next::again;
    const DueTime due = DueTime::of(table.header(index).due_at.load());
    const auto place = serial_place_of(table, index);
    if (due.ns > (due.is_wall ? exact_wall_clock_ns() : lease_clock_ns())) {
      timed.push_back(id);
      if (!place || !place->may_be_passed) return Next::waits;
      pop(key);  // it comes back when its time has come
      continue;
    }
    key.active = id;
    pop(key);
    if (settling_->promote(index, word)) return Next::waits;  // serial.S4
  }
  return Next::none;
}

bool SerialKeys::promote(std::uint32_t most, std::vector<JobId>& timed) {
  std::vector<std::uint64_t> again;
  std::size_t next = 0;
  for (; next < changed_.size() && most != 0; ++next, --most) {
    const auto known = keys_.find(changed_[next]);
    if (known == keys_.end()) continue;
    switch (promote_next(known->second, timed)) {
      case Next::none:
        keys_.erase(known);
        break;
      case Next::waits:
        known->second.has_changed = false;
        break;
      case Next::again:
        again.push_back(changed_[next]);
        break;
    }
  }
  changed_.erase(changed_.begin(), changed_.begin() + static_cast<std::ptrdiff_t>(next));
  changed_.insert(changed_.end(), again.begin(), again.end());
  return !changed_.empty();
}

}  // namespace ringmill
