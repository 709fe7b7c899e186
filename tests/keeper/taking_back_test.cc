// Jobs that were claimed in advance behind a slow one: an idle worker gets them, once, and no attempt counts.
#include "core/keeper/taking_back.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// Whether a participant sleeps in claim().
bool somebody_sleeps(const Segment& segment) {
  return std::ranges::any_of(segment.signals().sleepers, [](const auto& bits) { return bits.load() != 0; });
}

/// A worker with jobs in advance, of which it runs one, and the keeper's part that looks at it.
class BusyHolder : public testing::Test {
 protected:
  BusyHolder() {
    const auto producer = world_.attach(Role::producer);
    for (int n = 0; n < jobs; ++n) world_.enqueue(*producer, std::to_string(n));
    // Batches grow while jobs are short.
    while (holder_->held() < 5) {
      running_ = must(holder_->claim());
      if (holder_->held() < 5) complete_running();
    }
  }
  ~BusyHolder() override {
    if (Participant* idle = idle_) idle->wake();
  }

  static constexpr int jobs = 200;

  void complete_running() {
    ++runs_[std::string(as_text(running_.payload()))];
    must(running_.complete());
  }
  /// Takes what no other participant has in advance, so that nothing is left to claim.
  void empty_the_level() {
    const auto other = world_.attach();
    must(other->subscribe({.prefetch = 1}));
    while (auto job = other->claim()) {
      ++runs_[std::string(as_text(job->payload()))];
      must(job->complete());
    }
  }
  /// Another worker sleeps until the end of the test, or until it gets a job.
  void let_one_sleep(const ClaimOptions& options = {.prefetch = 1}) {
    std::atomic<bool> is_attached{false};
    sleeper_ = std::jthread([this, options, &is_attached] {
      const auto worker = world_.attach();
      must(worker->subscribe(options));
      idle_ = worker.get();
      is_attached = true;
      while (auto job = worker->claim(generous)) {
        EXPECT_EQ(job->attempt(), 1U);
        EXPECT_EQ(must(world_.engine.job(job->id())).last_error, "");
        got_.push_back(std::string(as_text(job->payload())));
        must(job->complete());
        ++got_count_;
      }
      idle_ = nullptr;
    });
    ASSERT_TRUE(await([&] { return is_attached && somebody_sleeps(inside_.segment()); }));
  }
  void end_sleeper() {
    ASSERT_TRUE(await([this] { return somebody_sleeps(inside_.segment()); }));
    idle_.load()->wake();
    sleeper_.join();
    for (const std::string& payload : got_) ++runs_[payload];
  }
  void run_the_rest() {
    complete_running();
    while (auto job = holder_->claim()) {
      ++runs_[std::string(as_text(job->payload()))];
      must(job->complete());
    }
  }
  void expect_each_once() const {
    EXPECT_EQ(runs_.size(), static_cast<std::size_t>(jobs));
    for (const auto& [payload, count] : runs_) EXPECT_EQ(count, 1) << payload;
  }

  World world_;
  std::unique_ptr<Participant> holder_ = world_.attach();
  Job running_;
  std::map<std::string, int> runs_;
  Inside inside_{world_.scratch};
  Reaper reaper_{inside_.core(), inside_.number()};
  TakingBack taking_back_{inside_.segment(), reaper_};
  std::atomic<Participant*> idle_{nullptr};
  std::vector<std::string> got_;
  std::atomic<std::uint32_t> got_count_{0};
  std::jthread sleeper_;
};

TEST_F(BusyHolder, loses_what_it_has_not_begun_to_an_idle_worker_and_each_job_runs_once) {
  const std::uint32_t in_advance = holder_->held() - 1;
  empty_the_level();
  let_one_sleep();
  taking_back_.look();  // the first look only sees it
  EXPECT_EQ(got_count_, 0U);
  taking_back_.look();
  EXPECT_TRUE(await([&] { return got_count_ == in_advance; }));
  run_the_rest();
  end_sleeper();
  expect_each_once();
}

TEST_F(BusyHolder, keeps_all_while_nobody_sleeps) {
  empty_the_level();
  EXPECT_FALSE(taking_back_.find());
  EXPECT_FALSE(taking_back_.find());
  run_the_rest();
  expect_each_once();
}

TEST_F(BusyHolder, keeps_what_no_sleeper_claims) {
  empty_the_level();
  let_one_sleep({.kinds = {must(world_.engine.kind("another"))}, .prefetch = 1});
  EXPECT_FALSE(taking_back_.find());
  EXPECT_FALSE(taking_back_.find());
  run_the_rest();
  end_sleeper();
  expect_each_once();
}

TEST_F(BusyHolder, keeps_what_it_has_if_it_comes_back_before_the_barrier) {
  empty_the_level();
  let_one_sleep();
  EXPECT_FALSE(taking_back_.find());
  ASSERT_TRUE(taking_back_.find());
  complete_running();
  running_ = must(holder_->claim());
  ASSERT_TRUE(taking_back_.announce());
  EXPECT_EQ(taking_back_.take(), 0U);
  run_the_rest();
  end_sleeper();
  expect_each_once();
}

/// The keeper has seen that it is away, and goes on: the swap of each word decides.
TEST_F(BusyHolder, keeps_what_it_has_made_sure_of_before_the_keeper_swaps) {
  const std::uint32_t in_advance = holder_->held() - 1;
  empty_the_level();
  let_one_sleep();
  EXPECT_FALSE(taking_back_.find());
  ASSERT_TRUE(taking_back_.find());
  ASSERT_TRUE(taking_back_.announce());
  std::vector<std::pair<CellIndex, StateWord>> seen;  // what T4 would swap, were the holder's visit as before
  for (const LeaseSlot& slot : inside_.segment().participant(static_cast<std::uint32_t>(holder_->number())).leases) {
    const JobId id(slot.job_id.load());
    if (!id || slot.started_at_ns.load() != 0) continue;
    seen.emplace_back(index_of(id), inside_.table().word(index_of(id)));
  }
  ASSERT_EQ(seen.size(), in_advance);
  complete_running();
  running_ = must(holder_->claim());
  for (const auto& [index, word] : seen) EXPECT_FALSE(reaper_.take_back(index, word));
  run_the_rest();
  end_sleeper();
  expect_each_once();
}

TEST_F(BusyHolder, drops_what_was_taken_back_also_when_it_releases_or_claims_a_batch) {
  const std::uint32_t in_advance = holder_->held() - 1;
  empty_the_level();
  let_one_sleep();
  taking_back_.look();
  taking_back_.look();
  ASSERT_TRUE(await([&] { return got_count_ == in_advance; }));
  std::array<Job, 8> batch;
  EXPECT_EQ(code_of(holder_->claim_batch(batch)), ErrorCode::would_block);
  holder_->release_prefetched();
  EXPECT_EQ(holder_->held(), 1U);
  run_the_rest();
  end_sleeper();
  expect_each_once();
}

TEST(TakingBackByKeeper, a_job_behind_a_slow_one_begins_elsewhere_within_moments) {
  World world(small_engine(), {});
  const auto producer = world.attach(Role::producer);
  const auto holder = world.attach();
  for (int n = 0; n < 200; ++n) world.enqueue(*producer, "short");
  Job slow;
  while (holder->held() < 5) {
    slow = must(holder->claim());
    if (holder->held() < 5) must(slow.complete());
  }
  std::atomic<int> got{0};
  std::jthread other([&world, &got] {
    const auto worker = world.attach();
    while (auto job = worker->claim(2s)) {
      must(job->complete());
      ++got;
    }
  });
  EXPECT_TRUE(await([&] { return world.engine.status().levels[1].queued == 0 && holder->held() > 1; }));
  EXPECT_TRUE(await([&] {
    const EngineStatus status = world.engine.status();
    return status.levels[1].running == 1 && status.levels[1].queued == 0;  // the slow one alone
  })) << "they wait behind it";
  must(slow.complete());
  EXPECT_EQ(code_of(holder->claim()), ErrorCode::would_block);
}

}  // namespace
}  // namespace ringmill::test
