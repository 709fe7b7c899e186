// A process that lacks something the engine would like to have: calls answer, or go on with less, and nothing ends it.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ringmill/worker.h>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"
#include "tests/support/refused_calls.h"
#include "tests/support/shared_block.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

void limit(decltype(RLIMIT_NOFILE) what, rlim_t most) {
  const rlimit both{most, most};
  if (::setrlimit(what, &both) != 0) throw std::runtime_error("setrlimit");
}

/// All that a program does with an engine. How far it came: the number of calls that answered yes.
int use(const std::filesystem::path& directory) {
  auto engine = Engine::open(directory);
  if (!engine) return 0;
  auto participant = engine->attach(Role::worker);
  if (!participant) return 1;
  const auto kind = engine->kind(kind_name);
  const auto level = engine->level("default");
  if (!kind || !level) return 2;
  const auto id = (*participant)->enqueue({.kind = *kind, .level = *level, .payload = as_payload("x")});
  if (!id) return 3;
  static_cast<void>(engine->job(*id));
  static_cast<void>((*participant)->wait_durable((*participant)->ticket(), 2s));
  auto job = (*participant)->claim(1s);
  if (!job) return 4;
  if (!job->complete()) return 5;
  participant->reset();
  WorkerOptions options;
  options.threads = 2;
  options.drain = true;
  Worker worker(*engine, options);
  worker.on_any([](JobContext&) { return JobOutcome::complete(); });
  return worker.run() ? 7 : 6;
}

/// In a child, which must end by itself, with what `use` says.
int use_in_child(const std::filesystem::path& directory, const std::function<void()>& prepare) {
  Child child([&] {
    prepare();
    return use(directory);
  });
  return child.wait();
}

TEST(ScarceDescriptors, each_call_answers_or_goes_on_with_less) {
  const ScratchEngine engine;
  int furthest = 0;
  for (rlim_t most = 3; most <= 40; ++most) {
    const int reached = use_in_child(engine.directory(), [most] { limit(RLIMIT_NOFILE, most); });
    EXPECT_GE(reached, 0) << "with " << most << " descriptors it was ended by signal " << -reached;
    furthest = std::max(furthest, reached);
  }
  EXPECT_EQ(furthest, 7);
  EXPECT_EQ(use_in_child(engine.directory(), [] {}), 7);  // and left nothing behind that is in the way
}

TEST(ScarceFileSize, each_call_answers_and_no_signal_ends_the_program) {
  for (const rlim_t most : {rlim_t{0}, rlim_t{4096}, rlim_t{100 << 10}, rlim_t{1 << 20}}) {
    const ScratchEngine engine;
    const int reached = use_in_child(engine.directory(), [most] { limit(RLIMIT_FSIZE, most); });
    EXPECT_GE(reached, 5) << most;  // jobs of durability `memory`, and all that follows, need no file
  }
}

TEST(ScarceFileSize, making_an_engine_is_an_error_that_leaves_none) {
  const ScratchPlace place;
  CreateOptions options = small_engine();
  options.shm_dir = place.shm_dir();
  for (const rlim_t most : {rlim_t{0}, rlim_t{100}, rlim_t{4096}}) {
    Child child([&] {
      limit(RLIMIT_FSIZE, most);
      const auto made = Engine::create(place.directory(), options);
      return !made && made.error().code() == ErrorCode::no_space ? 0 : 1;
    });
    EXPECT_EQ(child.wait(), 0) << most;
  }
  EXPECT_TRUE(Engine::create(place.directory(), options));
}

/// Root has as many processes as it likes.
bool become_unprivileged() {
  constexpr uid_t unprivileged = 65534;
  return ::setgroups(0, nullptr) == 0 && ::setgid(unprivileged) == 0 && ::setuid(unprivileged) == 0;
}

class ScarceThreads : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  /// Runs `body` on an engine of an unprivileged user, in a child that may start no more threads.
  static int in_child(const std::function<int(const std::filesystem::path&)>& body) {
    Child child([&] {
      if (!become_unprivileged()) return 99;
      const ScratchEngine engine;
      limit(RLIMIT_NPROC, 0);
      return body(engine.directory());
    });
    return child.wait();
  }
};

TEST_F(ScarceThreads, opening_with_a_keeper_is_an_error_and_without_one_goes_on) {
  EXPECT_EQ(in_child([](const std::filesystem::path& directory) {
              const auto opened = Engine::open(directory);
              if (opened || opened.error().message().find("thread") == std::string::npos) return 1;
              return Engine::open(directory, without_keeper) ? 0 : 2;
            }),
            0);
}

TEST_F(ScarceThreads, a_worker_of_more_threads_than_there_can_be_ends_with_an_error) {
  EXPECT_EQ(in_child([](const std::filesystem::path& directory) {
              Engine engine = must(Engine::open(directory, without_keeper));
              WorkerOptions options;
              options.threads = 4;
              Worker worker(engine, options);
              worker.on_any([](JobContext&) { return JobOutcome::complete(); });
              const auto ran = worker.run();
              return !ran && ran.error().message().find("thread") != std::string::npos ? 0 : 1;
            }),
            0);
}

TEST_F(ScarceThreads, a_keeper_whose_threads_cannot_be_started_says_so_and_tries_again) {
  // The keeper's own thread is there when threads become scarce: it waits behind the lock of another keeper.
  Child child([] {
    if (!become_unprivileged()) return 99;
    const ScratchEngine scratch;
    auto first = std::make_unique<Engine>(scratch.open());
    if (!await([&] { return first->keeps(); })) return 1;
    const LogCapture captured;
    const Engine second = scratch.open();
    rlimit few{0, RLIM_INFINITY};
    ::getrlimit(RLIMIT_NPROC, &few);
    const rlim_t before = few.rlim_cur;
    few.rlim_cur = 0;
    ::setrlimit(RLIMIT_NPROC, &few);
    first.reset();
    if (!await([&] { return captured.has("cannot run the keeper"); })) return 2;
    few.rlim_cur = before;
    ::setrlimit(RLIMIT_NPROC, &few);
    return await([&] { return second.keeps() && second.status().journal.last_error.empty(); }) ? 0 : 3;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ScarceAddressSpace, each_call_answers_or_goes_on_with_less) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own map takes terabytes";
#endif
  const ScratchEngine engine;
  bool some_answered_no = false;
  int reached = 0;
  // From what the process has in any case, in steps, until all of it goes.
  for (rlim_t more = 0; more < (rlim_t{64} << 20) && reached != 7; more += 1 << 20) {
    reached = use_in_child(engine.directory(), [more] {
      long pages = 0;
      if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
        if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
        std::fclose(file);
      }
      limit(RLIMIT_AS, static_cast<rlim_t>(pages) * 4096 + more);
    });
    ASSERT_GE(reached, 0) << "with " << more << " bytes more it was ended by signal " << -reached;
    some_answered_no = some_answered_no || reached < 7;
  }
  EXPECT_TRUE(some_answered_no);
  // What the last keeper said of its journal stands until the next one is in office.
  EXPECT_TRUE(await([&engine] { return use_in_child(engine.directory(), [] {}) == 7; }));
}

/// A process that keeps with `prepare` done before: what its status says when a job is durable.
std::string note_after(const std::function<void()>& prepare, std::string& mode) {
  const ScratchEngine scratch;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const File reading(ends[0]);
  File writing(ends[1]);
  Child child([&] {
    prepare();
    Engine engine = scratch.open();
    auto producer = must(engine.attach(Role::producer));
    const JobRequest request{.kind = must(engine.kind(kind_name)),
                             .level = must(engine.level("default")),
                             .payload = as_payload("x"),
                             .durability = Durability::durable};
    must(producer->enqueue(request, generous));
    const JournalStatus journal = engine.status().journal;
    const std::string text = journal.mode + "\n" + journal.note;
    return ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  writing = File();
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(reading.descriptor(), text.data(), text.size()), 0)));
  mode = text.substr(0, text.find('\n'));
  return text.substr(std::min(text.size(), mode.size() + 1));
}

TEST(ScarceLockedMemory, the_journal_writes_from_unregistered_buffers_and_status_says_so) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::string mode;
  const std::string note = note_after(
      [] {
        refuse_call(SYS_io_uring_register, ENOMEM);  // as the kernel answers where memory may not be locked
      },
      mode);
  EXPECT_EQ(mode, "io_uring");
  EXPECT_NE(note.find("RLIMIT_MEMLOCK"), std::string::npos) << note;
}

/// What a program does that gives its rights up when it has started: all of its threads get the filter.
void refuse_entering_to_all_threads() {
  const sock_filter program[] = {{.code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, nr)},
                                 {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = 1, .k = SYS_io_uring_enter},
                                 {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ERRNO | EPERM},
                                 {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW}};
  const sock_fprog filter{.len = 4, .filter = const_cast<sock_filter*>(program)};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
    throw std::runtime_error("no seccomp filter for all threads here");
  }
}

TEST(RefusedCalls, what_was_durable_is_there_when_the_filter_comes_while_the_journal_writes) {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  options.cell_size = 1024;
  for (int round = 0; round < 5; ++round) {
    const ScratchEngine scratch(options);
    SharedBlock<std::array<std::uint64_t, 2048>> durable;
    Child child([&] {
      Engine engine = scratch.open();
      if (!await([&] { return engine.keeps(); })) return 1;
      std::atomic<std::size_t> done{0};
      std::vector<std::thread> producers;
      for (int n = 0; n < 4; ++n) {
        producers.emplace_back([&] {
          auto producer = must(engine.attach(Role::producer));
          const std::string payload(900, 'x');
          const JobRequest request{.kind = must(engine.kind(kind_name)),
                                   .level = must(engine.level("default")),
                                   .payload = as_payload(payload),
                                   .durability = Durability::journaled};
          std::vector<JobRequest> requests(32, request);
          std::array<JobId, 32> ids;
          for (int batch = 0; batch < 12; ++batch) {
            must(producer->enqueue_batch(requests, ids));
            must(producer->wait_durable(producer->ticket(), generous));
            for (const JobId id : ids) (*durable)[done++] = id.value();
          }
        });
      }
      await([&] { return done >= 300; });
      std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
      refuse_entering_to_all_threads();
      for (std::thread& producer : producers) producer.join();
      const JournalStatus journal = engine.status().journal;
      if (!journal.last_error.empty() || done != 4 * 12 * 32) return 2;
      return journal.mode == "pwritev2" ? 0 : 3;
    });
    EXPECT_EQ(child.wait(), 0);
    for (const std::string& name : scratch.place().shm_names()) {
      std::filesystem::remove(scratch.place().shm_dir() / name);
    }
    const Engine recovered = scratch.open(without_keeper);
    EXPECT_TRUE(std::ranges::all_of(*durable, [&](std::uint64_t id) { return id == 0 || recovered.job(JobId(id)); }));
  }
}

TEST(RefusedCalls, a_journal_that_may_not_enter_its_ring_goes_on_with_pwritev2_and_status_says_so) {
  std::string mode;
  const std::string note = note_after([] { refuse_call(SYS_io_uring_enter, EPERM); }, mode);
  EXPECT_EQ(mode, "pwritev2");
  EXPECT_NE(note.find("seccomp"), std::string::npos) << note;
  EXPECT_EQ(note_after([] {}, mode), "");
  EXPECT_EQ(mode, "io_uring");
}

}  // namespace
}  // namespace ringmill::test
