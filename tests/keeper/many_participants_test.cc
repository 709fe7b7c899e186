// Hundreds of participants: all work, and a death among them is noticed by its sign, not by a look at intervals.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "core/keeper/keeper.h"
#include "ipc/waking.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Threads of small stacks, joined at the end of the scope.
class SmallThreads {
 public:
  SmallThreads(std::size_t count, std::function<void()> body) : body_(std::move(body)) {
    pthread_attr_t small;
    ::pthread_attr_init(&small);
    ::pthread_attr_setstacksize(&small, 256 * 1024);
    const auto run = [](void* self) -> void* {
      static_cast<SmallThreads*>(self)->body_();
      return nullptr;
    };
    for (std::size_t n = 0; n < count; ++n) {
      pthread_t thread{};
      if (::pthread_create(&thread, &small, run, this) == 0) threads_.push_back(thread);
    }
    ::pthread_attr_destroy(&small);
  }
  SmallThreads(const SmallThreads&) = delete;
  SmallThreads& operator=(const SmallThreads&) = delete;
  ~SmallThreads() {
    for (const pthread_t thread : threads_) ::pthread_join(thread, nullptr);
  }
  std::size_t size() const noexcept { return threads_.size(); }

 private:
  std::function<void()> body_;
  std::vector<pthread_t> threads_;
};

struct Progress {
  std::atomic<std::uint32_t> attached{0};
  std::atomic<std::uint32_t> completed{0};
  std::atomic<bool> leave{false};
};

CreateOptions engine_for_many() {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  return options;
}

/// Attaches, enqueues a job, claims one and completes it; then stays until it is told to leave.
void work_once(Engine& engine, Progress& progress) {
  const auto participant = engine.attach(Role::worker);
  if (!participant) return;
  ++progress.attached;
  const auto kind = engine.kind(kind_name);
  const auto level = engine.level("default");
  if (!(*participant)->enqueue({.kind = *kind, .level = *level, .payload = as_payload("x")}, generous)) return;
  auto job = (*participant)->claim(generous);
  if (job && job->complete()) ++progress.completed;
  while (!progress.leave) std::this_thread::sleep_for(milliseconds(20));
}

TEST(ManyParticipants, six_hundred_threads_and_those_of_other_processes_all_enqueue_and_claim) {
  constexpr std::uint32_t here = 600;
  constexpr std::uint32_t in_each_child = 20;
  const ScratchEngine scratch(engine_for_many());
  SharedBlock<Progress> progress;
  std::vector<std::unique_ptr<Child>> children;
  for (int n = 0; n < 3; ++n) {
    children.push_back(std::make_unique<Child>([&] {
      Engine engine = scratch.open(without_keeper);
      const SmallThreads threads(in_each_child, [&] { work_once(engine, *progress); });
      return threads.size() == in_each_child ? 0 : 1;
    }));
  }
  constexpr std::uint32_t all = here + 3 * in_each_child;
  {
    Engine engine = scratch.open();
    const SmallThreads threads(here, [&] { work_once(engine, *progress); });
    EXPECT_TRUE(await([&] { return progress->completed == all; }, seconds(60)))
        << progress->attached << " attached, " << progress->completed << " jobs completed";
    EXPECT_GE(engine.status().participants.size(), all + 1) << "and the keeper";
    progress->leave = true;
  }
  for (const auto& child : children) EXPECT_EQ(child->wait(), 0);
}

/// The keeper sleeps until it is called: only a sign of death lets it reap.
TEST(ManyParticipants, a_death_behind_the_first_hundreds_is_told_to_the_keeper) {
  const ScratchEngine scratch(engine_for_many());
  Engine engine = scratch.open();
  ASSERT_TRUE(await([&] { return engine.keeps(); }));
  std::vector<std::unique_ptr<Participant>> others;
  while (others.size() < 600) others.push_back(must(engine.attach(Role::worker)));
  const Kind kind = must(engine.kind(kind_name));
  const Level level = must(engine.level("default"));
  SharedBlock<std::atomic<int>> holds;
  for (int round = 1; round <= 5; ++round) {
    must(others.back()->enqueue({.kind = kind, .level = level, .payload = as_payload("x")}));
    Child victim([&] {
      Engine own = scratch.open(without_keeper);
      const auto worker = must(own.attach(Role::worker));
      const auto job = must(worker->claim(generous));
      *holds = round;
      while (true) ::pause();
      return job.attempt() == 1 ? 0 : 1;
    });
    ASSERT_TRUE(await([&] { return *holds == round; }));
    // It is watched from the next look at changes on. After that the keeper rests.
    std::this_thread::sleep_for(milliseconds(200));
    const WithoutFallback without_looks{longest_keeper_rest_ns};
    ring_keeper(scratch.open_core()->segment);
    std::this_thread::sleep_for(milliseconds(20));
    victim.kill();
    auto job = others.front()->claim(seconds(5));
    ASSERT_TRUE(job.has_value()) << "round " << round << ": " << job.error().message();
    EXPECT_EQ(job->attempt(), 2U);
    EXPECT_TRUE(job->complete().has_value());
  }
}

}  // namespace
}  // namespace ringmill::test
