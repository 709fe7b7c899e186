// The invariants of a segment, as they are seen from outside: by `ringmill verify`, by tests and by the proofs.
#pragma once

#include <string>
#include <vector>

#include "ipc/segment.h"

namespace ringmill {

/// Which invariants of the segment are broken, a sentence each. `at_rest` adds those that hold only while no process
/// works and the keeper has finished its scan: nothing is filling or completing, each queued job has a hint in its
/// level's ring, each free cell is listed or cached.
std::vector<std::string> check_invariants(const Segment& segment, bool at_rest);

}  // namespace ringmill
