// What the kernel tells of processes that have ended.
#include "ipc/process_end.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using How = ProcessEnd::How;

/// A process that says which of its threads it is that dies, and when it started.
struct Named {
  std::atomic<std::uint64_t> started_ticks;
  std::atomic<int> thread;
  std::atomic<int> is_ready;
};

/// A child that tells of itself, and then does what is asked of it.
class Subject {
 public:
  explicit Subject(const std::function<void()>& then)
      : child_([this, &then] {
          tell(::gettid());
          then();
          return 0;
        }) {
    EXPECT_TRUE(await([this] { return told_->is_ready == 1; }));
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  void tell(int thread) {
    told_->started_ticks = own_start_ticks();
    told_->thread = thread;
    told_->is_ready = 1;
  }
  ProcessName name() const { return {child_.pid(), told_->thread, told_->started_ticks}; }
  Child& child() { return child_; }
  /// It has ended, and is still there to be asked.
  void wait_for_zombie() const {
    siginfo_t ignored{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child_.pid()), &ignored, WEXITED | WNOWAIT), 0);
  }

 private:
  SharedBlock<Named> told_;
  Child child_;
};

void stand() {
  while (true) ::pause();
}

TEST(ProcessEnds, the_signal_that_killed_a_process_is_told_until_it_is_reaped) {
  Subject subject(stand);
  ::kill(subject.child().pid(), SIGKILL);
  subject.wait_for_zombie();
  EXPECT_EQ(end_by_proc(subject.name()), (ProcessEnd{How::killed, SIGKILL}));
  subject.child().wait();
  EXPECT_EQ(end_by_proc(subject.name()).how, How::unknown);
}

TEST(ProcessEnds, a_status_is_told_zero_as_well) {
  for (const int status : {0, 3, 255}) {
    const Subject subject([status] { ::_exit(status); });
    subject.wait_for_zombie();
    EXPECT_EQ(end_by_proc(subject.name()), (ProcessEnd{How::exited, status}));
  }
}

TEST(ProcessEnds, a_pid_that_another_process_has_by_now_tells_nothing) {
  Subject subject(stand);
  ProcessName former = subject.name();
  --former.started_ticks;
  ::kill(subject.child().pid(), SIGKILL);
  subject.wait_for_zombie();
  EXPECT_EQ(end_by_proc(former).how, How::unknown);
  EXPECT_FALSE(ProcessHandle::open(former));
}

TEST(ProcessEnds, a_thread_that_ended_is_told_apart_from_its_process_also_if_it_is_the_first_one) {
  for (const bool is_first : {false, true}) {
    Subject subject([is_first] {
      if (is_first) {
        std::thread(stand).detach();
        ::syscall(SYS_exit, 0);
      }
      stand();
    });
    ProcessName who = subject.name();
    if (!is_first) who.thread = who.process + 1'000'000;  // a thread that is gone
    ASSERT_TRUE(await([&] { return end_by_proc(who).how == How::thread_ended; })) << is_first;
    subject.child().kill();
  }
}

TEST(ProcessEnds, an_exec_is_told_apart_from_an_end) {
  Subject subject([] { ::execl("/bin/sleep", "sleep", "600", nullptr); });
  EXPECT_EQ(end_by_proc(subject.name()), (ProcessEnd{How::replaced, 0}));
  subject.child().kill();
}

TEST(ProcessEnds, a_stopped_process_was_not_killed_by_its_stop) {
  Subject subject(stand);
  subject.child().stop();
  EXPECT_EQ(end_by_proc(subject.name()).how, How::replaced);  // it lives: no sign of an end
  subject.child().kill();
}

TEST(ProcessEnds, a_handle_tells_of_a_process_that_was_reaped) {
  Subject subject(stand);
  const auto handle = ProcessHandle::open(subject.name());
  if (!handle) GTEST_SKIP() << "this kernel has no PIDFD_GET_INFO";
  EXPECT_EQ(handle->end().how, How::unknown);
  subject.child().kill();
  if (handle->end().how == How::unknown) GTEST_SKIP() << "this kernel has no PIDFD_INFO_EXIT";
  EXPECT_EQ(handle->end(), (ProcessEnd{How::killed, SIGKILL}));
}

TEST(ProcessEnds, a_kill_for_lack_of_memory_counts_for_two_looks) {
  const ScratchFolder folder;
  const std::string file = folder.path() / "memory.events";
  const auto write = [&file](int kills) {
    std::ofstream(file) << "low 0\noom 9\noom_kill " << kills << "\noom_group_kill 7\n";
  };
  write(5);
  auto count = OutOfMemoryCount::in(file);
  ASSERT_TRUE(count);
  EXPECT_FALSE(count->has_risen());
  write(6);
  EXPECT_TRUE(count->has_risen());
  count->look();
  EXPECT_TRUE(count->has_risen());
  count->look();
  EXPECT_FALSE(count->has_risen());
  EXPECT_FALSE(OutOfMemoryCount::in(folder.path() / "none"));
}

TEST(ProcessEnds, a_sentence_names_the_process_and_the_signal) {
  const ProcessName who{.process = 4711, .thread = 4712, .started_ticks = 0};
  EXPECT_EQ(sentence_of({How::killed, SIGSEGV}, who), "process 4711 was killed by signal 11 (SIGSEGV)");
  EXPECT_EQ(sentence_of({How::killed, 63}, who), "process 4711 was killed by signal 63");
  EXPECT_EQ(sentence_of({How::exited, 3}, who), "process 4711 exited with status 3");
  EXPECT_EQ(sentence_of({How::thread_ended, 0}, who), "thread 4712 ended, process 4711 goes on");
  EXPECT_EQ(sentence_of({How::replaced, 0}, who), "process 4711 went over to another program (exec)");
  EXPECT_EQ(sentence_of({}, who), "process 4711 is gone, how is not known");
}

}  // namespace
}  // namespace ringmill::test
