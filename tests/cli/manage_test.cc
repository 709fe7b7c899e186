// ringmill init, remove, cancel and keeper; and what all commands have in common.
#include <sys/stat.h>

#include "ipc/segment.h"
#include "tests/cli/command_line.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

class ManageCommand : public CommandLine {};

TEST_F(ManageCommand, init_makes_an_engine_as_it_was_told) {
  const Ran ran = init({"--levels", "urgent,normal", "--weights", "9,1", "--capacity", "100", "--cell-size", "1KiB",
                        "--mode", "0750", "--lease", "30s", "--journal-limit", "8MiB"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_NE(ran.out.find("levels urgent, normal"), std::string::npos) << ran.out;
  const auto json = status();
  EXPECT_EQ(json["engine"]["capacity"], 128);
  EXPECT_EQ(json["engine"]["cell_size"], 1024);
  EXPECT_EQ(json["journal"]["limit"], 8 << 20);
  EXPECT_EQ(json["levels"].size(), 2U);
  EXPECT_EQ(json["levels"][0]["name"], "urgent");
  struct stat facts {};
  ASSERT_EQ(::stat(directory().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0750U);
}

TEST_F(ManageCommand, init_does_not_touch_an_engine_that_is_there) {
  const std::string id = enqueue("x");
  expect_error(ringmill({"init", directory(), "--shm-dir", place_.shm_dir()}), 1, "there is an engine already");
  EXPECT_EQ(state_of(id), "queued");
}

TEST_F(ManageCommand, init_refuses_what_makes_no_engine) {
  expect_error(init({"--levels", "a,,b"}), 2, "level");
  expect_error(init({"--levels", "a,a"}), 2, "twice");
  expect_error(init({"--weights", "1,2"}), 2, "weight");
  expect_error(init({"--weights", "1,2,x"}), 2, "--weights");
  expect_error(init({"--cell-size", "300"}), 2, "power of two");
  expect_error(init({"--cell-size", "big"}), 2, "--cell-size");
  expect_error(init({"--capacity", "1"}), 2, "capacity");
  expect_error(init({"--mode", "0888"}), 2, "--mode");
  expect_error(init({"--lease", "0"}), 2, "--lease");
  expect_error(init({"--journal-limit", "1MiB"}), 2, "bytes are needed");
  expect_error(init({"--max-payload", "65MiB"}), 2, "64 MiB");
  expect_error(init({"--max-payload", "1MiB", "--arena", "3MiB"}), 2, "arena");
  expect_error(init({"--max-payload", "100", "--arena", "4MiB"}), 2, "arena");
  expect_error(init({"--arena", "16MiB", "--journal-limit", "16MiB"}), 2, "bytes are needed");
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(ManageCommand, init_keeps_room_for_levels_as_it_was_told) {
  ASSERT_EQ(init({"--capacity", "1024", "--reserve", "high=25%,default=100,*=64"}).exit_code, 0);
  const auto kept_of = [](const nlohmann::json& status, std::size_t level) { return status["levels"][level]["kept"]; };
  ASSERT_EQ(on_engine("level", {"add", "tenant"}).exit_code, 0);
  for (const bool is_made_anew : {false, true}) {
    if (is_made_anew) {  // as after a reboot
      ASSERT_EQ(on_engine("recover", {"--from-journal"}).exit_code, 0);
    }
    const auto json = status();
    EXPECT_EQ(json["engine"]["capacity"], 1024);
    EXPECT_EQ(json["memory"]["cells_free"], 1024);
    EXPECT_EQ(kept_of(json, 0), 256);
    EXPECT_EQ(kept_of(json, 1), 128);  // whole words of 64
    EXPECT_EQ(kept_of(json, 2), 0);
    EXPECT_EQ(kept_of(json, 3), 64);
  }
}

TEST_F(ManageCommand, init_refuses_room_that_cannot_be_kept) {
  expect_error(init({"--reserve", "alarms=5%"}), 2, "level that the engine does not have: alarms");
  expect_error(init({"--reserve", "high"}), 2, "--reserve");
  expect_error(init({"--reserve", "=5"}), 2, "--reserve");
  expect_error(init({"--reserve", "high=x%"}), 2, "--reserve");
  expect_error(init({"--reserve", "high=%"}), 2, "--reserve");
  expect_error(init({"--reserve", "high=16777216"}), 2, "at most");
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(ManageCommand, a_backlog_of_low_jobs_refuses_no_urgent_one) {
  ASSERT_EQ(init({"--capacity", "64", "--reserve", "high=5%"}).exit_code, 0);
  std::string lines;
  for (int n = 0; n < 64; ++n) lines += std::to_string(n) + "\n";
  ASSERT_EQ(on_engine("enqueue", {"--kind", "k", "--level", "low", "--lines", "-"}, lines).exit_code, 0);
  const Ran refused =
      on_engine("enqueue", {"--kind", "k", "--level", "low", "--payload", "one more", "--wait-for-room", "0s"});
  expect_error(refused, 1, "level low: about 64 of its jobs wait; all levels share room for 64");
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--level", "high", "--payload", "alarm"}).exit_code, 0);
}

TEST_F(ManageCommand, init_in_a_tmpfs_that_is_too_small_says_what_it_needs_and_leaves_nothing) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  std::filesystem::remove_all(directory());
  const Ran ran = ringmill({"init", directory(), "--shm-dir", tmpfs.path(), "--capacity", "65536", "--max-payload", "1",
                            "--reserve", "none"});
  expect_error(ran, 3, "shared memory is too small");
  EXPECT_NE(ran.err.find(" MiB at first in " + tmpfs.path().string() + ", which has 1 MiB free"), std::string::npos)
      << ran.err;
  EXPECT_TRUE(std::filesystem::is_empty(tmpfs.path()));
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(ManageCommand, remove_leaves_nothing) {
  enqueue("x");
  EXPECT_EQ(on_engine("remove").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(directory()));
  EXPECT_TRUE(place_.shm_names().empty());
  expect_error(on_engine("remove"), 3, "no engine here");
}

TEST_F(ManageCommand, remove_refuses_while_a_worker_lives_unless_forced) {
  Command worker(words_for("work", {"--exec", "true"}));
  ASSERT_TRUE(await([&] { return status()["participants"].size() >= 2; }));
  expect_error(on_engine("remove"), 1, "in use");
  EXPECT_EQ(on_engine("remove", {"--force"}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(directory()));
  EXPECT_EQ(worker.end().exit_code, 3);  // it is told
}

TEST_F(ManageCommand, cancel_ends_a_job_that_waits) {
  const std::string id = enqueue("x");
  EXPECT_EQ(on_engine("cancel", {id}).exit_code, 0);
  EXPECT_EQ(state_of(id), "ended");
  EXPECT_EQ(status()["totals"]["cancelled"], 1);
  EXPECT_EQ(on_engine("work", {"--exec", "echo ran", "--drain"}).out, "");
  expect_error(on_engine("cancel", {id}), 1, "over already");
}

TEST_F(ManageCommand, cancel_asks_a_job_that_runs_to_stop) {
  const std::string id = on_engine("enqueue", {"--kind", "k", "--keep-result", "1h"}).lines().at(0);
  Command worker(words_for("work", {"--exec", "exec sleep 600"}));
  ASSERT_TRUE(await([&] { return !on_engine("job", {id, "--json"}).json()["started_at"].is_null(); }));
  const Ran ran = on_engine("cancel", {id});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("asked to stop")) << ran.out;
  expect_error(on_engine("wait", {id, "--timeout", "20s"}), 1, "was cancelled");
}

TEST_F(ManageCommand, cancel_knows_no_job_that_never_was) {
  expect_error(on_engine("cancel", {"0123456789abcdef"}), 1, "no such job");
  expect_error(on_engine("cancel", {"xyz"}), 2, "16 lower-case hexadecimal digits");
}

TEST_F(ManageCommand, keeper_in_the_foreground_keeps_until_it_is_told_to_end) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Command keeper(words_for("keeper", {"--foreground"}));
    ASSERT_TRUE(await([&] { return keeper.out().find("keeps") != std::string::npos; }));
    EXPECT_EQ(status()["keeper"]["pid"], keeper.pid());
    EXPECT_EQ(status()["keeper"]["alive"], true);
    EXPECT_EQ(keeper.end_by(signal).exit_code, 0);
    EXPECT_EQ(status()["keeper"]["alive"], false);
  }
}

TEST_F(ManageCommand, a_second_keeper_stands_by_and_takes_over) {
  Command first(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return first.out().find("keeps") != std::string::npos; }));
  Command second(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return second.out().find("stands by") != std::string::npos; }));
  first.end_by(SIGKILL);
  EXPECT_TRUE(await([&] { return status()["keeper"]["pid"] == second.pid() && status()["keeper"]["alive"] == true; }));
}

TEST_F(ManageCommand, a_keeper_gives_back_the_job_of_a_killed_worker) {
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return keeper.out().find("keeps") != std::string::npos; }));
  const std::string id = enqueue("x");
  Command worker(words_for("work", {"--exec", "exec sleep 600"}));
  ASSERT_TRUE(await([&] { return state_of(id) == "running"; }));
  worker.end_by(SIGKILL);
  EXPECT_TRUE(await([&] { return state_of(id) == "queued"; }));
  EXPECT_EQ(status()["totals"]["worker_lost"], 1);
}

TEST_F(ManageCommand, keeper_as_a_daemon_prints_its_process_id_and_ends_with_its_engine) {
  const Ran ran = on_engine("keeper");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const pid_t daemon = std::stoi(ran.out);
  EXPECT_EQ(ran.out, std::to_string(daemon) + "\n");
  EXPECT_EQ(status()["keeper"]["pid"], daemon);
  EXPECT_EQ(::getsid(daemon), daemon);
  EXPECT_EQ(on_engine("remove", {"--force"}).exit_code, 0);
  // It is no child of the test: it is gone, or it waits for its new parent to reap it.
  const auto has_ended = [daemon] {
    const auto text = read_file("/proc/" + std::to_string(daemon) + "/stat");
    return !text || text->find(") Z ") != std::string::npos;
  };
  EXPECT_TRUE(await(has_ended));
}

TEST_F(ManageCommand, a_daemon_that_cannot_keep_says_why) {
  expect_error(ringmill({"keeper", "/nowhere"}), 3, "/nowhere");
}

TEST_F(ManageCommand, every_command_explains_itself_with_examples) {
  EXPECT_NE(ringmill({"--version"}).out.find("ringmill "), std::string::npos);
  const Ran all = ringmill({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const std::string command : {"init", "enqueue", "work", "status", "job", "cancel", "dump", "keeper", "recover",
                                    "remove", "resize", "schedule", "wait", "explain"}) {
    EXPECT_NE(all.out.find("  " + command + " "), std::string::npos) << command;
    const Ran one = ringmill({command, "--help"});
    EXPECT_EQ(one.exit_code, 0);
    EXPECT_NE(one.out.find("Example"), std::string::npos) << command;
    EXPECT_NE(one.out.find("ringmill " + command + " /"), std::string::npos) << command;
  }
}

TEST_F(ManageCommand, unknown_words_are_usage_errors) {
  expect_error(ringmill({}), 2, "--help");
  expect_error(ringmill({"dance"}), 2, "no such command: dance");
  expect_error(ringmill({"status"}), 2, "ringmill status --help");
  expect_error(on_engine("status", {"--colour"}), 2, "--colour");
}

TEST_F(ManageCommand, a_reader_that_leaves_early_is_no_failure) {
  ASSERT_EQ(on_engine("enqueue", {"--kind", "k", "--lines", "-"}, std::string(200, '\n')).exit_code, 0);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
  const std::string closed = "set -o pipefail; '" + program + "' dump '" + directory() + "' --json | :";
  EXPECT_EQ(std::system(("bash -c \"" + closed + "\"").c_str()), 0);
}

TEST_F(ManageCommand, output_that_cannot_be_written_is_a_failure) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
  const std::string full = "'" + program + "' status '" + directory() + "' >/dev/full 2>/dev/null";
  const int status = std::system(full.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

}  // namespace
}  // namespace ringmill::test
