#include "core/table/results.h"

namespace ringmill {

bool Results::hand_over(CellIndex index, JobId job, JobId carrier) noexcept {
  if (!table_.can_have_given(carrier)) return false;
  const CellHeader& from = table_.header(index_of(carrier));
  CellHeader& to = table_.header(index);
  // ORDER relaxed: written by the owner of both cells, or by its reaper after its death. The numbers are bounded by the
  // arena.
  const std::uint32_t unit = from.extent.load_once(std::memory_order_relaxed).unbounded();
  const std::uint32_t bytes = from.payload_bytes.load_once(std::memory_order_relaxed).unbounded();
  // A carrier that was given back, and that another job has, says another unit: that one's word is not the carrier's.
  if (!arena_.is_of(unit, carrier) && !arena_.is_of(unit, job)) return false;
  give_up_extent(index, job, unit);
  to.result_extent.store(unit, std::memory_order_relaxed);
  to.lease_ms.store(bytes, std::memory_order_relaxed);
  to.flags.fetch_or(cell_flag::result_in_arena);          // result.R4
  if (arena_.hand_over(unit, carrier, job)) return true;  // result.R5
  to.flags.fetch_and(static_cast<std::uint16_t>(~cell_flag::result_in_arena));
  return false;
}

void Results::give_up_extent(CellIndex index, JobId job, std::uint32_t but) noexcept {
  const CellHeader& header = table_.header(index);
  if ((header.flags.load() & cell_flag::result_in_arena) == 0) return;
  // ORDER relaxed: as above.
  const std::uint32_t unit = header.result_extent.load_once(std::memory_order_relaxed).unbounded();
  if (unit != but) arena_.give_up(unit, job);
}

}  // namespace ringmill
