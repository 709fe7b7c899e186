// The whole of an engine's shared memory as a value, for tests that say that nothing changed.
#pragma once

#include <string>

#include "ipc/segment.h"

namespace ringmill::test {

inline std::string memory_of(const Segment& segment) {
  return {reinterpret_cast<const char*>(&segment.header()), segment.geometry().bytes};
}

}  // namespace ringmill::test
