// ringmill resize.
#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

class ResizeCommand : public CommandLine {};

TEST_F(ResizeCommand, takes_all_jobs_over_and_says_what_changed) {
  const std::string id = enqueue("in the journal");
  const Ran memory = on_engine("enqueue", {"--kind", "k", "--payload", "in memory", "--durability", "memory"});
  const auto before = status();
  const Ran ran = on_engine("resize", {"--capacity", "4096", "--cell-size", "512"});
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("took over 2 jobs"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("capacity    4096 jobs"), std::string::npos) << ran.out;
  EXPECT_EQ(status()["engine"]["capacity"], 4096);
  EXPECT_EQ(status()["engine"]["cell_size"], 512);
  EXPECT_EQ(status()["totals"]["enqueued"], before["totals"]["enqueued"]);
  EXPECT_EQ(state_of(id), "queued");
  EXPECT_EQ(state_of(memory.lines().at(0)), "queued");
}

TEST_F(ResizeCommand, is_refused_while_a_worker_lives_and_names_it) {
  Command worker(words_for("work", {"--exec", "cat"}));
  ASSERT_TRUE(await([&] { return !status()["participants"].empty(); }));
  expect_error(on_engine("resize", {"--capacity", "4096"}), 1, "(process " + std::to_string(worker.pid()) + ")");
}

TEST_F(ResizeCommand, without_a_size_or_with_an_impossible_one_is_a_usage_error) {
  expect_error(on_engine("resize"), 2, "name a size");
  expect_error(on_engine("resize", {"--capacity", "0"}), 2, "--capacity");
  expect_error(on_engine("resize", {"--cell-size", "300"}), 2, "power of two");
  expect_error(on_engine("resize", {"--cell-size", "64"}), 2, "cells do not get smaller");
}

TEST_F(ResizeCommand, is_what_the_error_of_a_payload_that_is_too_long_names) {
  const std::string longer(2'000'000, 'x');
  expect_error(on_engine("enqueue", {"--kind", "k", "--lines", "-"}, longer + "\n"), 2, "`ringmill resize`");
  EXPECT_EQ(on_engine("resize", {"--max-payload", "4MiB", "--arena", "32MiB"}).exit_code, 0);
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--lines", "-"}, longer + "\n").exit_code, 0);
}

}  // namespace
}  // namespace ringmill::test
