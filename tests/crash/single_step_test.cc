#include "tests/crash/single_step.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;

/// Two words that parent and child share.
class SharedWords {
 public:
  struct Words {
    std::atomic<int> first{0};
    std::atomic<int> second{0};
  };
  SharedWords()
      : words_(new (::mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Words) {}
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;
  ~SharedWords() { ::munmap(words_, sizeof(Words)); }
  Words* operator->() const { return words_; }

 private:
  Words* words_;
};

class SingleStep : public testing::Test {
 protected:
  static StepPath path_of(const std::function<void()>& body) {
    SteppedProcess process(body);
    EXPECT_EQ(process.run_to_begin(), State::between);
    auto path = process.record();
    EXPECT_TRUE(path.has_value());
    return path ? *std::move(path) : StepPath({0});
  }

  SharedWords words;
  // One object each: two copies of the same lambda may stand at two addresses.
  const std::function<void()> two_stores = [this] {
    ringmill_step_begin();
    words->first.store(1);
    words->second.store(1);
    ringmill_step_end();
  };
  const std::function<void()> loop_of_stores = [this] {
    ringmill_step_begin();
    for (int n = 0; n < 50; ++n) words->first.fetch_add(1);
    words->second.store(1);
    ringmill_step_end();
  };
};

TEST_F(SingleStep, kills_show_every_state_between_two_stores_and_no_other) {
  const StepPath path = path_of(two_stores);
  std::set<std::pair<int, int>> seen;
  for (std::uint64_t n = 0; n <= path.instructions(); ++n) {
    words->first = words->second = 0;
    SteppedProcess process(two_stores);
    process.run_to_begin();
    process.step(n);
    process.kill();
    seen.emplace(words->first, words->second);
  }
  EXPECT_EQ(seen, (std::set<std::pair<int, int>>{{0, 0}, {1, 0}, {1, 1}}));
}

TEST_F(SingleStep, steps_over_calls_stop_after_each_of_them) {
  const std::function<void()> two_calls = [this] {
    ringmill_step_begin();
    ::getppid();
    words->first.store(1);
    ::getppid();
    words->second.store(1);
    ringmill_step_end();
  };
  std::vector<std::pair<int, int>> seen;
  for (std::uint64_t n = 0; n <= 3; ++n) {
    words->first = words->second = 0;
    SteppedProcess process(two_calls);
    process.run_to_begin();
    const State state = process.step_calls(n);
    EXPECT_EQ(state, n == 3 ? State::at_end : State::between) << n;
    process.kill();
    seen.emplace_back(words->first, words->second);
  }
  EXPECT_EQ(seen, (std::vector<std::pair<int, int>>{{0, 0}, {0, 0}, {1, 0}, {1, 1}}));
}

TEST_F(SingleStep, each_kill_comes_one_instruction_later_than_the_one_before) {
  const StepPath path = path_of(two_stores);
  for (std::uint64_t n = 0; n <= path.instructions(); ++n) {
    SteppedProcess process(two_stores);
    process.run_to_begin();
    process.step(n);
    EXPECT_EQ(process.address(), path.address(n)) << "after " << n;
  }
}

TEST_F(SingleStep, following_a_path_ends_where_single_steps_do) {
  const StepPath path = path_of(loop_of_stores);
  ASSERT_GT(path.instructions(), 100U);
  for (std::uint64_t n = 0; n <= path.instructions(); n += 7) {
    words->first = words->second = 0;
    SteppedProcess stepped(loop_of_stores);
    stepped.run_to_begin();
    stepped.step(n);
    const int by_steps = words->first;
    const std::uintptr_t address = stepped.address();
    words->first = words->second = 0;
    SteppedProcess followed(loop_of_stores);
    followed.run_to_begin();
    followed.follow(path, n);
    EXPECT_EQ(words->first, by_steps) << "after " << n;
    EXPECT_EQ(followed.address(), address) << "after " << n;
  }
}

TEST_F(SingleStep, the_first_visits_of_a_loop_go_through_it_once) {
  const StepPath path = path_of(loop_of_stores);
  EXPECT_LT(path.first_visits().size(), path.instructions() / 5);
}

TEST_F(SingleStep, a_stopped_process_goes_on_where_it_stood) {
  SteppedProcess process([this] {
    two_stores();
    words->first.fetch_add(10);
  });
  process.run_to_begin();
  while (words->first.load() == 0) ASSERT_EQ(process.step(1), State::between);
  EXPECT_EQ(words->second, 0);
  words->first = 5;  // the world changes while it stands
  EXPECT_EQ(process.run_to_end(), State::at_end);
  EXPECT_EQ(words->second, 1);
  EXPECT_EQ(process.let_go(), State::ended);
  EXPECT_TRUE(process.ended_well()) << process.ending();
  EXPECT_EQ(words->first, 15);
}

TEST_F(SingleStep, a_process_stepped_to_its_end_can_be_let_go) {
  SteppedProcess process(two_stores);
  process.run_to_begin();
  EXPECT_EQ(process.step(1'000'000), State::at_end);
  EXPECT_EQ(process.let_go(), State::ended);
  EXPECT_TRUE(process.ended_well()) << process.ending();
}

TEST_F(SingleStep, a_system_call_counts_as_one_instruction) {
  // Two system calls by the shortest way, so that the path is the same on each machine.
  const auto body = [] {
    ringmill_step_begin();
    for (int n = 0; n < 2; ++n) {
      long answer = 39;  // getpid
      asm volatile("syscall" : "+a"(answer) : : "rcx", "r11", "memory");
    }
    ringmill_step_end();
  };
  EXPECT_LT(path_of(body).instructions(), 40U);
}

TEST_F(SingleStep, a_repeated_string_instruction_counts_as_one) {
  const auto body = [] {
    std::array<char, 500> bytes;
    ringmill_step_begin();
    void* to = bytes.data();
    std::size_t count = bytes.size();
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    ringmill_step_end();
  };
  EXPECT_LT(path_of(body).instructions(), 40U);
}

TEST_F(SingleStep, a_crash_in_the_operation_is_told) {
  SteppedProcess process([] {
    ringmill_step_begin();
    ::raise(SIGABRT);
    ringmill_step_end();
  });
  process.run_to_begin();
  EXPECT_EQ(process.step(1'000'000), State::ended);
  EXPECT_EQ(process.ending(), "signal 6");
}

TEST_F(SingleStep, a_process_that_waits_for_ever_is_called_silent) {
  SteppedProcess process(
      [] {
        ringmill_step_begin();
        ::pause();
        ringmill_step_end();
      },
      std::chrono::milliseconds(100));
  process.run_to_begin();
  EXPECT_EQ(process.run_to_end(), State::silent);
}

TEST_F(SingleStep, nothing_is_left_of_a_process_that_was_killed) {
  SteppedProcess process(two_stores);
  process.run_to_begin();
  process.kill();
  EXPECT_EQ(::kill(process.process_id(), 0), -1);
}

}  // namespace
}  // namespace ringmill::crash
