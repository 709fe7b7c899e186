// When a job that waits is dead because no worker has begun it in time.
#pragma once

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

}  // namespace ringmill
