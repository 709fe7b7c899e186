#include "core/table/evictable.h"

#include <algorithm>
#include <array>

#include "ipc/waking.h"

namespace ringmill {

bool Eviction::may_go(CellIndex index, StateWord word, bool in_arena) const noexcept {
  const JobTable& table = settling_->table();
  // The keeper alone knows which children have not read their parents' ends yet.
  if (word.state() != CellState::completed || !is_evictable(table, index, word)) return false;
  const std::uint16_t flags = table.header(index).flags.load();
  if ((flags & (cell_flag::end_is_seen | cell_flag::is_value)) != 0) return false;
  return !in_arena || (flags & cell_flag::result_in_arena) != 0;
}

std::uint32_t Eviction::make_room(CellIndex first, CellIndex end, std::uint32_t wanted, Arena* arena) noexcept {
  const JobTable& table = settling_->table();
  const Segment& segment = settling_->segment();
  end = std::min(end, table.capacity());
  if (first >= end || segment.signals().results_kept.load() == 0) return 0;
  if (next_ < first || next_ >= end) next_ = first;
  std::uint32_t evicted = 0;
  std::array<Found, most_found> found;
  std::size_t count = 0;
  const auto evict_older_half = [&] {
    std::ranges::sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), {}, &Found::ended_at_ms);
    for (std::size_t n = 0; n < (count + 1) / 2 && evicted < wanted; ++n) {
      const SharedWord<std::uint32_t>& extent = table.header(found[n].index).result_extent;
      const std::uint32_t unit = extent.load_once().unbounded();        // of this result if the swap is won
      if (!evict(*settling_, found[n].index, found[n].word)) continue;  // evict.V2
      if (arena != nullptr) arena->note_free(unit, job_id_of(found[n].word, found[n].index));
      segment.free_map().put_cell(found[n].index);  // evict.V3
      ++evicted;
    }
    count = 0;
  };
  for (CellIndex left = end - first; left != 0 && evicted < wanted; --left) {
    const CellIndex index = next_;
    if (++next_ == end) next_ = first;
    if (!table.is_there(index)) continue;
    const StateWord word = table.word(index);  // evict.V1
    if (!may_go(index, word, arena != nullptr)) continue;
    const CellOptions* const options = table.options(index);
    found[count++] = {
        .index = index, .word = word, .ended_at_ms = options != nullptr ? options->ended_at_ms.load() : 0};
    if (count == most_found) evict_older_half();
  }
  if (evicted < wanted) evict_older_half();
  if (evicted != 0) {
    wake_for_space(segment);
    wake_for_extent(segment);
  }
  return evicted;
}

}  // namespace ringmill
