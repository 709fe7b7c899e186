// For tests that stop an operation after each of its instructions.
#pragma once

#include <gtest/gtest.h>

namespace ringmill::crash {

class SteppedTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP()
        << "a sanitizer's own instructions would be stopped at, too: hours, for a program that is never shipped";
#endif
  }
};

}  // namespace ringmill::crash
