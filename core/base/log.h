// The logger: the one global. Lines are for operators: what happened, to what, what it means, what to do. Never on the
// hot path.
#pragma once

#include <spdlog/logger.h>

namespace ringmill {

/// Logs to standard error unless the program has registered a spdlog logger named "ringmill".
spdlog::logger& log();

}  // namespace ringmill
