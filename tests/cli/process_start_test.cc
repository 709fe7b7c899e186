// What a caller leaves to the command besides its words: descriptors, signal actions, the first process id.

#include <array>
#include <fstream>

#include "tests/cli/command_line.h"
#include "tests/support/processes.h"

namespace ringmill::test {
namespace {

std::string quoted(const std::string& word) { return "'" + word + "'"; }

class ProcessStart : public CommandLine {
 protected:
  static std::string program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill"; }
  static Ran shell(const std::string& text) { return Program("/bin/sh", {"-c", text}).end(); }
  /// `ringmill COMMAND DIR MORE`, with redirections.
  std::string line(const std::string& command, const std::string& more, const std::string& redirections) const {
    return "exec " + quoted(program()) + " " + command + " " + quoted(directory()) + " " + more + " " + redirections;
  }
  std::string lock_file() const {
    std::ifstream file(place_.directory() / "lock");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void end_keeper() {
    const pid_t keeper = status()["keeper"]["pid"].get<pid_t>();
    ::kill(keeper, SIGTERM);
    EXPECT_TRUE(await([&] { return is_gone(keeper); }));
  }
};

constexpr std::array<const char*, 7> closings{"<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"};

TEST_F(ProcessStart, a_message_with_standard_descriptors_closed_is_written_into_no_file_of_the_engine) {
  const std::string lock_before = lock_file();
  for (const char* closed : closings) {
    EXPECT_EQ(shell(line("enqueue", "--kind 'bad kind!'", closed)).exit_code, 2) << closed;
    EXPECT_EQ(shell(line("enqueue", "--kind good", closed)).exit_code, 0) << closed;
    EXPECT_EQ(lock_file(), lock_before) << closed;
  }
  EXPECT_EQ(status()["totals"]["enqueued"], closings.size());
  EXPECT_EQ(on_engine("dump", {"--check"}).exit_code, 0);
}

TEST_F(ProcessStart, a_worker_with_standard_descriptors_closed_writes_its_results_into_no_file_of_the_engine) {
  const std::string lock_before = lock_file();
  for (const char* closed : closings) {
    enqueue("result\n");
    EXPECT_EQ(shell(line("work", "--exec 'cat; echo noise >&2' --drain", closed)).exit_code, 0) << closed;
  }
  EXPECT_EQ(lock_file(), lock_before);
  EXPECT_EQ(status()["totals"]["completed"], closings.size());
}

TEST_F(ProcessStart, reading_a_standard_input_that_is_closed_is_an_error) {
  for (const char* more : {"--kind k --lines -", "--from-json -", "--kind k --payload-file -"}) {
    const Ran ran = shell(line("enqueue", more, "<&-"));
    EXPECT_EQ(ran.exit_code, 3) << more;
    EXPECT_NE(ran.err.find("cannot read"), std::string::npos) << more << ran.err;
  }
  EXPECT_EQ(status()["totals"]["enqueued"], 0);
}

TEST_F(ProcessStart, a_keeper_becomes_a_daemon_whatever_is_closed) {
  for (const char* closed : closings) {
    EXPECT_EQ(shell(line("keeper", "", closed)).exit_code, 0) << closed;
    EXPECT_TRUE(status()["keeper"]["alive"]) << closed;
    end_keeper();
  }
}

TEST_F(ProcessStart, a_keepers_daemon_keeps_no_lock_and_no_pipe_of_its_caller) {
  const ScratchFolder folder;
  const std::string lock = folder.path() / "script.lock";
  // The command substitution ends when no process has the write end of its pipe, which is 3 as well.
  const Ran ran = shell("exec 9>" + lock + "; flock -n 9 || exit 9; out=$(" + quoted(program()) + " keeper " +
                        quoted(directory()) + " 3>&1 >/dev/null) && exec 9>&- && flock -n " + lock + " true");
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  end_keeper();
}

TEST_F(ProcessStart, a_worker_whose_caller_ignores_sigchld_completes_its_jobs) {
  enqueue("x\n");
  Program worker("/bin/bash", {"-c", "trap '' CHLD; " + line("work", "--exec cat --drain", "")});
  const Ran ran = worker.end();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "x\n");
  EXPECT_EQ(status()["totals"]["completed"], 1);
  EXPECT_EQ(status()["totals"]["failed"], 0);
}

TEST_F(ProcessStart, a_limit_of_file_size_is_an_error_and_never_the_end_by_a_signal) {
  // No file of this engine is as small: neither its shared memory nor a part of its journal.
  const auto limited = [this](const std::string& command, const std::string& more) {
    return Program("/bin/bash", {"-c", "ulimit -f 4; " + line(command, more, "")}).end();
  };
  enqueue("y");
  const Ran enqueued = limited("enqueue", "--kind greet --payload x --durability durable");
  EXPECT_EQ(enqueued.exit_code, 3) << testing::PrintToString(enqueued);
  EXPECT_NE(enqueued.err, "");
  const Ran worked = limited("work", "--exec cat --drain");
  EXPECT_EQ(worked.exit_code, 0) << testing::PrintToString(worked);
  EXPECT_NE(worked.out.find('y'), std::string::npos) << worked.out;
  EXPECT_TRUE(await([this] {
    return on_engine("enqueue", {"--kind", "greet"}).exit_code == 0;
  }));  // of a sound process

  on_engine("remove");
  const Ran made = Program("/bin/bash", {"-c", "ulimit -f 4; exec " + quoted(program()) + " init " +
                                                   quoted(directory()) + " --shm-dir " + quoted(place_.shm_dir())})
                       .end();
  EXPECT_EQ(made.exit_code, 3) << testing::PrintToString(made);
  EXPECT_EQ(init({"--capacity", "256"}).exit_code, 0);
}

/// A worker that is the first process of its pid namespace, as in a container.
std::vector<std::string> as_first_process(std::vector<std::string> words) {
  words.insert(words.begin(), {"--pid", "--fork", "--mount-proc", "--kill-child"});
  return words;
}

TEST_F(ProcessStart, the_first_process_of_a_container_reaps_what_commands_leave_behind) {
  if (Program("/usr/bin/unshare", as_first_process({"/bin/true"})).end().exit_code != 0) {
    GTEST_SKIP() << "no pid namespace to be had here";
  }
  for (int n = 0; n < 20; ++n) enqueue("", "leave");
  enqueue("", "count");
  const std::string command =
      "if test $RINGMILL_KIND = leave; then sleep 0.01 & else sleep 0.5; "
      "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; fi";
  Program worker("/usr/bin/unshare", as_first_process({program(), "work", directory(), "--exec", command, "--drain"}));
  const Ran ran = worker.end();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "0\n");
}

TEST_F(ProcessStart, the_first_process_of_a_container_passes_signals_on_and_ends_as_its_command) {
  if (Program("/usr/bin/unshare", as_first_process({"/bin/true"})).end().exit_code != 0) {
    GTEST_SKIP() << "no pid namespace to be had here";
  }
  const std::string id = enqueue("");
  Program caller("/usr/bin/unshare", as_first_process({program(), "wait", directory(), id}));
  const std::string children =
      "/proc/" + std::to_string(caller.pid()) + "/task/" + std::to_string(caller.pid()) + "/children";
  pid_t first = 0;
  ASSERT_TRUE(await([&] {
    std::ifstream file(children);
    return static_cast<bool>(file >> first);
  }));
  // SIGTERM has its default action in the command, and none in the first process: it is sent until it is heard.
  ASSERT_TRUE(await([&] {
    ::kill(first, SIGTERM);
    return is_gone(first);
  }));
  EXPECT_EQ(caller.end().exit_code, 128 + SIGTERM);
}

}  // namespace
}  // namespace ringmill::test
