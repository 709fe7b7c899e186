// What an engine looks like from outside: one pass over the table, without trusting it, and one over a ring.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <ringmill/status.h>

#include "ipc/segment.h"

namespace ringmill {

/// Levels, totals, participants and cells; what concerns the engine's directory is left empty. `is_alive(n)` is asked
/// for entries in use.
EngineStatus view_status(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive);

/// The journal in its own words; its limit is left out.
JournalStatus view_journal(const JournalWords& words);
/// The sums over all entries of the registry.
Totals view_totals(const Segment& segment);

/// One ring, as its counters say and as a walk finds it.
struct RingView {
  std::string level;
  std::uint64_t slots = 0;
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::uint64_t live_hints = 0;
  std::uint64_t dead_hints = 0;
  bool overflow = false;
};
RingView view_ring(const Segment& segment, std::uint32_t level);

}  // namespace ringmill
