// What an engine has counted and timed, read from its statistics without trusting them: nothing here walks the table.
#pragma once

#include <cstdint>
#include <functional>

#include <ringmill/statistics.h>

#include "ipc/segment.h"

namespace ringmill {

/// Everything but what concerns the engine's directory. `is_alive(n)` is asked for entries in use.
EngineStatistics view_statistics(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive);

}  // namespace ringmill
