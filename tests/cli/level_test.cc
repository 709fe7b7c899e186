// ringmill level.
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class LevelCommand : public CommandLine {
 protected:
  Ran level(const std::vector<std::string>& words) { return on_engine("level", words); }
};

TEST_F(LevelCommand, a_level_that_was_added_takes_jobs_by_its_name) {
  ASSERT_EQ(level({"add", "tenant-7", "--weight", "2", "--ring", "16"}).exit_code, 0);
  for (int n = 0; n < 40; ++n) enqueue(std::to_string(n) + "\n", "greet", "tenant-7");
  const auto line = level({"list", "tenant-7", "--json"}).json();
  EXPECT_EQ(line["name"], "tenant-7");
  EXPECT_EQ(line["weight"], 2);
  EXPECT_EQ(line["ring"], 16);
  EXPECT_EQ(line["made_at_run_time"], true);
  EXPECT_EQ(line["queued"], 40);
  EXPECT_EQ(level({"list", "--json"}).json_lines().size(), 4U);
  EXPECT_EQ(status()["levels"][3]["name"], "tenant-7");
  const Ran work = on_engine("work", {"--exec", "cat", "--levels", "tenant-7", "--drain"});
  EXPECT_EQ(work.exit_code, 0) << work.err;
  std::string all;
  for (int n = 0; n < 40; ++n) all += std::to_string(n) + "\n";
  EXPECT_EQ(work.out, all);
  EXPECT_EQ(on_engine("dump", {"--check"}).exit_code, 0);
}

TEST_F(LevelCommand, a_level_with_jobs_is_not_removed_and_an_empty_one_is) {
  ASSERT_EQ(level({"add", "tenant-7"}).exit_code, 0);
  enqueue("x", "greet", "tenant-7");
  expect_error(level({"remove", "tenant-7"}), 1, "tenant-7 has 1 jobs");
  ASSERT_EQ(on_engine("work", {"--exec", "cat", "--levels", "tenant-7", "--drain"}).exit_code, 0);
  EXPECT_EQ(level({"remove", "tenant-7"}).exit_code, 0);
  expect_error(level({"remove", "tenant-7"}), 1, "no such level");
  expect_error(on_engine("enqueue", {"--kind", "greet", "--level", "tenant-7", "--payload", "x"}), 2, "no such level");
}

TEST_F(LevelCommand, words_that_are_off_are_refused) {
  expect_error(level({"add"}), 2, "NAME");
  expect_error(level({"add", "high"}), 1, "already");
  expect_error(level({"add", "a b"}), 2, "1 to 63 characters");
  expect_error(level({"add", "a", "--weight", "0"}), 2, "weight");
  expect_error(level({"add", "a", "--ring", "15"}), 2, "16 to 65536");
  expect_error(level({"remove", "high"}), 2, "stays");
  expect_error(level({"list", "--weight", "2"}), 2, "only add");
}

TEST_F(LevelCommand, a_worker_whose_only_level_is_removed_says_so_and_ends) {
  ASSERT_EQ(level({"add", "tenant-7"}).exit_code, 0);
  Command work(words_for("work", {"--exec", "cat", "--levels", "tenant-7"}));
  ASSERT_TRUE(await([this] {
    const auto now = status();
    for (const auto& participant : now["participants"]) {
      if (participant["role"] == "worker") return true;
    }
    return false;
  }));
  ASSERT_EQ(level({"remove", "tenant-7"}).exit_code, 0);
  const Ran ended = work.end();
  EXPECT_EQ(ended.exit_code, 1) << testing::PrintToString(ended);
  EXPECT_NE(ended.err.find("tenant-7"), std::string::npos) << ended.err;
}

}  // namespace
}  // namespace ringmill::test
