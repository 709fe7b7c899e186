// ringmill work.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/cli/command_line.h"
#include "tests/support/must.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

class WorkCommand : public CommandLine {};

TEST_F(WorkCommand, feeds_the_payload_and_shows_what_the_command_wrote) {
  enqueue("world\n");
  const Ran ran = on_engine("work", {"--exec", "sed 's/^/hello /'", "--drain"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "hello world\n");
  EXPECT_EQ(status()["totals"]["completed"], 1);
  EXPECT_EQ(status()["memory"]["cells_used"], 0);
}

TEST_F(WorkCommand, tells_the_command_about_its_job) {
  const std::string id = enqueue("x", "greet", "high");
  const Ran ran = on_engine(
      "work", {"--exec", "echo $RINGMILL_JOB_ID $RINGMILL_KIND $RINGMILL_LEVEL $RINGMILL_ATTEMPT", "--drain"});
  EXPECT_EQ(ran.out, id + " greet high 1\n");
}

TEST_F(WorkCommand, a_command_that_fails_is_run_again) {
  enqueue("x");  // waits a second, then two, at most: as jobs do that say nothing
  const Ran ran = on_engine("work", {"--exec", "test $RINGMILL_ATTEMPT = 3 || exit 75; echo third", "--drain"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "third\n");
  EXPECT_EQ(status()["totals"]["failed"], 2);
  EXPECT_EQ(status()["totals"]["completed"], 1);
}

TEST_F(WorkCommand, takes_only_its_kinds_and_levels) {
  enqueue("a\n", "red", "high");
  enqueue("b\n", "blue", "high");
  enqueue("c\n", "blue", "low");
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain", "--kind", "blue", "--levels", "low,default"}).out, "c\n");
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain", "--kind", "red"}).out, "a\n");
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain", "--policy", "strict"}).out, "b\n");
}

TEST_F(WorkCommand, strict_policy_runs_the_most_urgent_first) {
  for (const char* level : {"low", "default", "high"}) enqueue(std::string(level) + "\n", "k", level);
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain", "--policy", "strict"}).out, "high\ndefault\nlow\n");
}

TEST_F(WorkCommand, runs_several_commands_at_once) {
  // Each waits for the other: one after the other would never end.
  const ScratchFolder folder;
  const std::string mine = folder.path() / "$RINGMILL_KIND";
  enqueue("b", "a");
  enqueue("a", "b");
  const std::string command = "touch " + mine + "; read other; while ! test -e " + folder.path().string() +
                              "/$other; do sleep 0.01; done; echo met";
  const Ran ran = on_engine("work", {"--exec", command, "--drain", "--concurrency", "2"});
  EXPECT_EQ(ran.out, "met\nmet\n");
}

TEST_F(WorkCommand, ends_its_command_and_leaves_when_told) {
  const std::string id = enqueue("x");
  const ScratchFolder folder;
  const std::string gate = folder.path() / "gate";
  Command worker(words_for("work", {"--exec", "while ! test -e " + gate + "; do sleep 0.01; done; echo done"}));
  ASSERT_TRUE(await([&] { return state_of(id) == "running"; }));
  ::kill(worker.pid(), SIGTERM);
  ASSERT_EQ(ringmill({"enqueue", directory(), "--kind", "late"}).exit_code, 0);
  EXPECT_EQ(state_of(id), "running");
  ASSERT_EQ(std::system(("touch " + gate).c_str()), 0);
  const Ran ran = worker.end();
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "done\n");
  EXPECT_EQ(state_of(id), "ended");
  EXPECT_EQ(status()["levels"][1]["queued"], 1);
}

/// `ringmill work` as a script of sh starts it; "$work" in the script is the command and the engine's directory.
class WorkInShell : public WorkCommand {
 protected:
  std::vector<std::string> words_of(const std::string& script) const {
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
    return {"-c", "work='" + program + " work " + directory() + "'; " + script};
  }
  Ran in_shell(const std::string& script) { return Program("/bin/sh", words_of(script)).end(); }
  std::uint64_t count_in_totals(const char* name) { return status()["totals"][name]; }
};

TEST_F(WorkInShell, a_worker_with_too_few_descriptors_uses_up_no_attempt) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs descriptors to look at an object's type";
#endif
  std::string lines;
  for (int n = 0; n < 200; ++n) lines += std::to_string(n) + "\n";
  ASSERT_EQ(on_engine("enqueue", {"--kind", "k", "--lines", "-", "--max-attempts", "1", "--quiet"}, lines).exit_code,
            0);
  const Ran ran = in_shell("ulimit -n 60; exec $work --exec 'sleep 0.01; cat; echo' --concurrency 20 --drain");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.lines().size(), 200U);
  EXPECT_EQ(count_in_totals("completed"), 200U);
  EXPECT_EQ(count_in_totals("failed"), 0U);
  EXPECT_EQ(count_in_totals("dead"), 0U);
  EXPECT_NE(ran.err.find("Too many open files"), std::string::npos) << ran.err;
}

TEST_F(WorkInShell, a_worker_whose_shell_is_missing_ends_with_3_and_its_job_waits) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can hide the shell";
  const std::string id = enqueue("x");
  const ScratchFolder folder;
  const std::string nothing = folder.path() / "no-program";
  const Ran ran = in_shell(": > " + nothing + "; exec unshare -m sh -c \"mount --bind " + nothing +
                           " /bin/sh; exec $work --exec true --give-up-after 300ms\"");
  EXPECT_EQ(ran.exit_code, 3) << ran.err;
  EXPECT_NE(ran.err.find("/bin/sh: Permission denied"), std::string::npos) << ran.err;
  EXPECT_EQ(state_of(id), "queued");
  EXPECT_EQ(on_engine("job", {id, "--json"}).json()["attempts"], 0);
}

TEST_F(WorkCommand, what_a_command_wrote_comes_out_byte_for_byte) {
  enqueue("x");
  EXPECT_EQ(on_engine("work", {"--exec", "printf '\\000\\377 no end of line'", "--drain"}).out,
            std::string("\0\377 no end of line", 17));
  enqueue("x");
  const Ran ran = on_engine("work", {"--exec", "seq 100000", "--drain"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out.size(), 588'895U);
  EXPECT_TRUE(ran.out.ends_with("\n99999\n100000\n"));
}

TEST_F(WorkCommand, output_that_is_longer_than_the_bound_is_cut_and_said) {
  const std::string id = enqueue("x");
  const Ran ran = on_engine("work", {"--exec", "seq 100000", "--drain", "--most-output", "100KiB"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.out.size(), 100U * 1024);
  EXPECT_NE(ran.err.find(id), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("cut after 102400 bytes"), std::string::npos) << ran.err;
  EXPECT_EQ(state_of(id), "ended");
}

TEST_F(WorkInShell, a_full_disk_under_its_output_is_said_at_once_and_the_next_result_is_tried) {
  const SmallTmpfs disk;
  if (!disk.is_mounted()) GTEST_SKIP() << "only root can mount a small disk";
  const std::string results = disk.path() / "results";
  const std::string filler = disk.path() / "filler";
  const ScratchFolder folder;
  const std::string log = folder.path() / "log";
  Program worker("/bin/sh", words_of("exec $work --exec cat > " + results + " 2> " + log));
  ASSERT_TRUE(await([&] { return std::filesystem::exists(results); }));
  ASSERT_NE(std::system(("head -c 2M /dev/zero > " + filler + " 2>/dev/null").c_str()), 0);
  const std::string lost = enqueue(std::string(100, 'l'));
  ASSERT_TRUE(await([&] { return state_of(lost) == "ended"; }));
  const auto said = [&] { return must(read_file(log)); };
  EXPECT_NE(said().find(lost), std::string::npos) << said();
  EXPECT_NE(said().find("No space left on device"), std::string::npos) << said();
  std::filesystem::remove(filler);
  const std::string next = enqueue("next");
  ASSERT_TRUE(await([&] { return state_of(next) == "ended"; }));
  EXPECT_EQ(must(read_file(results)), "next");
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 3);
  EXPECT_NE(said().find("cannot write to standard output"), std::string::npos) << said();
}

TEST_F(WorkCommand, words_that_are_off_are_usage_errors) {
  expect_error(on_engine("work"), 2, "--exec");
  expect_error(on_engine("work", {"--exec", "true", "--levels", "nowhere"}), 2, "this engine has high, default, low");
  expect_error(on_engine("work", {"--exec", "true", "--kind", "a b"}), 2, "kind");
  expect_error(on_engine("work", {"--exec", "true", "--concurrency", "0"}), 2, "1 to 512");
  expect_error(on_engine("work", {"--exec", "true", "--policy", "fair"}), 2, "--policy");
  expect_error(on_engine("work", {"--exec", "true", "--give-up-after", "0s"}), 2, "gives up");
}

}  // namespace
}  // namespace ringmill::test
