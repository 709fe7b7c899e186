// For tests that stop an operation after each of its instructions.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include "tests/crash/single_step.h"

namespace ringmill::crash {

class SteppedTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP()
        << "a sanitizer's own instructions would be stopped at, too: hours, for a program that is never shipped";
#endif
  }
  /// The way of one run of `body`, from its begin marker to its end marker. Nothing: it did not end well.
  static std::optional<StepPath> path_of(const std::function<void()>& body) {
    SteppedProcess process(body, std::chrono::seconds{60});
    process.run_to_begin();
    auto path = process.record();
    process.let_go();
    return process.ended_well() ? std::move(path) : std::nullopt;
  }
};

}  // namespace ringmill::crash
