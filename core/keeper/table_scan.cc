#include "core/keeper/table_scan.h"

#include <algorithm>

#include "core/table/damage.h"

namespace ringmill {

void TableScan::start(const Owners& dead) {
  phase_ = Phase::cells;
  dead_ = dead;
  next_ = 0;
  generation_limit_ = segment_->signals().generation_limit.load();
  segment_->chunks().repair_bits();  // before a cell is looked at: this scan lists theirs
  notes_ = ZeroedArray<std::uint16_t>(segment_->geometry().capacity);
  timers_->begin_rebuild();
  level_counts_.begin();
}

bool TableScan::step(std::uint32_t count) {
  switch (phase_) {
    case Phase::cells:
      look_at_cells(count);
      return false;
    case Phase::hints:
      cross_out_hints(count);
      return false;
    case Phase::notes:
      place_what_is_left(count);
      return phase_ == Phase::over;
    case Phase::over:
      break;
  }
  return true;
}

void TableScan::look_at_cells(std::uint32_t count) {
  const std::uint32_t capacity = segment_->geometry().capacity;
  const CellChunks& chunks = reaper_->settling().table().chunks();
  next_ = chunks.next_there(next_);
  const CellIndex end = std::min(capacity, next_ + (count + 63) / 64 * 64);
  FreeMap free_map = segment_->free_map();
  bool listed = false;
  for (; next_ < end; next_ = chunks.next_there(next_ + 64)) {
    std::uint64_t unlisted = 0;
    for (CellIndex index = next_; index < next_ + 64; ++index) {
      look_at(index, unlisted);
      level_counts_.look_at(index);
    }
    if (unlisted != 0) {
      free_map.put(next_, unlisted);
      listed = true;
    }
    free_map.repair_summary(next_ / 64);
    segment_->keeper_marks().repair_summary(next_ / 64);
  }
  if (listed) {
    // What a living participant had in hand is listed, too: it drops that with its next call (visit.V2).
    segment_->signals().chunks_left.fetch_add(1);
    wake_for_space(*segment_);
  }
  if (next_ < capacity) return;
  timers_->end_rebuild();
  level_counts_.end();
  phase_ = Phase::hints;
  level_ = 0;
  left_ = 0;
}

void TableScan::look_at(CellIndex index, std::uint64_t& unlisted) {
  const StateWord word = reaper_->settling().table().word(index);
  timers_->kept().check(index, word);
  switch (word.state()) {
    case CellState::free:
      if (word.generation() <= generation_limit_ && word.generation() < most_generation &&
          !segment_->free_map().lists(index)) {
        unlisted |= std::uint64_t{1} << (index % 64);
      }
      return;
    case CellState::queued:
      if (is_buried_as_damaged(index, word)) return;
      notes_[index] = JobTable::note_of(JobTable::hint_of(job_id_of(word, index)));
      timers_->look_at(index);
      return;
    case CellState::delayed:
    case CellState::blocked:
      if (!is_buried_as_damaged(index, word)) timers_->look_at(index);
      return;
    case CellState::completed:
    case CellState::cancelled:
    case CellState::burying:
      timers_->look_at(index);
      return;
    case CellState::running:
      timers_->look_at(index);
      break;
    default:
      break;
  }
  const std::uint32_t owner = word.owner();
  if (owner == 0 || owner > most_participants || !dead_.test(owner - 1)) return;
  reaper_->apply_rule(index, word, owner);
  if (reaper_->settling().table().word(index).state() == CellState::free) unlisted |= std::uint64_t{1} << (index % 64);
}

/// Buries a damaged job. Without this, one whose kind or level has no worker would stay for ever.
bool TableScan::is_buried_as_damaged(CellIndex index, StateWord word) {
  const auto damage = damage_of(*segment_, job_id_of(word, index));
  if (!damage) return false;
  reaper_->bury(index, word, DeathCause::failed, sentence_of(*damage));  // swaps `word`: what was read belongs to it
  return true;
}

void TableScan::cross_out_hints(std::uint32_t count) {
  const std::uint32_t levels = segment_->levels_end();
  for (; level_ < levels; ++level_, left_ = 0) {
    if (!segment_->has_level(level_)) continue;
    const Ring ring = segment_->ring(level_);
    if (left_ == 0) {
      position_ = ring.head();
      left_ = ring.slot_count();
    }
    for (; left_ != 0; --left_, ++position_, --count) {
      if (count == 0) return;
      const std::uint64_t word = ring.slot(position_);
      if (ring.turn_of(word, position_) == Ring::Turn::before) break;
      const std::uint64_t hint = Ring::hint_of(word);
      const CellIndex index = JobTable::index_of_hint(hint);
      if (index < notes_.size() && notes_[index] == JobTable::note_of(hint)) notes_[index] = 0;
    }
  }
  phase_ = Phase::notes;
  next_ = 0;
}

void TableScan::place_what_is_left(std::uint32_t count) {
  const JobTable& table = reaper_->settling().table();
  next_ = table.chunks().next_there(next_);
  const CellIndex end = std::min(table.capacity(), next_ + count);
  for (; next_ < end; next_ = table.chunks().next_there(next_ + 1)) {
    if (notes_[next_] == 0) continue;
    const StateWord word = table.word(next_);
    const JobId id = job_id_of(word, next_);
    if (word.state() != CellState::queued || notes_[next_] != JobTable::note_of(JobTable::hint_of(id))) continue;
    timers_->overflow_queue().add(next_);
  }
  if (next_ < table.capacity()) return;
  timers_->overflow_queue().note_scan_ended();
  phase_ = Phase::over;
}

}  // namespace ringmill
