// The participants that sleep for jobs, as the keeper sees them.
#pragma once

#include <bit>
#include <cstdint>

#include "ipc/segment.h"

namespace ringmill {

/// Calls `visit(entry)` for each participant whose bit says that it sleeps for jobs. It may have woken meanwhile.
template <class Visit>
void for_each_sleeping_claimer(const Segment& segment, Visit&& visit) {
  const std::uint32_t end = segment.participants_end();
  for (std::uint32_t word = 0; word * 64 < end; ++word) {
    for (std::uint64_t bits = segment.signals().sleepers[word].load(); bits != 0; bits &= bits - 1) {
      const std::uint32_t number = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      if (number < end) visit(segment.participant(number));  // else the bit is corrupted
    }
  }
}

}  // namespace ringmill
