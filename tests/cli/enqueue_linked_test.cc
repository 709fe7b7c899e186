// ringmill enqueue --after, --chain and --callback, as a user types them.

#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

using Words = std::vector<std::string>;

class LinkedCommand : public CommandLine {
 protected:
  std::vector<std::string> ids_with(Words more, std::string_view input = "") {
    more.insert(more.begin(), {"--kind", "k"});
    const Ran ran = on_engine("enqueue", more, input);
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines();
  }
  /// What the jobs wrote, in the order in which they ran.
  std::vector<std::string> drain(const std::string& command = "cat; echo") {
    const Ran ran = on_engine("work", {"--exec", command, "--drain"});
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines();
  }
};

TEST_F(LinkedCommand, a_job_runs_after_the_jobs_it_names) {
  const auto first = ids_with({"--payload", "first"});
  const auto second = ids_with({"--payload", "second", "--after", first[0], "--level", "high"});
  EXPECT_EQ(state_of(second[0]), "blocked");
  const Ran explained = on_engine("explain", {second[0]});
  EXPECT_NE(explained.out.find("is blocked by " + first[0] + " (queued)"), std::string::npos) << explained.out;
  EXPECT_EQ(on_engine("job", {second[0], "--json"}).json()["parents"], Words{first[0]});
  EXPECT_EQ(drain(), (Words{"first", "second"}));
}

TEST_F(LinkedCommand, a_chain_runs_line_after_line) {
  EXPECT_EQ(ids_with({"--lines", "-", "--chain"}, "one\ntwo\nthree\n").size(), 3U);
  EXPECT_EQ(status()["levels"][1]["blocked"], 2);
  EXPECT_EQ(drain(), (Words{"one", "two", "three"}));
}

TEST_F(LinkedCommand, a_chain_is_cancelled_as_a_whole_by_any_of_its_jobs) {
  const auto ids = ids_with({"--lines", "-", "--chain"}, "extract\nsummarise\nnotify\n");
  const auto other = ids_with({"--lines", "-", "--chain"}, "a\nb\n");
  const Ran ran = on_engine("cancel", {ids[1], "--chain"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "3 cancelled before they began, 0 asked to stop\n");
  EXPECT_EQ(on_engine("dead", {"list"}).out, "no dead letters\n");
  EXPECT_EQ(on_engine("cancel", {ids[1], "--chain"}).exit_code, 1);
  EXPECT_EQ(drain(), (Words{"a", "b"}));
}

TEST_F(LinkedCommand, a_job_whose_parent_was_cancelled_is_cancelled_and_no_dead_letter) {
  const auto ids = ids_with({"--lines", "-", "--chain", "--keep-result", "1h"}, "one\ntwo\n");
  EXPECT_EQ(on_engine("cancel", {ids[0]}).exit_code, 0);
  Command keeper(words_for("keeper", {"--foreground"}));
  EXPECT_TRUE(await([&] { return state_of(ids[1]) == "cancelled"; }));
  EXPECT_EQ(on_engine("dead", {"list"}).out, "no dead letters\n");
  EXPECT_EQ(keeper.end_by(SIGTERM).exit_code, 0);
}

TEST_F(LinkedCommand, a_callback_runs_last_and_finds_its_parents_results) {
  const auto ids = ids_with({"--lines", "-", "--callback", "join", "--callback-payload", "all"}, "a\nb\n");
  ASSERT_EQ(ids.size(), 3U);
  const auto ran = drain("read line; echo \"$line $RINGMILL_PARENTS\"");
  EXPECT_EQ(ran.back(), "all " + ids[0] + "," + ids[1]);
}

TEST_F(LinkedCommand, a_callback_of_many_shows_its_first_parents_and_how_many_there_are) {
  std::string lines;
  for (int n = 0; n < 150; ++n) lines += "x\n";
  const auto ids = ids_with({"--lines", "-", "--callback", "join"}, lines);
  ASSERT_EQ(ids.size(), 151U);
  const auto shown = on_engine("job", {ids.back(), "--json"}).json();
  EXPECT_EQ(shown["parents"], Words(ids.begin(), ids.begin() + 100));
  EXPECT_EQ(shown["parent_count"], 150);
  const Ran job = on_engine("job", {ids.back()});
  EXPECT_NE(job.out.find(ids[99] + " and 50 more\n"), std::string::npos) << job.out;
  const Ran explained = on_engine("explain", {ids.back()});
  EXPECT_NE(explained.out.find(" and 147 more"), std::string::npos) << explained.out;
}

TEST_F(LinkedCommand, what_waits_for_a_dead_job_is_dead_or_runs_as_it_asked) {
  const auto first = ids_with({"--payload", "first"});
  const auto gives_up = ids_with({"--payload", "gives up", "--after", first[0]});
  ids_with({"--payload", "runs", "--after", first[0], "--on-parent-dead", "run"});
  EXPECT_EQ(drain("read line; [ \"$line\" = first ] && exit 100; echo \"$line\""), (Words{"runs"}));
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return on_engine("dead", {"list"}).out.find(gives_up[0]) != std::string::npos; }));
  EXPECT_EQ(on_engine("dead", {"show", gives_up[0], "--json"}).json()["cause"], "parent_dead");
}

TEST_F(LinkedCommand, words_that_do_not_go_together_are_usage_errors) {
  const auto refused = [&](Words more, std::string_view part) {
    more.insert(more.begin(), {"--kind", "k"});
    expect_error(on_engine("enqueue", more), 2, part);
  };
  refused({"--chain"}, "--chain is for --lines");
  refused({"--lines", "-", "--chain", "--callback", "x"}, "not with --callback");
  refused({"--after", "12"}, "16 lower-case hexadecimal digits");
  refused({"--after", "0000000001000000", "--wait"}, "neither --wait nor --unique");
  refused({"--after", "0000000001000000", "--on-parent-dead", "cry"}, "--on-parent-dead");
}

TEST_F(LinkedCommand, a_job_that_cannot_be_waited_for_is_named) {
  expect_error(on_engine("enqueue", {"--kind", "k", "--after", "ffffffffffffffff"}), 3, "no such job to wait for");
}

}  // namespace
}  // namespace ringmill::test
