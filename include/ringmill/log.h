// Where the library's log lines go.
#pragma once

#include <functional>
#include <string_view>

namespace ringmill {

enum class LogLevel { info, warn, error };

/// Gets each line, without its end, from any thread, several at once. Control characters are escaped. It must not
/// throw, nor call the library.
using LogSink = std::function<void(LogLevel level, std::string_view line)>;

/// Sends the log lines of this process to `sink`, those of this level and above. An empty sink: back to where they went
/// before, which is standard error, or the spdlog logger named `ringmill`, if the program registered one before the
/// first line. Any thread; lines that are being written at this moment may still go to the former sink.
void set_log(LogSink sink, LogLevel least = LogLevel::info);

}  // namespace ringmill
