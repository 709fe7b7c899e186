// What the program around the engine may have set, and what it gets back unchanged.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <locale>
#include <string>
#include <vector>

#include "core/schedules/cron.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

/// Digits in groups of three, and a comma before the fraction.
class Grouping : public std::numpunct<char> {
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
  char do_decimal_point() const override { return ','; }
};

TEST(ForeignLocale, files_and_words_of_an_engine_stay_as_they_are) {
  Child child([] {
    std::locale::global(std::locale(std::locale::classic(), new Grouping));
    for (const char* name : {"tr_TR.ISO-8859-9", "de_DE.UTF-8", "C.UTF-8"}) {
      if (std::setlocale(LC_ALL, name) != nullptr) break;
    }
    CreateOptions options = small_engine();
    options.capacity = 4096;  // four digits
    const ScratchEngine scratch(options);
    Engine engine = scratch.open();
    auto participant = must(engine.attach(Role::worker));
    const Kind kind = must(engine.kind(kind_name));
    must(engine.limit(kind, {.rate = {.count = 12345}, .concurrency = 123}));
    must(engine.retry_policy("exponential:1s,1.5,1h"));
    const JobId id = must(participant->enqueue({.kind = kind, .level = must(engine.level("default")), .payload = {}}));
    participant.reset();
    const Engine again = scratch.open(without_keeper);  // its files are read as they were written
    const EngineStatus status = again.status();
    if (status.capacity != 4096 || status.kinds.at(0).limits.rate.count != 12345) return 1;
    if (must(again.job(id)).id != id) return 2;
    for (const char* file : {"engine.json", "flow-control.json"}) {
      std::ifstream stream(scratch.directory() / file);
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      if (text.empty() || text.find("4.096") != std::string::npos || text.find("12.345") != std::string::npos) return 3;
    }
    return Cron::parse("0 9 * * FRI").has_value() ? 0 : 4;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ForkAndExec, a_program_that_the_host_starts_inherits_no_descriptor_of_the_engine) {
  Child host([] {
    const auto open_ones = [] {
      std::vector<std::string> numbers;
      for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        numbers.push_back(entry.path().filename());
      }
      return numbers;
    };
    const std::size_t before = open_ones().size();
    World world(small_engine(), {});
    auto participant = world.attach(Role::worker);
    JobRequest request = world.request("x");
    request.durability = Durability::durable;
    must(participant->enqueue(request, generous));
    if (open_ones().size() <= before) return 1;
    int flags_missing = 0;
    for (const std::string& number : open_ones()) {
      const int descriptor = std::stoi(number);
      std::error_code ignored;
      const std::string target = std::filesystem::read_symlink("/proc/self/fd/" + number, ignored);
      const bool is_ours = target.starts_with(world.scratch.directory().string()) ||
                           target.starts_with(world.scratch.place().shm_dir().string()) ||
                           target.find("io_uring") != std::string::npos;
      if (is_ours && (::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) == 0) ++flags_missing;
    }
    return flags_missing == 0 ? 0 : 2;
  });
  EXPECT_EQ(host.wait(), 0);
}

TEST(SignalActions, an_engine_changes_none_of_the_host) {
  Child host([] {
    std::vector<void (*)(int)> before;
    const auto actions = [] {
      std::vector<void (*)(int)> all;
      for (int signal = 1; signal < SIGRTMIN; ++signal) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        all.push_back(action.sa_handler);
      }
      return all;
    };
    before = actions();
    World world(small_engine(), {});
    auto participant = world.attach(Role::worker);
    world.enqueue(*participant, "x");
    return actions() == before ? 0 : 1;
  });
  EXPECT_EQ(host.wait(), 0);
}

TEST(SignalActions, no_thread_of_an_engine_runs_a_handler_of_the_host_or_takes_its_signals) {
  Child host([] {
    World world(small_engine(), {});
    auto participant = world.attach(Role::worker);
    JobRequest request = world.request("x");
    request.durability = Durability::durable;
    must(participant->enqueue(request, generous));
    // Blocked after the engine's threads are there, as by a program that then waits for its signals.
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    for (const int signal : {SIGTERM, SIGUSR1}) {
      ::kill(::getpid(), signal);  // would end the process if another thread took it
      int taken = 0;
      if (::sigwait(&signals, &taken) != 0 || taken != signal) return 1;
    }
    return 0;
  });
  EXPECT_EQ(host.wait(), 0);
}

/// Bytes of this process's memory that hold `text` and would stand in a core dump.
std::size_t dumped_copies(const std::string& text) {
  std::ifstream maps("/proc/self/smaps");
  std::ifstream memory("/proc/self/mem", std::ios::binary);
  std::size_t copies = 0;
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::string range;
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find("-") < 17 && line.find("-") != std::string::npos && line.find(':') > line.find(' ')) {
      range = line;
      begin = std::stoul(line, nullptr, 16);
      end = std::stoul(line.substr(line.find('-') + 1), nullptr, 16);
    }
    if (!line.starts_with("VmFlags:")) continue;
    const bool is_writable = range.find(" rw") != std::string::npos;
    const bool is_dumped = line.find(" dd") == std::string::npos;
    const bool is_stack_or_heap = range.find("[") != std::string::npos;
    if (!is_writable || !is_dumped || is_stack_or_heap || end - begin > (std::uintptr_t{1} << 28)) continue;
    std::string bytes(end - begin, '\0');
    memory.clear();
    memory.seekg(static_cast<std::streamoff>(begin));
    if (!memory.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) continue;
    const bool holds_itself =
        reinterpret_cast<std::uintptr_t>(bytes.data()) >= begin && reinterpret_cast<std::uintptr_t>(bytes.data()) < end;
    if (!holds_itself && bytes.find(text) != std::string::npos) ++copies;
  }
  return copies;
}

TEST(CoreDumps, hold_no_buffer_of_the_journal_and_no_page_of_shared_memory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer lets no core be written";
#endif
  Child host([] {
    World world(small_engine(), {});
    auto participant = world.attach(Role::worker);
    std::string payload = "PAYLOAD-";
    payload += "OF-A-JOB";
    JobRequest request = world.request(payload);
    request.durability = Durability::durable;
    must(participant->enqueue(request, generous));
    return static_cast<int>(dumped_copies(payload));
  });
  EXPECT_EQ(host.wait(), 0);
}

}  // namespace
}  // namespace ringmill::test
