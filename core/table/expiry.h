// When a job that waits is dead because no worker has begun it in time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/table/job_table.h"

namespace ringmill {

/// Milliseconds of the wall clock; 0: never. A job of which an attempt has ended was begun in time: it waits for its
/// retry, however long that takes. The caller looks at the cell's word again.
inline std::uint64_t expires_at_ms(const JobTable& table, CellIndex index) noexcept {
  const CellOptions* const options = table.options(index);
  if (options == nullptr || table.header(index).attempts.load() != 0) return 0;
  return options->expires_at_ms.load();
}

/// The same as the time when the keeper has to look at the job; ns 0: never.
inline DueTime expiry_due(const JobTable& table, CellIndex index) noexcept {
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  const std::uint64_t expires_ms = expires_at_ms(table, index);
  return {.ns = std::min(expires_ms, ~DueTime::wall_bit / ns_per_ms) * ns_per_ms, .is_wall = expires_ms != 0};
}

}  // namespace ringmill
