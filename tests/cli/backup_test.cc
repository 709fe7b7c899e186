// ringmill backup.
#include <filesystem>

#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

class BackupCommand : public CommandLine {
 protected:
  std::string place() const { return (place_.directory().parent_path() / "backup").string(); }
};

TEST_F(BackupCommand, makes_an_engine_whose_jobs_run_while_the_original_goes_on) {
  const std::string id = enqueue("journaled");
  on_engine("enqueue", {"--kind", "k", "--payload", "in memory", "--durability", "memory"});
  const Ran ran = on_engine("backup", {place()});
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("jobs      2, of these 1 of durability memory"), std::string::npos) << ran.out;
  EXPECT_EQ(ringmill({"verify", place()}).exit_code, 0);
  const Ran worked = ringmill({"work", place(), "--exec", "cat; echo", "--drain"});
  EXPECT_EQ(worked.exit_code, 0) << testing::PrintToString(worked);
  EXPECT_EQ(worked.lines().size(), 2U) << worked.out;
  EXPECT_EQ(state_of(id), "queued");
}

TEST_F(BackupCommand, says_in_json_what_is_in_it) {
  enqueue("x");
  const auto said = on_engine("backup", {place(), "--json"}).json();
  EXPECT_EQ(keys_of(said), (std::vector<std::string>{"engine", "jobs", "memory_jobs", "letters", "segments", "bytes",
                                                     "seconds", "damage"}));
  EXPECT_EQ(said["jobs"], 1);
}

TEST_F(BackupCommand, is_refused_where_something_stands) {
  EXPECT_EQ(on_engine("backup", {place()}).exit_code, 0);
  expect_error(on_engine("backup", {place()}), 1, "name a new directory");
  expect_error(on_engine("backup", {place() + "/none/there"}), 3, "none");
}

}  // namespace
}  // namespace ringmill::test
