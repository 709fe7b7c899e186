// A keeper that lives and does not move: calls end in time and say why, views show it, and a dedicated one is followed.
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <ringmill/client.h>

#include "core/keeper/still_keeper.h"
#include "ipc/process_stand.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr OpenOptions dedicated{.dedicated_keeper = true};

/// A process that opens the engine with a keeper, and stays.
class KeeperProcess {
 public:
  explicit KeeperProcess(const World& world, const OpenOptions& options = {})
      : child_([this, &world, options] {
          const Engine engine = world.scratch.open(options);
          while (true) {
            *keeps_ = engine.keeps() ? 1 : 0;
            std::this_thread::sleep_for(1ms);
          }
          return 0;
        }) {}

  Child* operator->() noexcept { return &child_; }
  bool keeps() const noexcept { return *keeps_ == 1; }

 private:
  SharedBlock<std::atomic<int>> keeps_;
  Child child_;
};

/// Ends a dedicated keeper sooner than users want it.
class EndedAfter {
 public:
  explicit EndedAfter(std::chrono::nanoseconds time)
      : before_(std::exchange(still_keeper_ends_after_ns, static_cast<std::uint64_t>(time.count()))) {}
  EndedAfter(const EndedAfter&) = delete;
  EndedAfter& operator=(const EndedAfter&) = delete;
  ~EndedAfter() { still_keeper_ends_after_ns = before_; }

 private:
  std::uint64_t before_;
};

class StillKeeperTest : public testing::Test {
 protected:
  StillKeeperTest() {
    EXPECT_TRUE(await([this] { return keeper_.keeps(); }));
  }

  JobRequest durable(std::string_view payload) const {
    JobRequest request = world_.request(payload);
    request.durability = Durability::durable;
    return request;
  }

  World world_{small_engine_with_room()};
  KeeperProcess keeper_{world_};
  std::unique_ptr<Participant> producer_ = world_.attach(Role::producer);
};

TEST_F(StillKeeperTest, no_durable_call_waits_longer_than_its_caller_allows_and_the_jobs_are_in) {
  ASSERT_TRUE(producer_->enqueue(durable("before")).has_value());  // the journal is open
  keeper_->stop();
  const std::array<JobRequest, 2> two{durable("a"), durable("b")};
  const std::array<LinkedRequest, 1> linked{LinkedRequest{.request = durable("c")}};
  std::array<JobId, 2> ids;
  Client client = must(Client::attach(world_.engine));
  const std::array<std::function<ErrorCode()>, 6> calls{
      [&] { return code_of(producer_->enqueue(durable("x"), 300ms)); },
      [&] { return code_of(producer_->enqueue_batch(two, ids, 300ms)); },
      [&] { return code_of(producer_->enqueue_unique(durable("y"), "key", {}, 300ms)); },
      [&] { return code_of(producer_->enqueue_together(linked, ids, 300ms)); },
      [&] { return code_of(client.enqueue(durable("z"), 300ms)); },
      [&] { return code_of(client.enqueue_batch(two, ids, 300ms)); }};
  for (const auto& call : calls) {
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(call(), ErrorCode::not_durable);
    const auto took = std::chrono::steady_clock::now() - begun;
    EXPECT_GE(took, 300ms);
    EXPECT_LT(took, 5s);  // it was 10 s and more
  }
  EXPECT_EQ(world_.engine.status().levels[1].queued, 9U);
}

TEST_F(StillKeeperTest, a_batch_into_a_bounded_level_waits_for_the_disk_once) {
  must(world_.engine.limit(world_.level, LevelLimits{.most = 100}));
  ASSERT_TRUE(producer_->enqueue(durable("before")).has_value());
  keeper_->stop();
  const std::array<JobRequest, 3> three{durable("a"), durable("b"), durable("c")};
  std::array<JobId, 3> ids;
  EXPECT_EQ(code_of(producer_->enqueue_batch(three, ids, 200ms)), ErrorCode::not_durable);
  EXPECT_TRUE(std::ranges::all_of(ids, [](JobId id) { return static_cast<bool>(id); }));
  EXPECT_EQ(world_.engine.status().levels[1].queued, 4U);
}

TEST_F(StillKeeperTest, the_error_and_every_view_say_that_it_is_stopped_and_nothing_once_it_goes_on) {
  ASSERT_TRUE(producer_->enqueue(durable("before")).has_value());
  EXPECT_EQ(world_.engine.status().keeper_trouble, "");
  keeper_->stop();
  const auto refused = producer_->enqueue(durable("x"), 2500ms);
  ASSERT_FALSE(refused.has_value());
  const std::string process = "process " + std::to_string(keeper_->pid()) + " has stood still for ";
  EXPECT_NE(refused.error().message().find("the keeper, " + process), std::string::npos) << refused.error().message();
  EXPECT_NE(refused.error().message().find("it is stopped (state T)"), std::string::npos);
  EXPECT_TRUE(world_.engine.status().keeper_trouble.starts_with(process));
  EXPECT_TRUE(world_.engine.statistics().keeper.trouble.ends_with(" s: it is stopped (state T)"));
  keeper_->go_on();
  EXPECT_TRUE(await([this] { return world_.engine.status().keeper_trouble.empty(); }));
  EXPECT_TRUE(producer_->wait_durable(producer_->ticket(), generous).has_value());
}

TEST_F(StillKeeperTest, one_that_does_other_things_as_well_is_never_ended) {
  const EndedAfter ended_after(200ms);
  keeper_->stop();
  const Engine standing_by = world_.scratch.open();
  std::this_thread::sleep_for(1500ms);
  EXPECT_FALSE(standing_by.keeps());
  keeper_->go_on();
  EXPECT_TRUE(producer_->enqueue(durable("x"), generous).has_value());
  EXPECT_TRUE(keeper_.keeps());
}

TEST_F(StillKeeperTest, one_that_does_other_things_as_well_hands_over_to_a_dedicated_one) {
  KeeperProcess other(world_, dedicated);
  EXPECT_TRUE(await([&] { return other.keeps() && !keeper_.keeps(); }));
  EXPECT_TRUE(producer_->enqueue(durable("x"), generous).has_value());
  other->kill();
  EXPECT_TRUE(await([this] { return keeper_.keeps(); }));
  EXPECT_TRUE(producer_->enqueue(durable("y"), generous).has_value());
}

TEST_F(StillKeeperTest, one_that_does_other_things_as_well_keeps_beside_a_dedicated_one_that_is_stopped_itself) {
  KeeperProcess first(world_, dedicated);
  ASSERT_TRUE(await([&] { return first.keeps(); }));
  KeeperProcess second(world_, dedicated);
  std::this_thread::sleep_for(300ms);  // it stands by, and says so with its lock
  second->stop();
  first->kill();
  EXPECT_TRUE(await([this] { return keeper_.keeps(); }));
  EXPECT_TRUE(producer_->enqueue(durable("x"), generous).has_value());
  std::this_thread::sleep_for(1500ms);  // it does not hand over to that one again and again
  EXPECT_TRUE(keeper_.keeps());
  EXPECT_EQ(world_.engine.status().keeper_pid, keeper_->pid());
}

TEST(StillDedicatedKeeper, is_ended_by_one_that_stands_by_and_a_durable_call_that_waits_succeeds) {
  const EndedAfter ended_after(400ms);
  const LogCapture log;
  World world;
  KeeperProcess keeper(world, dedicated);
  ASSERT_TRUE(await([&] { return keeper.keeps(); }));
  const Engine standing_by = world.scratch.open();
  const auto producer = world.attach(Role::producer);
  JobRequest request = world.request("x");
  request.durability = Durability::durable;
  ASSERT_TRUE(producer->enqueue(request).has_value());
  const pid_t process = keeper->pid();
  keeper->stop();
  EXPECT_TRUE(producer->enqueue(request, generous).has_value());
  EXPECT_TRUE(standing_by.keeps());
  EXPECT_EQ(keeper->wait(), -SIGKILL);
  EXPECT_TRUE(log.has("process " + std::to_string(process) + " did nothing but keep"));
}

/// Each round stops it at another moment of its work: nothing acknowledged is lost, and nothing is there twice.
TEST(StillDedicatedKeeper, is_followed_without_a_loss_wherever_it_was_stopped) {
  const EndedAfter ended_after(150ms);
  World world;
  std::set<std::string> acknowledged;
  for (int round = 0; round < 12; ++round) {
    KeeperProcess keeper(world, dedicated);
    ASSERT_TRUE(await([&] { return keeper.keeps(); }));
    const Engine standing_by = world.scratch.open();
    const auto producer = world.attach(Role::producer);
    std::jthread stopper([&keeper, round] {
      std::this_thread::sleep_for(std::chrono::microseconds(500 + 377 * round));
      keeper->stop();
    });
    for (int n = 0; n < 16; ++n) {
      const std::string payload = std::to_string(round) + "." + std::to_string(n);
      JobRequest request = world.request(payload);
      request.durability = n % 4 == 0 ? Durability::durable : Durability::journaled;
      ASSERT_TRUE(producer->enqueue(request, generous).has_value());
      acknowledged.insert(payload);
    }
    ASSERT_TRUE(producer->wait_durable(producer->ticket(), generous).has_value());
    stopper.join();
    EXPECT_EQ(keeper->wait(), -SIGKILL);
    ASSERT_TRUE(await([&] { return standing_by.keeps(); }));
  }
  const auto worker = world.attach();
  std::multiset<std::string> there;
  while (auto job = worker->claim()) {
    there.emplace(as_text(job->payload()));
    must(job->complete());
  }
  EXPECT_EQ(there.size(), acknowledged.size());
  EXPECT_EQ(std::set<std::string>(there.begin(), there.end()), acknowledged);
}

/// A process that holds these bytes of a file, the first exclusively, the second shared.
Child holding(const ScratchFolder& folder, std::optional<std::uint64_t> first, std::optional<std::uint64_t> second,
              SharedBlock<std::atomic<int>>& is_ready) {
  return Child([&folder, first, second, &is_ready] {
    const File file = must(open_file(folder.path() / "file", O_RDWR));
    if (first && !must(try_lock_byte(file, *first))) return 1;
    if (second && !must(try_share_byte(file, *second))) return 1;
    *is_ready = 1;
    ::pause();
    return 0;
  });
}

TEST(KilledByItsLocks, is_the_stopped_process_that_holds_both_of_them_and_no_other) {
  const ScratchFolder folder;
  const File file = must(open_file(folder.path() / "file", O_RDWR | O_CREAT, 0600));
  const HeldByte first{.byte = 0, .is_exclusive = true};
  const HeldByte second{.byte = 4, .is_exclusive = false};
  SharedBlock<std::atomic<int>> one_is_ready;
  SharedBlock<std::atomic<int>> other_is_ready;
  SharedBlock<std::atomic<int>> third_is_ready;
  Child one = holding(folder, 0, std::nullopt, one_is_ready);
  Child other = holding(folder, std::nullopt, 4, other_is_ready);
  Child third = holding(folder, 1, 4, third_is_ready);
  ASSERT_TRUE(await([&] { return *one_is_ready == 1 && *other_is_ready == 1 && *third_is_ready == 1; }));
  one.stop();
  other.stop();
  third.stop();
  EXPECT_EQ(kill_stopped_holder_of(file, first, second), std::nullopt);
  one.kill();
  SharedBlock<std::atomic<int>> fourth_is_ready;
  Child fourth = holding(folder, 0, 4, fourth_is_ready);
  ASSERT_TRUE(await([&] { return *fourth_is_ready == 1; }));
  EXPECT_EQ(kill_stopped_holder_of(file, first, second), std::nullopt) << "it was not stopped";
  fourth.stop();
  ASSERT_EQ(kill_stopped_holder_of(file, first, second), fourth.pid());
  EXPECT_EQ(fourth.wait(), -SIGKILL);
  EXPECT_EQ(::kill(other.pid(), 0), 0);
  EXPECT_EQ(::kill(third.pid(), 0), 0);
}

TEST(KilledByItsLocks, is_never_the_caller) {
  const ScratchFolder folder;
  const File file = must(open_file(folder.path() / "file", O_RDWR | O_CREAT, 0600));
  ASSERT_TRUE(must(try_lock_byte(file, 0)));
  ASSERT_TRUE(must(try_share_byte(file, 4)));
  EXPECT_EQ(kill_stopped_holder_of(file, {.byte = 0, .is_exclusive = true}, {.byte = 4, .is_exclusive = false}),
            std::nullopt);
}

}  // namespace
}  // namespace ringmill::test
