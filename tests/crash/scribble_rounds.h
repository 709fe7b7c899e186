// Rounds of a hostile peer: an engine with jobs in every state, one region of its shared memory corrupted, and a
// process that looks at it, or uses all of it, meanwhile. It must answer whatever the memory says: no crash, no hang,
// no growth.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringmill::test {

enum class ScribbleMode { at_rest, live };

/// What a round of the scribbler came to. Everything but `fine` is a finding.
struct ScribbleEnd {
  enum class How { fine, crashed, hung, grew } how = How::fine;
  int status = 0;  // the exit status, or minus the signal
  std::uint64_t most_resident_kib = 0;
  std::uint64_t ms = 0;
};
std::string_view name_of(ScribbleEnd::How how) noexcept;

/// The names of all regions, in the order of the segment.
std::vector<std::string> scribbled_regions();

/// Runs one round. At rest, the region is corrupted while no process works. Then a process reads everything, a copy of
/// the segment too, opens the engine, and works for a moment with a keeper of its own. Live, a peer writes while that
/// process works. The round is a function of its seed, but for the moments at which a peer writes.
ScribbleEnd run_scribble_round(ScribbleMode mode, std::string_view region, std::uint64_t seed);

}  // namespace ringmill::test
