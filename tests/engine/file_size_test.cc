// A process that may write only small files (`ulimit -f`): what it cannot write is an error that says so. The signal
// that comes with it ends no process, and the host's own signal mask stays as it was.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "core/dead_letters/store.h"
#include "core/schedules/schedule_book.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/dead_letters.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using std::chrono::seconds;

constexpr rlim_t little = 100 * 1024;

/// Ends with what `body` returns; minus SIGXFSZ where a write ended the process.
int with_small_files(const std::function<int()>& body, rlim_t most_bytes = little) {
  Child child([&] {
    ::alarm(60);
    ::signal(SIGXFSZ, SIG_DFL);
    const rlimit limit{.rlim_cur = most_bytes, .rlim_max = most_bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 100;
    return body();
  });
  return child.wait();
}

template <class T>
bool names_the_limit(const Result<T>& result) {
  const std::string said = result ? "it worked" : result.error().message();
  if (!result && result.error().code() == ErrorCode::no_space && said.find("ulimit -f") != std::string::npos) {
    return true;
  }
  std::fprintf(stderr, "expected was an error that names the limit; it said: %s\n", said.c_str());
  return false;
}

bool has_signal(bool (*look)(sigset_t&)) {
  sigset_t set;
  return look(set) && ::sigismember(&set, SIGXFSZ) == 1;
}

bool is_blocked() {
  return has_signal([](sigset_t& set) { return ::pthread_sigmask(SIG_BLOCK, nullptr, &set) == 0; });
}

bool is_pending() {
  return has_signal([](sigset_t& set) { return ::sigpending(&set) == 0; });
}

TEST(FileSizeLimit, a_creation_says_what_to_do_and_leaves_nothing) {
  const ScratchPlace place;
  EXPECT_EQ(with_small_files(
                [&] { return names_the_limit(Engine::create(place.directory(), place.here(small_engine()))) ? 0 : 1; }),
            0);
  EXPECT_FALSE(std::filesystem::exists(place.directory()));
  EXPECT_TRUE(place.shm_names().empty());
}

TEST(FileSizeLimit, a_recovery_says_what_to_do_and_the_next_one_does_it) {
  const ScratchEngine scratch;
  std::filesystem::remove(scratch.segment_file());
  EXPECT_EQ(
      with_small_files([&] { return names_the_limit(Engine::open(scratch.directory(), without_keeper)) ? 0 : 1; }), 0);
  EXPECT_TRUE(Engine::open(scratch.directory(), without_keeper).has_value());
}

/// A durable job whose keeper is the calling process.
Result<JobId> enqueue_durably(const ScratchEngine& scratch) {
  Engine engine = scratch.open();
  const auto producer = must(engine.attach(Role::producer));
  const JobRequest request{
      .kind = must(engine.kind(kind_name)), .level = must(engine.level("default")), .durability = Durability::durable};
  return producer->enqueue(request, seconds{20});
}

/// What the last one said stands until the next one is in office.
void expect_that_the_next_keeper_writes(const ScratchEngine& scratch) {
  EXPECT_TRUE(await([&] { return enqueue_durably(scratch).has_value(); }));
}

TEST(FileSizeLimit, a_keeper_that_cannot_make_the_journals_file_says_so_and_lives) {
  const ScratchEngine scratch;
  EXPECT_EQ(with_small_files([&] {
              LogCapture log;
              if (!names_the_limit(enqueue_durably(scratch))) return 1;
              return log.has("ulimit -f") ? 0 : 2;
            }),
            0);
  expect_that_the_next_keeper_writes(scratch);
}

TEST(FileSizeLimit, a_keeper_that_cannot_write_to_the_journals_file_says_so_and_lives) {
  const ScratchEngine scratch;
  must(enqueue_durably(scratch));
  EXPECT_EQ(with_small_files(
                [&] {
                  const auto refused = enqueue_durably(scratch);
                  if (refused) return 1;
                  return refused.error().message().find("File too large") != std::string::npos ? 0 : 2;
                },
                4096),
            0);
  expect_that_the_next_keeper_writes(scratch);
}

TEST(FileSizeLimit, dead_letters_and_schedules_say_so_and_are_whole_afterwards) {
  const ScratchFolder folder;
  {
    auto store = must(DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write));
    must(store.bury(letters_from_to(1, 1)));
  }
  Schedule schedule{.name = "beat", .times = EveryTimes{seconds{1}}};
  schedule.kind = "beat";
  schedule.level = "default";
  EXPECT_EQ(with_small_files([&] {
              auto store = DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write);
              if (!store) return 1;
              if (!names_the_limit(store->bury(letters_from_to(2, 1000)))) return 2;
              schedule.payload.resize(2 * little);
              ScheduleBook book(folder.path());
              if (!names_the_limit(book.add(schedule, std::chrono::system_clock::now()))) return 3;
              return is_blocked() || is_pending() ? 4 : 0;
            }),
            0);
  auto store = must(DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write));
  EXPECT_EQ(must(store.totals()).letters, 1U);
  must(store.bury(letters_from_to(2, 1000)));
  must(ScheduleBook(folder.path()).add(schedule, std::chrono::system_clock::now()));
}

TEST(FileSizeLimit, the_hosts_signals_are_as_they_were) {
  const ScratchFolder folder;
  EXPECT_EQ(with_small_files([&] {
              const std::filesystem::path path = folder.path() / "file";
              const File file = must(open_file(path, O_RDWR | O_CREAT, 0600));
              if (!names_the_limit(write_all(file, std::string(2 * little, 'x'), path))) return 1;
              if (is_blocked() || is_pending()) return 2;
              // A host that has it blocked finds it pending, as without us.
              sigset_t ours;
              ::sigemptyset(&ours);
              ::sigaddset(&ours, SIGXFSZ);
              ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
              if (!names_the_limit(write_all(file, "y", path))) return 3;
              return is_blocked() && is_pending() ? 0 : 4;
            }),
            0);
}

}  // namespace
}  // namespace ringmill::test
