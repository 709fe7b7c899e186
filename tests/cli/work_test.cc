// ringmill work.
#include <algorithm>
#include <set>

#include "tests/cli/command_line.h"

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

TEST_F(WorkCommand, words_that_are_off_are_usage_errors) {
  expect_error(on_engine("work"), 2, "--exec");
  expect_error(on_engine("work", {"--exec", "true", "--levels", "nowhere"}), 2, "this engine has high, default, low");
  expect_error(on_engine("work", {"--exec", "true", "--kind", "a b"}), 2, "kind");
  expect_error(on_engine("work", {"--exec", "true", "--concurrency", "0"}), 2, "1 to 128");
  expect_error(on_engine("work", {"--exec", "true", "--policy", "fair"}), 2, "--policy");
}

}  // namespace
}  // namespace ringmill::test
