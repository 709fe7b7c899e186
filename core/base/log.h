// The log. Lines are for operators: what happened, to what, what it means, what to do. Never on the hot path.
//
// A line is put together in log.cc, so that the many files which log need neither parse nor instantiate spdlog.
#pragma once

#include <fmt/core.h>

#include <utility>

#include <ringmill/log.h>

namespace ringmill {

class Log {
 public:
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::info, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::warn, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::error, format, fmt::make_format_args(args...));
  }

 private:
  /// As spdlog: a line that cannot be written ends no call.
  static void write(LogLevel level, fmt::string_view format, fmt::format_args args);
};

inline Log log() noexcept { return {}; }

}  // namespace ringmill
