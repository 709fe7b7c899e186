// The log as JSON lines, for machines that collect it.
#pragma once

namespace ringmill::cli {

/// From here on the process's log is one JSON object a line on standard error: time, level, process, message.
void log_as_json();

}  // namespace ringmill::cli
