// One shell command: what it gets, what is heard of it, and what ends it.
#include "workers/command.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/clock.h"
#include "ipc/process_end.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/must.h"
#include "tests/support/processes.h"
#include "tests/support/refused_calls.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

constexpr int no_interrupt = -1;

std::uint64_t deadline_ns() {
  return steady_clock_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(generous).count());
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

CommandEnd finish(Command& command) {
  if (command.wait(no_interrupt, deadline_ns()) != Command::Event::ended) {
    throw std::runtime_error("the command does not end");
  }
  return command.finish();
}

/// On a thread of its own, as in a worker: starting a command changes the thread's signal mask.
CommandEnd run(const std::string& text, const std::string& input = {},
               const std::vector<std::string>& environment = {}) {
  return std::async(std::launch::async,
                    [&] {
                      Command command = must(Command::start(text, environment, bytes_of(input)));
                      return finish(command);
                    })
      .get();
}

TEST(Commands, the_exit_status_is_told) {
  const CommandEnd end = run("exit 7");
  EXPECT_EQ(end.status, 7);
  EXPECT_EQ(end.signal, 0);
}

TEST(Commands, the_signal_that_ended_it_is_told) {
  const CommandEnd end = run("kill -KILL $$");
  EXPECT_EQ(end.status, -1);
  EXPECT_EQ(end.signal, SIGKILL);
}

TEST(Commands, one_that_does_not_exist_ends_with_127_and_the_shells_words) {
  const CommandEnd end = run("no-such-command-anywhere --flag");
  EXPECT_EQ(end.status, 127);
  EXPECT_NE(end.error_text.find("no-such-command-anywhere"), std::string::npos) << end.error_text;
}

TEST(Commands, every_byte_of_the_input_arrives_as_it_is) {
  std::string input;
  for (int value = 0; value < 256; ++value) input.push_back(static_cast<char>(value));
  EXPECT_EQ(run("cat", input).output, input);
}

TEST(Commands, without_input_standard_input_is_at_its_end) { EXPECT_EQ(run("cat; echo over").output, "over\n"); }

TEST(Commands, more_than_the_pipes_hold_in_all_directions_blocks_nobody) {
  const std::string input(4 << 20, 'x');
  const CommandEnd end = run("tee /dev/stderr", input);
  EXPECT_EQ(end.status, 0);
  EXPECT_EQ(end.output, std::string(Command::most_output, 'x'));
  EXPECT_TRUE(end.output_was_cut);
}

TEST(Commands, much_output_before_the_input_is_read_blocks_nobody) {
  const CommandEnd end = run("head -c 1000000 /dev/zero >&2; wc -c", std::string(1 << 20, 'x'));
  EXPECT_EQ(end.status, 0);
  EXPECT_EQ(std::stoul(end.output), 1UL << 20);
}

TEST(Commands, output_up_to_the_bound_is_whole) {
  const CommandEnd end = run("head -c 65536 /dev/zero");
  EXPECT_EQ(end.output.size(), Command::most_output);
  EXPECT_FALSE(end.output_was_cut);
}

TEST(Commands, output_beyond_the_bound_is_cut_and_says_so) {
  const CommandEnd end = run("head -c 65537 /dev/zero");
  EXPECT_EQ(end.output.size(), Command::most_output);
  EXPECT_TRUE(end.output_was_cut);
}

TEST(Commands, output_beyond_what_is_kept_in_memory_is_in_a_file_without_a_gap) {
  const CommandEnd end = std::async(std::launch::async, [] {
                           Command command = must(Command::start("seq 100000", {}, {}, {.most_spooled = 1 << 20}));
                           return finish(command);
                         }).get();
  std::string all = end.output;
  must(end.more_output.read([&](std::string_view piece) {
    all += piece;
    return true;
  }));
  std::string expected;
  for (int n = 1; n <= 100000; ++n) expected += std::to_string(n) + "\n";
  EXPECT_EQ(end.output.size(), Command::most_output);
  EXPECT_TRUE(all == expected) << all.size();
  EXPECT_FALSE(end.output_was_cut);
}

TEST(Commands, where_no_temporary_file_can_be_made_the_output_is_cut_and_says_why) {
  const char* const before = std::getenv("TMPDIR");
  const std::string former = before != nullptr ? before : "";
  ::setenv("TMPDIR", "/nowhere/at/all", 1);
  const CommandEnd end = std::async(std::launch::async, [] {
                           Command command = must(Command::start("seq 100000", {}, {}, {.most_spooled = 1 << 20}));
                           return finish(command);
                         }).get();
  before != nullptr ? ::setenv("TMPDIR", former.c_str(), 1) : ::unsetenv("TMPDIR");
  EXPECT_EQ(end.status, 0);
  EXPECT_EQ(end.output.size(), Command::most_output);
  EXPECT_TRUE(end.output_was_cut);
  EXPECT_NE(end.more_output.why_cut().find("/nowhere/at/all"), std::string::npos) << end.more_output.why_cut();
}

TEST(Commands, a_file_that_is_handed_over_is_descriptor_3_wherever_it_was) {
  for (const bool is_3_already : {false, true}) {
    const CommandEnd end =
        std::async(std::launch::async, [is_3_already] {
          const File kept_free(is_3_already ? -1 : ::open("/dev/null", O_RDONLY | O_CLOEXEC));
          const File file(::memfd_create("handed", MFD_CLOEXEC));
          EXPECT_EQ(::pwrite(file.descriptor(), "content", 7, 0), 7);
          Command command =
              must(Command::start("cat /dev/fd/3; test ! -e /proc/$$/fd/4", {}, {}, {.handed_over = &file}));
          return finish(command);
        }).get();
    EXPECT_EQ(end.output, "content");
    EXPECT_EQ(end.status, 0);
  }
}

TEST(Commands, of_many_error_lines_the_last_whole_ones_are_kept) {
  const std::string text = run("n=0; while test $n -lt 5000; do echo \"line $n\" >&2; n=$((n + 1)); done").error_text;
  EXPECT_LE(text.size(), Command::most_error_text);
  EXPECT_GT(text.size(), Command::most_error_text - 100);
  EXPECT_TRUE(text.starts_with("line ")) << text.substr(0, 40);
  EXPECT_TRUE(text.ends_with("\nline 4999")) << text.substr(text.size() - 40);
}

TEST(Commands, of_one_long_error_line_the_last_bytes_are_kept) {
  EXPECT_EQ(run("head -c 100000 /dev/zero | tr '\\0' x >&2").error_text, std::string(Command::most_error_text, 'x'));
}

/// In a process where SIGPIPE has its default action: it would end it.
int run_in_child(const std::string& text, std::size_t input_bytes) {
  Child child([&] {
    ::signal(SIGPIPE, SIG_DFL);
    return run(text, std::string(input_bytes, 'x')).status;
  });
  return child.wait();
}

TEST(Commands, one_that_ends_without_reading_its_input_ends_well) { EXPECT_EQ(run_in_child("exit 0", 1 << 20), 0); }

TEST(Commands, one_that_closes_its_input_goes_on_to_its_own_end) {
  EXPECT_EQ(run_in_child("exec 0<&-; sleep 0.05; exit 7", 1 << 20), 7);
}

TEST(Commands, given_variables_go_before_ours_of_the_same_name) {
  ::setenv("RINGMILL_TEST_VALUE", "ours", 1);
  const std::string output = run("env | grep ^RINGMILL_TEST_VALUE=", {}, {"RINGMILL_TEST_VALUE=given"}).output;
  ::unsetenv("RINGMILL_TEST_VALUE");
  EXPECT_EQ(output, "RINGMILL_TEST_VALUE=given\n");
}

TEST(Commands, our_other_variables_are_passed_on) {
  ::setenv("RINGMILL_TEST_VALUE", "ours", 1);
  const std::string output = run("echo $RINGMILL_TEST_VALUE", {}, {"RINGMILL_TEST_VALUE_2=given"}).output;
  ::unsetenv("RINGMILL_TEST_VALUE");
  EXPECT_EQ(output, "ours\n");
}

TEST(Commands, no_other_descriptor_of_ours_is_passed_on) {
  const File kept(::open("/dev/null", O_RDONLY));  // not close-on-exec
  const CommandEnd end = run("test ! -e /proc/$$/fd/" + std::to_string(kept.descriptor()));
  EXPECT_EQ(end.status, 0);
}

TEST(Commands, signals_that_we_block_or_ignore_have_their_default_action_in_it) {
  ::signal(SIGUSR1, SIG_IGN);
  const CommandEnd ignored = run("kill -USR1 $$; exit 0");
  ::signal(SIGUSR1, SIG_DFL);
  EXPECT_EQ(ignored.signal, SIGUSR1);
  const CommandEnd blocked = run("kill -PIPE $$; exit 0");  // start() blocks it on the thread
  EXPECT_EQ(blocked.signal, SIGPIPE);
}

TEST(Commands, what_it_leaves_behind_does_not_keep_it_from_having_ended) {
  const CommandEnd end = run("sleep 600 & echo $!");
  EXPECT_EQ(end.status, 0);
  const pid_t left = std::stoi(end.output);
  EXPECT_FALSE(is_gone(left));
  ::kill(left, SIGKILL);
}

TEST(Commands, a_signal_reaches_what_it_has_started) {
  const ScratchFolder folder;
  const auto note = folder.path() / "pid";
  std::async(std::launch::async, [&] {
    Command command = must(Command::start("sleep 600 & echo $! > " + note.string() + "; wait", {}, {}));
    const pid_t started = noted_pid(note);
    command.signal_group(SIGTERM);
    EXPECT_EQ(finish(command).signal, SIGTERM);
    EXPECT_TRUE(await([&] { return is_gone(started); }));
  }).get();
}

TEST(Commands, one_that_is_dropped_is_killed_with_all_that_it_has_started) {
  const ScratchFolder folder;
  const auto note = folder.path() / "pid";
  const pid_t started =
      std::async(std::launch::async, [&] {
        const Command command =
            must(Command::start("trap '' TERM; sleep 600 & echo $! > " + note.string() + "; wait", {}, {}));
        return noted_pid(note);
      }).get();
  EXPECT_TRUE(await([&] { return is_gone(started); }));
}

TEST(Commands, it_is_killed_when_the_thread_that_started_it_dies) {
  const ScratchFolder folder;
  const auto note = folder.path() / "pid";
  std::optional<Command> command;
  std::thread([&] {
    command.emplace(must(Command::start("echo $$ > " + note.string() + "; exec sleep 600", {}, {})));
    noted_pid(note);
  }).join();
  EXPECT_EQ(finish(*command).signal, SIGKILL);
}

TEST(Commands, a_wait_ends_by_an_interrupt_and_the_command_goes_on) {
  const File interrupt(::eventfd(1, EFD_CLOEXEC));
  std::async(std::launch::async, [&] {
    Command command = must(Command::start("cat", {}, {}));
    Command sleeper = must(Command::start("exec sleep 600", {}, {}));
    EXPECT_EQ(sleeper.wait(interrupt.descriptor(), deadline_ns()), Command::Event::interrupted);
    EXPECT_EQ(finish(command).status, 0);
  }).get();
}

TEST(Commands, a_wait_ends_when_its_time_is_over) {
  std::async(std::launch::async, [&] {
    Command sleeper = must(Command::start("exec sleep 600", {}, {}));
    const std::uint64_t until_ns = steady_clock_ns() + 1'000'000;
    EXPECT_EQ(sleeper.wait(no_interrupt, until_ns), Command::Event::time_over);
    EXPECT_GE(steady_clock_ns(), until_ns);
  }).get();
}

/// The wait status of a command in a process that reaps children in its own way, when the kernel tells it.
int end_where(const std::function<void()>& prepare, const std::string& text) {
  Child child([&] {
    prepare();
    Command command = must(Command::start(text, {}, {}));
    if (command.wait(no_interrupt, deadline_ns()) != Command::Event::ended) return 99;
    while (::waitpid(-1, nullptr, WNOHANG) > 0) continue;  // as a program does that waits for any child
    const CommandEnd end = command.finish();
    return end.signal != 0 ? 100 + end.signal : end.status;
  });
  return child.wait();
}

TEST(Commands, the_end_is_told_where_sigchld_is_ignored) {
  if (!descriptors_tell_ends()) GTEST_SKIP() << "this kernel does not tell of exits by a pidfd";
  const auto ignore = [] { ::signal(SIGCHLD, SIG_IGN); };
  EXPECT_EQ(end_where(ignore, "cat"), 0);
  EXPECT_EQ(end_where(ignore, "exit 7"), 7);
  EXPECT_EQ(end_where(ignore, "kill -TERM $$"), 100 + SIGTERM);
}

TEST(Commands, the_end_is_told_where_the_process_waits_for_any_child) {
  if (!descriptors_tell_ends()) GTEST_SKIP() << "this kernel does not tell of exits by a pidfd";
  EXPECT_EQ(end_where([] {}, "exit 7"), 7);
}

TEST(Commands, sigchld_ignored_on_an_old_kernel_is_refused_before_a_job_is_taken) {
  Child child([] {
    refuse_call(SYS_ioctl, ENOTTY);
    ::signal(SIGCHLD, SIG_DFL);
    if (!Command::can_learn_ends()) return 1;
    ::signal(SIGCHLD, SIG_IGN);
    const auto able = Command::can_learn_ends();
    return !able && able.error().message().find("SIGCHLD") != std::string::npos ? 0 : 2;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(Commands, one_that_asks_the_terminal_fails_at_once) {
  Child child([] {
    // A terminal of our own, as if this process had been started from it.
    ::setsid();
    ::signal(SIGHUP, SIG_IGN);  // sent when the terminal is closed again
    const File controller(::posix_openpt(O_RDWR | O_NOCTTY));
    if (!controller || ::grantpt(controller.descriptor()) != 0 || ::unlockpt(controller.descriptor()) != 0) return 98;
    const File terminal(::open(::ptsname(controller.descriptor()), O_RDWR));
    if (!File(::open("/dev/tty", O_RDWR | O_CLOEXEC))) return 97;  // it is ours
    Command command = must(Command::start("read line < /dev/tty", {}, {}));
    return command.wait(no_interrupt, deadline_ns()) == Command::Event::ended && command.finish().status > 0 ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(Commands, the_stop_signals_of_a_terminal_do_not_stop_it) {
  std::async(std::launch::async, [] {
    for (const char* signal : {"TSTP", "TTIN", "TTOU"}) {
      EXPECT_EQ(run(std::string("kill -") + signal + " $$; exit 5").status, 5) << signal;
    }
  }).get();
}

TEST(Commands, one_that_is_stopped_hears_a_signal_all_the_same) {
  std::async(std::launch::async, [] {
    Command command = must(Command::start("kill -STOP $$; exit 0", {}, {}));
    ASSERT_EQ(command.wait(no_interrupt, steady_clock_ns() + 200'000'000), Command::Event::time_over);
    command.signal_group(SIGTERM);
    EXPECT_EQ(finish(command).signal, SIGTERM);
  }).get();
}

TEST(Commands, without_a_descriptor_for_its_process_none_is_started) {
  const ScratchFolder folder;
  const std::string note = folder.path() / "ran";
  Child child([&] {
    // Three pipes find room, and nothing else does.
    const File next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit few{static_cast<rlim_t>(next.descriptor()) + 6, static_cast<rlim_t>(next.descriptor()) + 6};
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto command = Command::start("touch " + note, {}, {});
    return command ? 1 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(std::filesystem::exists(note));
}

}  // namespace
}  // namespace ringmill::test
