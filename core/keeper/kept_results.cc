#include "core/keeper/kept_results.h"

#include <algorithm>
#include <functional>

#include "ipc/clock.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// Values go behind all results.
constexpr std::uint64_t behind_results_ms = std::uint64_t{1} << 60;

/// A sixty-fourth of the cells, 64 to 4096: what producers take while the keeper sleeps. In a small table an eighth.
std::uint32_t low_water_of(const CellRange& cells) noexcept {
  return std::clamp(cells.size() / 64, std::min(64U, cells.size() / 8), 4096U);
}

std::uint16_t note_of(JobId id) noexcept { return JobTable::note_of(JobTable::hint_of(id)); }

}  // namespace

KeptResults::KeptResults(Segment& segment, Reaper& reaper) : segment_(&segment), reaper_(&reaper) {
  const Room room(segment);
  // Beside what has to stay free for running handlers.
  ranges_.push_back({.cells = room.common(), .low_water = room.leases() + low_water_of(room.common())});
  for (std::uint32_t level = 0; level <= segment.geometry().level_count; ++level) {
    const CellRange own = room.own_of(level);
    if (own.size() != 0) ranges_.push_back({.cells = own, .low_water = low_water_of(own)});
  }
}

std::uint64_t KeptResults::now_ms() noexcept { return exact_wall_clock_ns() / ns_per_ms; }

std::uint64_t KeptResults::limit() const noexcept {
  const std::uint64_t limit = segment_->signals().results_limit.load_once().unbounded();  // is compared only
  return limit != 0 ? limit : ~std::uint64_t{0};
}

bool KeptResults::has_any() const noexcept {
  return std::ranges::any_of(ranges_, [](const Range& range) { return !range.heap.empty(); });
}

KeptResults::Range& KeptResults::range_of(CellIndex index) noexcept {
  for (Range& range : ranges_) {
    if (index >= range.cells.first && index < range.cells.end) return range;
  }
  return ranges_.front();
}

KeptResults::Range& KeptResults::oldest_range() noexcept {
  Range* oldest = nullptr;
  for (Range& range : ranges_) {
    if (range.heap.empty()) continue;
    if (oldest == nullptr || oldest->heap.front() > range.heap.front()) oldest = &range;
  }
  return oldest != nullptr ? *oldest : ranges_.front();
}

std::uint32_t KeptResults::lack_in(const Range& range) const noexcept {
  // The table grows before a result has to go.
  const CellChunks& chunks = reaper_->settling().table().chunks();
  if (range.cells.size() == 0) return 0;
  for (std::uint32_t chunk = chunks.chunk_of(range.cells.end - 1) + 1; chunk-- > chunks.chunk_of(range.cells.first);) {
    if (chunks.word(chunk).state == ChunkState::absent) return 0;
  }
  const std::uint32_t free = segment_->free_map().count(range.cells.first, range.cells.end, range.low_water);
  return range.low_water - std::min(free, range.low_water);
}

void KeptResults::add(Range& range, Entry entry) {
  range.heap.push_back(entry);
  std::ranges::push_heap(range.heap, std::greater<>());
}

void KeptResults::note(CellIndex index, StateWord word) {
  const JobTable& table = reaper_->settling().table();
  if (!is_evictable(table, index, word)) return;
  if (noted_.is_empty()) noted_ = ZeroedArray<std::uint16_t>(table.capacity());
  const JobId id = job_id_of(word, index);
  if (noted_[index] == note_of(id)) return;
  const CellOptions* const options = table.options(index);
  const std::uint64_t ended_at_ms = options != nullptr ? options->ended_at_ms.load() : 0;
  const bool is_value = (table.header(index).flags.load() & cell_flag::is_value) != 0;
  add(range_of(index), {.ended_at_ms = (ended_at_ms != 0 ? ended_at_ms : now_ms()) + (is_value ? behind_results_ms : 0),
                        .id = id.value()});
  if (noted_[index] == 0) ++count_;
  noted_[index] = note_of(id);
}

void KeptResults::forget(CellIndex index) noexcept {
  if (noted_.is_empty() || noted_[index] == 0) return;
  noted_[index] = 0;
  --count_;
}

void KeptResults::check(CellIndex index, StateWord word) noexcept {
  if (noted_.is_empty() || noted_[index] == 0) return;
  if (!is_kept(word.state()) || noted_[index] != note_of(job_id_of(word, index))) forget(index);
}

void KeptResults::end_scan() {
  for (Range& range : ranges_) {
    if (range.heap.size() < 2 * count_ + 1024) continue;  // few of its entries speak of nothing
    std::erase_if(range.heap, [this](const Entry& entry) {
      return noted_.is_empty() || noted_[index_of(JobId(entry.id))] != note_of(JobId(entry.id));
    });
    std::ranges::make_heap(range.heap, std::greater<>());
  }
  publish();
}

bool KeptResults::take(Range& range, Entry& entry) noexcept {
  std::ranges::pop_heap(range.heap, std::greater<>());
  entry = range.heap.back();
  range.heap.pop_back();
  const JobId id(entry.id);
  const CellIndex index = index_of(id);
  if (noted_.is_empty() || noted_[index] != note_of(id)) return false;
  const JobTable& table = reaper_->settling().table();
  const StateWord word = table.is_there(index) ? table.word(index) : StateWord();
  if (is_kept(word.state()) && word.generation() == generation_of(id)) return true;
  forget(index);
  return false;
}

}  // namespace ringmill
