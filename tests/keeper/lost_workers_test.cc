// What a job says of the worker that died with it.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

/// One job, which a worker in another process begins, to end in its own way; the keeper is the test's.
class LosingWorld : public World {
 public:
  LosingWorld() : World(small_engine_with_room()), inside_(scratch) { id_ = enqueue(*producer_, "payload"); }

  /// In a child: claims the job, and does `then`.
  std::function<int()> worker(const std::function<void()>& then) {
    return [this, then] {
      Engine own = scratch.open(without_keeper);
      auto participant = must(own.attach(Role::worker));
      const Job job = must(participant->claim(generous));
      *thread_ = ::gettid();
      *is_running_ = 1;
      then();
      return 0;
    };
  }
  bool is_running() const { return *is_running_ == 1; }
  /// The keeper's turns, until the job waits again.
  std::string told() {
    EXPECT_TRUE(await([this] { return is_running(); }));
    EXPECT_TRUE(await([this] {
      inside_.work().turn(true);
      return state_of(id_) == JobState::queued;
    }));
    return must(engine.job(id_)).last_error;
  }
  void keep() { inside_.work().turn(true); }
  int thread() const { return *thread_; }

 private:
  Inside inside_;
  std::unique_ptr<Participant> producer_ = attach(Role::producer);
  SharedBlock<std::atomic<int>> is_running_;
  SharedBlock<std::atomic<int>> thread_;
  JobId id_;
};

void stand() {
  while (true) ::pause();
}

TEST(LostWorkers, a_job_says_which_signal_killed_its_worker) {
  for (const auto& [signal, name] : {std::pair{SIGKILL, "9 (SIGKILL)"}, std::pair{SIGTERM, "15 (SIGTERM)"}}) {
    LosingWorld world;
    const Child child(world.worker([signal = signal] { ::raise(signal); }));
    EXPECT_EQ(world.told(), "worker lost: process " + std::to_string(child.pid()) + " was killed by signal " + name);
  }
}

TEST(LostWorkers, a_job_says_with_what_status_its_worker_exited) {
  LosingWorld world;
  const Child child(world.worker([] { ::_exit(3); }));
  EXPECT_EQ(world.told(), "worker lost: process " + std::to_string(child.pid()) + " exited with status 3");
}

TEST(LostWorkers, a_thread_that_ended_without_its_process_is_told_apart) {
  LosingWorld world;
  const Child child([&world] {
    std::thread(world.worker([] { ::syscall(SYS_exit, 0); })).detach();
    stand();
    return 0;
  });
  const std::string told = world.told();
  EXPECT_EQ(told, "worker lost: thread " + std::to_string(world.thread()) + " ended, process " +
                      std::to_string(child.pid()) + " goes on");
}

TEST(LostWorkers, a_worker_that_went_over_to_another_program_is_told_apart) {
  LosingWorld world;
  const Child child(world.worker([] { ::execl("/bin/sleep", "sleep", "600", nullptr); }));
  EXPECT_EQ(world.told(),
            "worker lost: process " + std::to_string(child.pid()) + " went over to another program (exec)");
}

TEST(LostWorkers, a_worker_that_was_reaped_before_the_keeper_looked_is_told_of_if_the_keeper_knew_it) {
  for (const bool knew_it : {true, false}) {
    LosingWorld world;
    Child child(world.worker(stand));
    const std::string process = "worker lost: process " + std::to_string(child.pid());
    ASSERT_TRUE(await([&] { return world.is_running(); }));
    if (knew_it) world.keep();
    const ProcessName own{::getpid(), ::gettid(), own_start_ticks()};
    child.kill();  // and reaps it
    const std::string told = world.told();
    if (!knew_it) {
      EXPECT_EQ(told, process + " is gone, how is not known");
    } else if (!ProcessHandle::open(own)) {
      GTEST_SKIP() << "this kernel has no PIDFD_GET_INFO";
    } else if (told != process + " is gone, how is not known") {  // PIDFD_INFO_EXIT came two versions later
      EXPECT_EQ(told, process + " was killed by signal 9 (SIGKILL)");
    }
  }
}

/// A memory control group of 64 MiB, if this machine lets us make one.
class SmallGroup {
 public:
  SmallGroup() {
    for (const auto& [root, limit] :
         {std::pair{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, std::pair{"/sys/fs/cgroup", "memory.max"}}) {
      std::error_code ignored;
      const std::filesystem::path folder = std::filesystem::path(root) / ("ringmill-" + std::to_string(::getpid()));
      if (!std::filesystem::create_directory(folder, ignored)) continue;
      path_ = folder;
      if (put(limit, "67108864") && std::filesystem::exists(folder / "cgroup.procs")) return;
      leave();
    }
  }
  SmallGroup(const SmallGroup&) = delete;
  SmallGroup& operator=(const SmallGroup&) = delete;
  ~SmallGroup() { leave(); }

  explicit operator bool() const noexcept { return !path_.empty(); }
  bool enter() const { return put("cgroup.procs", std::to_string(::getpid())); }

 private:
  bool put(const std::string& file, const std::string& text) const {
    std::ofstream stream(path_ / file);
    stream << text << std::flush;
    return stream.good();
  }
  void leave() {
    if (!path_.empty()) ::rmdir(path_.c_str());
    path_.clear();
  }
  std::filesystem::path path_;
};

TEST(LostWorkers, a_worker_that_the_kernel_killed_for_lack_of_memory_is_told_of_as_probably_that) {
  const SmallGroup group;
  if (!group) GTEST_SKIP() << "no memory control group can be made here";
  for (const bool lacks_memory : {true, false}) {
    LosingWorld world;
    SharedBlock<std::atomic<int>> go;
    Child child(world.worker([&] {
      if (!group.enter()) ::_exit(1);
      *go = 1;
      await([&] { return *go == 2; });
      if (!lacks_memory) ::raise(SIGKILL);
      std::vector<std::unique_ptr<char[]>> pieces;
      while (true) {
        pieces.push_back(std::make_unique<char[]>(1 << 20));
        std::memset(pieces.back().get(), 1, 1 << 20);
      }
    }));
    ASSERT_TRUE(await([&] { return *go == 1; }));
    world.keep();
    *go = 2;
    EXPECT_EQ(world.told(), "worker lost: process " + std::to_string(child.pid()) +
                                " was killed by signal 9 (SIGKILL)" +
                                (lacks_memory ? ", probably for lack of memory" : ""));
    child.wait();
  }
}

}  // namespace
}  // namespace ringmill::test
