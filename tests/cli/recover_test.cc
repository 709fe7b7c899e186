// ringmill recover.
#include <fcntl.h>
#include <unistd.h>

#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

class RecoverCommand : public CommandLine {
 protected:
  void lose_memory() { std::filesystem::remove(segment_file()); }
  std::filesystem::path journal() const { return place_.directory() / "journal"; }
  /// Changes a byte in the first block of the journal's first file.
  void damage_journal() {
    const File file = must(open_file(journal() / "0000.segment", O_RDWR));
    char byte = 0;
    ASSERT_EQ(::pread(file.descriptor(), &byte, 1, 4096 + 90), 1);
    byte = static_cast<char>(byte ^ 0x55);
    ASSERT_EQ(::pwrite(file.descriptor(), &byte, 1, 4096 + 90), 1);
    ASSERT_EQ(::fsync(file.descriptor()), 0);
  }
};

TEST_F(RecoverCommand, says_when_there_is_nothing_to_recover) {
  const Ran ran = on_engine("recover");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_NE(ran.out.find("nothing to recover"), std::string::npos) << ran.out;
}

TEST_F(RecoverCommand, brings_the_jobs_of_the_journal_back_after_a_reboot) {
  const std::string id = enqueue("x");
  enqueue("y", "other");
  lose_memory();
  const Ran ran = on_engine("recover");
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("recovered 2 jobs of 2 kinds"), std::string::npos) << ran.out;
  EXPECT_EQ(state_of(id), "queued");
}

TEST_F(RecoverCommand, any_command_that_opens_the_engine_recovers_it) {
  const std::string id = enqueue("x");
  lose_memory();
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).exit_code, 0);
  EXPECT_EQ(state_of(id), "ended");
}

TEST_F(RecoverCommand, on_demand_it_loses_what_only_the_memory_had_and_says_so) {
  const std::string id = enqueue("x");
  const Ran memory = on_engine("enqueue", {"--kind", "k", "--payload", "y", "--durability", "memory"});
  const Ran ran = on_engine("recover", {"--from-journal"});
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("jobs of durability memory"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("recovered 1 job of"), std::string::npos) << ran.out;
  EXPECT_EQ(state_of(id), "queued");
  EXPECT_EQ(state_of(memory.lines().at(0)), "ended");
}

TEST_F(RecoverCommand, on_demand_it_is_refused_while_a_worker_lives) {
  Command worker(words_for("work", {"--exec", "true"}));
  ASSERT_TRUE(await([&] { return status()["participants"].size() >= 2; }));
  expect_error(on_engine("recover", {"--from-journal"}), 1, "in use");
}

TEST_F(RecoverCommand, damage_that_cost_something_is_exit_code_1) {
  for (int n = 0; n < 4; ++n) enqueue("x");
  lose_memory();
  damage_journal();
  const Ran ran = on_engine("recover");
  EXPECT_EQ(ran.exit_code, 1) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("damage    segment 1, offset 4096"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("kept in   " + (journal() / "damaged-1-4096").string()), std::string::npos) << ran.out;
}

TEST_F(RecoverCommand, mends_damaged_shared_memory) {
  const std::string id = enqueue("x");
  std::filesystem::resize_file(segment_file(), 4096);
  expect_error(on_engine("status"), 3, "--from-journal");
  EXPECT_EQ(on_engine("recover", {"--from-journal"}).exit_code, 0);
  EXPECT_EQ(state_of(id), "queued");
}

TEST_F(RecoverCommand, where_there_is_no_engine_it_says_so) {
  expect_error(ringmill({"recover", "/nowhere"}), 3, "no engine");
}

}  // namespace
}  // namespace ringmill::test
