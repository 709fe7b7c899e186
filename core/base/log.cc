#include "core/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "core/base/logger.h"
#include "core/base/shown_text.h"

namespace ringmill {

namespace {

/// Lines hold names, paths and texts from outside: all are escaped before they reach a terminal.
class Logger : public spdlog::logger {
 public:
  using spdlog::logger::logger;
  /// To the logger of the program, by its level and its sinks at that moment.
  explicit Logger(std::shared_ptr<spdlog::logger> program)
      : spdlog::logger(program->name()), program_(std::move(program)) {
    set_level(spdlog::level::trace);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    const std::string safe = shown_line(text);
    spdlog::details::log_msg line = message;
    line.payload = safe;
    if (program_ != nullptr) {
      program_->log(line.time, line.source, line.level, line.payload);
    } else {
      spdlog::logger::sink_it_(line);
    }
  }
  void flush_() override { program_ != nullptr ? program_->flush() : spdlog::logger::flush_(); }

  std::shared_ptr<spdlog::logger> program_;
};

spdlog::level::level_enum spdlog_level_of(LogLevel level) {
  switch (level) {
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

/// What set_log() has set; null: nothing.
struct Callback {
  LogSink sink;
  LogLevel least = LogLevel::info;
};
std::atomic<std::shared_ptr<const Callback>>& callback() noexcept {
  static std::atomic<std::shared_ptr<const Callback>> set;
  return set;
}

std::string line_of(fmt::string_view format, fmt::format_args args) {
  try {
    return fmt::vformat(format, args);
  } catch (const std::exception& failure) {
    return failure.what();
  }
}

}  // namespace

void set_log(LogSink sink, LogLevel least) {
  callback().store(sink ? std::make_shared<const Callback>(std::move(sink), least) : nullptr);
}

void Log::write(LogLevel level, fmt::string_view format, fmt::format_args args) {
  if (const auto set = callback().load()) {
    if (level >= set->least) set->sink(level, shown_line(line_of(format, args)));
    return;
  }
  spdlog::logger& to = logger();
  const auto spdlog_level = spdlog_level_of(level);
  if (!to.should_log(spdlog_level)) return;
  to.log(spdlog_level, spdlog::string_view_t(line_of(format, args)));
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> logger = []() -> std::shared_ptr<spdlog::logger> {
    if (auto registered = spdlog::get("ringmill")) return std::make_shared<Logger>(std::move(registered));
    auto made = std::make_shared<Logger>("ringmill", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    spdlog::initialize_logger(made);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z ringmill[%P] %l: %v");
    return made;
  }();
  return *logger;
}

}  // namespace ringmill
