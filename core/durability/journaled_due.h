// A job's due time as a change record has it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/journal/format.h"
#include "ipc/clock.h"
#include "ipc/layout.h"

namespace ringmill {

/// Of a span what is left of it is added to the wall clock: that goes on while the machine is off.
inline std::uint64_t journaled_due(DueTime due) noexcept {
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  const std::uint64_t wall_ns =
      due.is_wall ? due.ns : later_by(exact_wall_clock_ns(), due.ns - std::min(due.ns, lease_clock_ns()));
  return ((wall_ns + ns_per_ms - 1) / ns_per_ms & (ChangeRecord::wall_bit - 1)) |
         (due.is_wall ? ChangeRecord::wall_bit : 0);
}

}  // namespace ringmill
