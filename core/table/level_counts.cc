#include "core/table/level_counts.h"

#include "core/table/level_bound.h"
#include "ipc/registry.h"

namespace ringmill {

bool LevelCounts::are_all_at_rest() const noexcept {
  bool at_rest = true;
  for_each_entry(*segment_, [&at_rest](std::uint32_t, const ParticipantEntry& entry) {
    if (EntryState::of(entry).state == ParticipantState::alive && entry.counting.load() % 2 != 0) at_rest = false;
  });
  return at_rest;
}

void LevelCounts::begin() {
  levels_.clear();
  place_of_.assign(segment_->geometry().level_numbers(), 0);
  for (std::uint32_t number = 0; number < segment_->levels_end(); ++number) {
    const LevelEntry& entry = segment_->level(number);
    if (!segment_->has_level(number) || entry.most_cells.load_once() == 0U) continue;
    levels_.push_back({.number = number, .came = entry.came.load(), .went = entry.went.load()});  // count.C1
    place_of_[number] = static_cast<std::uint32_t>(levels_.size());
  }
  was_at_rest_ = levels_.empty() || are_all_at_rest();
}

void LevelCounts::count(CellIndex index) noexcept {
  CellHeader& header = table_.header(index);
  const StateWord word = table_.word(index);
  if (!word.has_job()) return;
  // ORDER second-look: each load acquires.
  const auto level = header.level.load_once(std::memory_order_acquire).below(segment_->geometry().level_numbers());
  const std::uint16_t flags = header.flags.load(std::memory_order_acquire);
  if (!level || place_of_[*level] == 0 || table_.word(index).generation() != word.generation()) return;
  Counted& counted = levels_[place_of_[*level] - 1];
  ++counted.seen;
  if ((flags & cell_flag::counted) != 0) return;
  // First the count, then the flag: killed in between, one too many is counted.
  segment_->level(*level).came.fetch_add(1);
  ++counted.came;
  header.flags.fetch_or(cell_flag::counted);  // of another job, if this one has just ended: count.C4 of a later scan
}

void LevelCounts::end() noexcept {
  const bool is_at_rest = was_at_rest_ && !levels_.empty() && are_all_at_rest();  // count.C3
  for (const Counted& counted : levels_) {
    LevelEntry& entry = segment_->level(counted.number);
    if (!is_at_rest || entry.came.load() != counted.came || entry.went.load() != counted.went) continue;
    const std::uint64_t held = counted.came - counted.went;
    if (held == counted.seen) continue;
    if (held > counted.seen && counted.came >= counted.went) {
      entry.went.fetch_add(held - counted.seen);  // count.C4
    } else {
      entry.came.fetch_add(counted.seen - held);
    }
    wake_for_space(*segment_);
  }
  levels_.clear();
}

void count_all_jobs(const Segment& segment) {
  const auto look = segment.look();
  LevelCounts counts(segment);
  counts.begin();
  JobTable(segment).for_each_cell([&counts](CellIndex index) { counts.look_at(index); });
  counts.end();
}

}  // namespace ringmill
