#include "core/keeper/table_scan.h"

#include <algorithm>

namespace ringmill {

void TableScan::start(const Owners& dead) {
  running_ = true;
  dead_ = dead;
  next_ = 0;
  suspects_.clear();
  generation_limit_ = segment_->signals().generation_limit.load();
  // Lowered before we look: who finds a ring full from now on raises it again.
  for (std::uint32_t n = 0; n < segment_->geometry().level_count; ++n) segment_->level(n).overflow.store(0);
  note_hints();
}

void TableScan::note_hints() {
  const std::uint32_t capacity = segment_->geometry().capacity;
  hinted_.assign(capacity, 0);
  for (std::uint32_t n = 0; n < segment_->geometry().level_count; ++n) {
    const Ring ring = segment_->ring(n);
    std::uint64_t position = ring.head();
    for (std::uint64_t step = 0; step < ring.slot_count(); ++step, ++position) {
      const std::uint64_t word = ring.slot(position);
      if (ring.turn_of(word, position) == Ring::Turn::before) break;
      const std::uint64_t hint = Ring::hint_of(word);
      const CellIndex index = JobTable::index_of_hint(hint);
      // A dead hint may name the cell of a job that waits in another level: only live ones count.
      if (index < capacity && reaper_->settling().table().is_live(hint))
        hinted_[index] = static_cast<std::uint16_t>((hint >> index_bits) + 1);
    }
  }
}

bool TableScan::has_hint(CellIndex index, StateWord word) const noexcept {
  return hinted_[index] == (word.generation() & 0xfff) + 1;
}

bool TableScan::step(std::uint32_t cells) {
  const std::uint32_t capacity = segment_->geometry().capacity;
  const CellIndex end = std::min(capacity, next_ + (cells + 63) / 64 * 64);
  FreeMap free_map = segment_->free_map();
  bool listed = false;
  for (; next_ < end; next_ += 64) {
    std::uint64_t unlisted = 0;
    for (CellIndex index = next_; index < next_ + 64; ++index) look_at(index, unlisted);
    if (unlisted != 0) {
      free_map.put(next_, unlisted);
      listed = true;
    }
    free_map.repair_summary(next_ / 64);
  }
  if (listed) wake_for_space(*segment_);
  if (next_ < capacity) return false;
  place_suspects();
  running_ = false;
  return true;
}

void TableScan::look_at(CellIndex index, std::uint64_t& unlisted) {
  const StateWord word = reaper_->settling().table().word(index);
  switch (word.state()) {
    case CellState::free:
      if (word.generation() <= generation_limit_ && word.generation() < most_generation &&
          !segment_->free_map().lists(index)) {
        unlisted |= std::uint64_t{1} << (index % 64);
      }
      return;
    case CellState::queued:
      if (!has_hint(index, word)) suspects_.push_back({index, word});
      return;
    default:
      break;
  }
  const std::uint32_t owner = word.owner();
  if (owner == 0 || owner > most_participants || !dead_.test(owner - 1)) return;
  reaper_->apply_rule(index, word, owner);
  if (reaper_->settling().table().word(index).state() == CellState::free) unlisted |= std::uint64_t{1} << (index % 64);
}

void TableScan::place_suspects() {
  if (suspects_.empty()) return;
  // A job that was being enqueued while we passed has its hint by now, unless its producer stands still or the ring was
  // full.
  note_hints();
  const JobTable& table = reaper_->settling().table();
  for (const Suspect& suspect : suspects_) {
    const StateWord word = table.word(suspect.index);
    if (word != suspect.word || has_hint(suspect.index, word)) continue;
    const CellHeader& header = table.header(suspect.index);
    reaper_->settling().place(job_id_of(word, suspect.index), header.level.load(), header.kind.load());
  }
  suspects_.clear();
}

}  // namespace ringmill
