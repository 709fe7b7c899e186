#include "tools/cli/json_log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/values.h"

namespace ringmill::cli {

namespace {

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override {
    const auto level = spdlog::level::to_string_view(message.level);
    const nlohmann::ordered_json json{{"time", format_time(message.time)},
                                      {"level", std::string_view(level.data(), level.size())},
                                      {"process", ::getpid()},
                                      {"message", std::string_view(message.payload.data(), message.payload.size())}};
    const std::string line = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    to.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

}  // namespace

void log_as_json() {
  // The library's log takes a logger of this name, where the program has made one.
  const auto logger = spdlog::stderr_logger_mt("ringmill");
  logger->set_formatter(std::make_unique<JsonFormatter>());
}

}  // namespace ringmill::cli
