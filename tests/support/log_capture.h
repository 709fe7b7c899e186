// What the library says in its log, for a test. Begin and end it while no other thread logs.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/sinks/base_sink.h>

#include "core/base/logger.h"

namespace ringmill::test {

/// While it lives, log lines come here instead of to standard error.
class LogCapture {
 public:
  LogCapture() : sink_(std::make_shared<Sink>()), before_(std::exchange(logger().sinks(), {sink_})) {}
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { logger().sinks() = before_; }

  /// The messages so far, without time and level. From any thread.
  std::vector<std::string> messages() const { return sink_->messages(); }
  bool has(std::string_view part) const { return count(part) != 0; }
  std::size_t count(std::string_view part) const {
    std::size_t count = 0;
    for (const std::string& message : messages()) count += message.find(part) != std::string::npos ? 1U : 0U;
    return count;
  }

 private:
  class Sink : public spdlog::sinks::base_sink<std::mutex> {
   public:
    std::vector<std::string> messages() {
      const std::lock_guard lock(mutex_);
      return messages_;
    }

   private:
    void sink_it_(const spdlog::details::log_msg& message) override {
      messages_.emplace_back(message.payload.data(), message.payload.size());
    }
    void flush_() override {}
    std::vector<std::string> messages_;
  };

  std::shared_ptr<Sink> sink_;
  std::vector<spdlog::sink_ptr> before_;
};

}  // namespace ringmill::test
