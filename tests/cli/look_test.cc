// ringmill status, job and dump: they look, and change nothing.
#include <fstream>
#include <sstream>

#include "ipc/layout.h"
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class LookCommand : public CommandLine {
 protected:
  std::string segment_bytes() const {
    std::ifstream file(segment_file(), std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return std::move(bytes).str();
  }
  /// A worker that holds one job until its test's end.
  static constexpr const char* long_command = "exec sleep 600";
};

const std::vector<std::string> job_keys{"id",           "kind",         "level",       "state",      "attempts",
                                        "max_attempts", "payload_size", "enqueued_at", "started_at", "ended_at",
                                        "worker",       "last_error",   "result",      "due_at",     "progress"};

TEST_F(LookCommand, status_has_the_keys_of_the_contract) {
  enqueue("x");
  const auto json = status();
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys_of(json), (Keys{"engine", "levels", "totals", "participants", "keeper", "results", "memory", "journal",
                                 "dead_letters", "names"}));
  EXPECT_EQ(keys_of(json["engine"]),
            (Keys{"id", "path", "layout_version", "capacity", "cell_size", "created_at", "max_payload"}));
  EXPECT_EQ(keys_of(json["levels"][0]), (Keys{"name", "queued", "delayed", "blocked", "running", "completed", "kept",
                                              "most", "paused", "paused_since"}));
  EXPECT_EQ(keys_of(json["totals"]),
            (Keys{"enqueued", "completed", "failed", "retried", "dead", "worker_lost", "lease_expired", "cancelled"}));
  EXPECT_EQ(keys_of(json["keeper"]), (Keys{"pid", "alive", "trouble", "since"}));
  EXPECT_EQ(keys_of(json["memory"]), (Keys{"bytes", "cells_free", "cells_used", "arena_bytes", "arena_used"}));
  EXPECT_EQ(keys_of(json["journal"]), (Keys{"mode", "segments", "bytes", "limit", "durable_lag_us", "bytes_per_s",
                                            "last_error", "bytes_written", "records_written", "jobs_elided", "note"}));
  EXPECT_EQ(keys_of(json["dead_letters"]),
            (Keys{"count", "bytes", "limit", "count_limit", "oldest", "dropped", "expired"}));
}

TEST_F(LookCommand, status_counts_jobs_when_no_participant_lives) {
  enqueue("x", "greet", "high");
  enqueue("y");
  const auto json = status();
  EXPECT_EQ(json["levels"][0]["name"], "high");
  EXPECT_EQ(json["levels"][0]["queued"], 1);
  EXPECT_EQ(json["levels"][1]["queued"], 1);
  EXPECT_EQ(json["totals"]["enqueued"], 2);
  EXPECT_EQ(json["memory"]["cells_used"], 2);
  EXPECT_EQ(json["memory"]["cells_free"], 254);
  EXPECT_EQ(json["engine"]["path"], directory());
  EXPECT_TRUE(json["participants"].empty());
  EXPECT_EQ(json["keeper"]["alive"], false);
  EXPECT_TRUE(json["keeper"]["pid"].is_null());
  EXPECT_NE(on_engine("status").out.find("no participants"), std::string::npos);
}

TEST_F(LookCommand, status_tells_the_living_from_the_dead) {
  enqueue("x");
  Command worker(words_for("work", {"--exec", long_command}));
  ASSERT_TRUE(await([&] { return status()["levels"][1]["running"] == 1; }));
  const auto alive = status();
  EXPECT_EQ(alive["keeper"]["pid"], worker.pid());
  EXPECT_EQ(alive["keeper"]["alive"], true);
  for (const auto& participant : alive["participants"]) EXPECT_EQ(participant["alive"], true) << participant;
  worker.end_by(SIGKILL);
  const auto dead = status();  // the keeper died with the worker: nothing has been cleaned up
  EXPECT_EQ(dead["participants"].size(), alive["participants"].size());
  for (const auto& participant : dead["participants"]) EXPECT_EQ(participant["alive"], false) << participant;
  EXPECT_EQ(dead["keeper"]["alive"], false);
  EXPECT_NE(on_engine("status").out.find("is gone"), std::string::npos);
}

TEST_F(LookCommand, a_job_has_the_keys_of_the_contract) {
  const std::string id = enqueue("world", "greet", "high");
  const auto json = on_engine("job", {id, "--json"}).json();
  EXPECT_EQ(keys_of(json), job_keys);
  EXPECT_EQ(json["id"], id);
  EXPECT_EQ(json["kind"], "greet");
  EXPECT_EQ(json["level"], "high");
  EXPECT_EQ(json["state"], "queued");
  EXPECT_EQ(json["attempts"], 0);
  EXPECT_EQ(json["payload_size"], 5);
  EXPECT_TRUE(json["started_at"].is_null());
  EXPECT_TRUE(json["worker"].is_null());
  const std::string at = json["enqueued_at"];
  EXPECT_EQ(at.size(), std::string("2024-02-29T13:05:09.007Z").size()) << at;
  EXPECT_EQ(at.back(), 'Z');
  EXPECT_NE(on_engine("job", {id}).out.find("queued"), std::string::npos);
}

TEST_F(LookCommand, a_running_job_names_its_worker) {
  const std::string id = enqueue("x");
  Command worker(words_for("work", {"--exec", long_command}));
  ASSERT_TRUE(await([&] { return state_of(id) == "running"; }));
  ASSERT_TRUE(await([&] { return !on_engine("job", {id, "--json"}).json()["started_at"].is_null(); }));
  const auto json = on_engine("job", {id, "--json"}).json();
  EXPECT_TRUE(json["worker"].is_number()) << json;
  EXPECT_EQ(json["attempts"], 1);
}

TEST_F(LookCommand, a_job_that_is_over_has_ended) {
  const std::string id = enqueue("x");
  ASSERT_EQ(on_engine("work", {"--exec", "true", "--drain"}).exit_code, 0);
  const auto json = on_engine("job", {id, "--json"}).json();
  EXPECT_EQ(keys_of(json), job_keys);
  EXPECT_EQ(json["state"], "ended");
  EXPECT_TRUE(json["kind"].is_null());
  EXPECT_NE(on_engine("job", {id}).out.find("ended"), std::string::npos);
}

TEST_F(LookCommand, a_job_that_never_was_is_a_no) {
  expect_error(on_engine("job", {"0123456789abcdef"}), 1, "no such job");
  expect_error(on_engine("job", {"12"}), 2, "16 lower-case hexadecimal digits");
}

TEST_F(LookCommand, dump_lists_jobs_with_the_keys_of_job) {
  EXPECT_EQ(on_engine("dump").out, "no jobs\n");
  EXPECT_EQ(on_engine("dump", {"--json"}).out, "");
  const std::string id = enqueue("two words\n");
  const auto jobs = on_engine("dump", {"--json"}).json_lines();
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(keys_of(jobs[0]), job_keys);
  EXPECT_EQ(jobs[0], on_engine("job", {id, "--json"}).json());
  const Ran text = on_engine("dump", {"--payload"});
  EXPECT_EQ(text.lines().size(), 2U) << text.out;
  EXPECT_NE(text.out.find("two words\\n"), std::string::npos) << text.out;
}

TEST_F(LookCommand, dump_filters_by_state_level_kind_and_number) {
  enqueue("a", "red", "high");
  enqueue("b", "blue", "high");
  enqueue("c", "blue", "low");
  const auto count = [&](std::vector<std::string> more) {
    more.push_back("--json");
    return on_engine("dump", more).lines().size();
  };
  EXPECT_EQ(count({}), 3U);
  EXPECT_EQ(count({"--level", "high"}), 2U);
  EXPECT_EQ(count({"--kind", "blue"}), 2U);
  EXPECT_EQ(count({"--kind", "blue", "--level", "low"}), 1U);
  EXPECT_EQ(count({"--kind", "green"}), 0U);
  EXPECT_EQ(count({"--state", "queued"}), 3U);
  EXPECT_EQ(count({"--state", "running"}), 0U);
  EXPECT_EQ(count({"--limit", "2"}), 2U);
  EXPECT_EQ(count({"--limit", "0"}), 0U);
  expect_error(on_engine("dump", {"--state", "asleep"}), 2, "--state");
}

TEST_F(LookCommand, a_number_of_jobs_that_cannot_be_is_a_usage_error) {
  for (const std::string number : {"-1", "99999999999999999999", "one"}) {
    expect_error(on_engine("dump", {"--limit", number}), 2, "--limit");
    expect_error(on_engine("dead", {"list", "--limit", number}), 2, "--limit");
  }
}

TEST_F(LookCommand, dump_shows_rings_and_participants) {
  enqueue("x", "greet", "high");
  Command worker(words_for("work", {"--exec", long_command, "--levels", "low"}));
  ASSERT_TRUE(await([&] { return status()["participants"].size() >= 2; }));
  const auto records = on_engine("dump", {"--json", "--rings", "--participants"}).json_lines();
  ASSERT_GE(records.size(), 5U);
  EXPECT_EQ(records[0]["record"], "ring");
  EXPECT_EQ(records[0]["level"], "high");
  EXPECT_EQ(records[0]["live_hints"], 1);
  EXPECT_EQ(records[1]["live_hints"], 0);
  EXPECT_EQ(records[3]["record"], "participant");
  EXPECT_EQ(records[3]["pid"], worker.pid());
  EXPECT_EQ(records[3]["alive"], true);
  EXPECT_EQ(on_engine("dump", {"--rings"}).lines().size(), 4U);
}

TEST_F(LookCommand, dump_checks_a_sound_engine) {
  enqueue("x");
  const Ran text = on_engine("dump", {"--check"});
  EXPECT_EQ(text.exit_code, 0) << text.out;
  EXPECT_NE(text.out.find("at rest"), std::string::npos) << text.out;
  const auto json = on_engine("dump", {"--check", "--json"}).json();
  EXPECT_EQ(json["ok"], true);
  EXPECT_EQ(json["findings"], 0);
}

TEST_F(LookCommand, dump_reads_a_copy_and_finds_what_is_broken_in_it) {
  on_engine("remove");
  init({"--capacity", "256", "--max-payload", "192"});  // without an arena the cells are the segment's end
  const std::string id = enqueue("x");
  const ScratchFolder folder;
  const std::filesystem::path copy = folder.path() / segment_file().filename();
  std::filesystem::copy(segment_file(), copy);
  for (const auto& from : {copy, folder.path()}) {
    const auto jobs = ringmill({"dump", "--from", from, "--json"}).json_lines();
    ASSERT_EQ(jobs.size(), 1U);
    EXPECT_EQ(jobs[0]["id"], id);
  }
  std::filesystem::copy(directory() + "/engine.json", folder.path());
  std::filesystem::copy(segment_file(), folder.path() / "ringmill-ffffffffffffffff");
  EXPECT_EQ(ringmill({"dump", "--from", folder.path(), "--check"}).exit_code, 0);

  std::fstream file(copy, std::ios::binary | std::ios::in | std::ios::out);
  // The last cell's state word: an unknown state.
  file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(copy)) - 256);
  const std::string nonsense(8, '\xff');
  file.write(nonsense.data(), static_cast<std::streamsize>(nonsense.size()));
  file.close();
  const Ran broken = ringmill({"dump", "--from", copy, "--check"});
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_TRUE(broken.out.starts_with("broken: cell 255")) << broken.out;
  const auto records = ringmill({"dump", "--from", copy, "--check", "--json"}).json_lines();
  EXPECT_EQ(records.at(0)["record"], "finding");
  EXPECT_EQ(records.back()["ok"], false);
}

TEST_F(LookCommand, what_is_no_copy_of_a_segment_is_refused) {
  const ScratchFolder folder;
  std::ofstream(folder.path() / "text") << "hello";
  EXPECT_EQ(ringmill({"dump", "--from", folder.path() / "text"}).exit_code, 3);
  EXPECT_EQ(ringmill({"dump", "--from", folder.path()}).exit_code, 3);
  EXPECT_EQ(ringmill({"dump", "--from", folder.path() / "nothing"}).exit_code, 3);
  EXPECT_EQ(ringmill({"dump"}).exit_code, 2);
}

TEST_F(LookCommand, looking_writes_no_byte_of_shared_memory) {
  const std::string id = enqueue("x");
  const std::string before = segment_bytes();
  ASSERT_GT(before.size(), 256U * 256U);
  for (const auto& more : {std::vector<std::string>{"--payload"}, {"--rings", "--participants", "--check"}}) {
    const auto dumped = on_engine("dump", more);
    EXPECT_EQ(dumped.exit_code, 0) << dumped.out << dumped.err;
  }
  EXPECT_EQ(on_engine("status").exit_code, 0);
  EXPECT_EQ(on_engine("job", {id}).exit_code, 0);
  EXPECT_TRUE(segment_bytes() == before);
}

TEST_F(LookCommand, shared_memory_that_is_gone_is_an_error_that_says_so) {
  std::filesystem::remove(segment_file());
  for (const char* command : {"status", "dump"}) {
    expect_error(on_engine(command), 3, "shared memory is gone");
  }
}

TEST_F(LookCommand, a_place_without_an_engine_is_an_error_that_says_so) {
  for (const char* command : {"status", "dump"}) expect_error(ringmill({command, "/nowhere"}), 3, "/nowhere");
  expect_error(ringmill({"job", "/nowhere", "0000000001000000"}), 3, "/nowhere");
}

}  // namespace
}  // namespace ringmill::test
