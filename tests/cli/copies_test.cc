// A copy of an engine's directory, at the command line: every command refuses it but the one that makes an engine of
// it, and those that only read its files (docs/operations.md, "Copying, moving, restoring").
#include <filesystem>

#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;

class Copies : public CommandLine {
 protected:
  Copies() : copy_(place_.directory().parent_path() / "copy") {}
  void copy() const { fs::copy(place_.directory(), copy_, fs::copy_options::recursive); }
  Ran on_copy(const std::string& command, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{command, copy_.string()};
    words.insert(words.end(), more.begin(), more.end());
    return ringmill(words);
  }
  std::string enqueue_durably(const std::string& payload) {
    const Ran ran = on_engine("enqueue", {"--kind", "k", "--payload", payload, "--durability", "durable"});
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines().at(0);
  }

  fs::path copy_;
};

TEST_F(Copies, whatever_would_use_the_originals_memory_is_refused_with_the_command_that_helps) {
  enqueue_durably("x");
  copy();
  const std::vector<std::vector<std::string>> uses{{"enqueue", "--kind", "k"},
                                                   {"work", "--exec", "cat", "--drain"},
                                                   {"keeper", "--foreground"},
                                                   {"status"},
                                                   {"dump"},
                                                   {"cancel", "0000000001000000"},
                                                   {"pause", "--kind", "k"},
                                                   {"level", "add", "late"},
                                                   {"dead", "retry", "--all"}};
  for (const auto& words : uses) {
    const Ran ran = on_copy(words[0], {words.begin() + 1, words.end()});
    if (words[0] == "dead") {
      EXPECT_EQ(ran.exit_code, 0) << "there are no letters: " << testing::PrintToString(ran);
      continue;
    }
    expect_error(ran, 3, "ringmill recover " + copy_.string());
  }
  EXPECT_EQ(on_copy("verify").exit_code, 0);
  EXPECT_EQ(on_copy("dump", {"--journal"}).exit_code, 0);
}

TEST_F(Copies, a_living_workers_jobs_run_once_while_a_keeper_is_started_on_a_copy) {
  const auto effects = place_.directory().parent_path() / "effects";
  for (int n = 0; n < 4; ++n) enqueue_durably("x");
  Command worker(
      words_for("work", {"--exec", "echo run >> " + effects.string() + "; sleep 1", "--concurrency", "2", "--drain"}));
  ASSERT_TRUE(await([&effects] { return fs::exists(effects); }));
  copy();
  expect_error(on_copy("keeper", {"--foreground"}), 3, "is a copy of an engine");
  EXPECT_EQ(status()["participants"].empty(), false);
  EXPECT_EQ(worker.end().exit_code, 0);
  EXPECT_EQ(must(read_file(effects)), "run\nrun\nrun\nrun\n");
}

TEST_F(Copies, removing_a_copy_leaves_the_original_as_it_is) {
  const std::string durable = enqueue_durably("x");
  const Ran memory = on_engine("enqueue", {"--kind", "k", "--payload", "y", "--durability", "memory"});
  copy();
  EXPECT_EQ(on_copy("remove").exit_code, 0);
  EXPECT_FALSE(fs::exists(copy_));
  EXPECT_EQ(state_of(durable), "queued");
  EXPECT_EQ(state_of(memory.lines().at(0)), "queued");
}

TEST_F(Copies, recover_makes_an_engine_of_a_copy_once_and_says_so) {
  const std::string id = enqueue_durably("x");
  copy();
  const Ran ran = on_copy("recover");
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("this is a copy of engine"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("recovered 1 job"), std::string::npos) << ran.out;
  EXPECT_NE(on_copy("recover").out.find("nothing to recover"), std::string::npos);
  const Ran done = on_copy("work", {"--exec", "cat", "--drain"});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(done.out, "x");
  EXPECT_EQ(state_of(id), "queued") << "the original's job is its own";
  EXPECT_EQ(on_copy("remove").exit_code, 0);
}

TEST_F(Copies, a_backup_restored_over_the_directory_brings_back_its_jobs_and_no_other) {
  enqueue_durably("before");
  copy();
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).out, "before");
  enqueue_durably("after");
  fs::remove_all(place_.directory());
  fs::rename(copy_, place_.directory());
  expect_error(on_engine("status"), 3, "restored backup");
  EXPECT_NE(on_engine("recover").out.find("recovered 1 job"), std::string::npos);
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).out, "before");
}

TEST_F(Copies, commands_work_in_a_directory_that_was_moved) {
  const std::string id = enqueue_durably("x");
  fs::rename(place_.directory(), copy_);
  EXPECT_EQ(on_copy("work", {"--exec", "cat", "--drain"}).out, "x");
  EXPECT_EQ(on_copy("job", {id}).exit_code, 0);
  EXPECT_EQ(on_copy("remove").exit_code, 0);
  EXPECT_TRUE(place_.shm_names().empty());
}

}  // namespace
}  // namespace ringmill::test
