#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace ringmill {

spdlog::logger& log() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    if (auto registered = spdlog::get("ringmill")) return registered;
    auto made = spdlog::stderr_logger_mt("ringmill");
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z ringmill[%P] %l: %v");
    return made;
  }();
  return *logger;
}

}  // namespace ringmill
