// The logger behind log(), the one global: for programs and tests that set its level or its sinks.
#pragma once

#include <spdlog/logger.h>

namespace ringmill {

/// Logs to standard error unless the program has registered a spdlog logger named "ringmill".
spdlog::logger& logger();

}  // namespace ringmill
