// ringmill dead, and what other commands say of dead letters. Nothing buries yet: the tests put letters in themselves.
#include <fstream>

#include "tests/cli/command_line.h"
#include "tests/support/dead_letters.h"

namespace ringmill::test {
namespace {

using Keys = std::vector<std::string>;

class DeadCommand : public CommandLine {
 protected:
  void bury(const std::vector<DeadLetter>& letters, const DeadLetterLimits& limits = {}) const {
    must(open_store(directory(), limits).bury(letters));
  }
  Ran dead(std::vector<std::string> more) { return on_engine("dead", more); }
  /// The ids that a listing prints, in its order.
  Keys listed(std::vector<std::string> more = {}) {
    more.insert(more.begin(), "list");
    more.emplace_back("--json");
    Keys ids;
    for (const auto& letter : dead(more).json_lines()) ids.push_back(letter["id"]);
    return ids;
  }
  static std::string id_of(std::uint64_t n) { return letter_of(n).id.to_string(); }
  static Keys ids_of(const std::vector<std::uint64_t>& numbers) {
    Keys ids;
    for (const std::uint64_t n : numbers) ids.push_back(id_of(n));
    return ids;
  }
};

/// Four letters that differ in all that can be filtered.
std::vector<DeadLetter> mixed_letters() {
  auto letters = letters_from_to(1, 4);
  letters[1].kind = "resize";
  letters[2].level = "high";
  letters[2].cause = DeathCause::rejected;
  letters[3].died_at = std::chrono::system_clock::now();
  return letters;
}

TEST_F(DeadCommand, list_shows_the_newest_first_with_the_keys_of_job_and_the_cause) {
  bury(letters_from_to(1, 3));
  EXPECT_EQ(listed(), ids_of({3, 2, 1}));
  EXPECT_EQ(listed({"--limit", "2"}), ids_of({3, 2}));
  const auto json = dead({"list", "--json"}).json_lines().at(0);
  EXPECT_EQ(keys_of(json),
            (Keys{"id", "kind", "level", "state", "attempts", "max_attempts", "payload_size", "enqueued_at",
                  "started_at", "ended_at", "worker", "last_error", "result", "due_at", "progress", "cause"}));
  EXPECT_EQ(json["state"], "dead");
  EXPECT_EQ(json["cause"], "failed");
  EXPECT_EQ(json["attempts"], 3);
  EXPECT_EQ(json["payload_size"], 7);
}

TEST_F(DeadCommand, a_worker_that_drains_and_ends_alone_leaves_letters_behind) {
  for (int n = 1; n <= 10; ++n) {
    on_engine("enqueue", {"--kind", "greet", "--payload", "x", "--max-attempts", "1"});
    EXPECT_EQ(on_engine("work", {"--exec", "exit 1", "--drain"}).exit_code, 0);
    EXPECT_EQ(on_engine("dead", {"list", "--json"}).lines().size(), static_cast<std::size_t>(n));
  }
}

TEST_F(DeadCommand, list_is_a_table_for_people) {
  auto letter = letter_of(1);
  letter.last_error = "first line\x1b[31m\nsecond line";
  bury({letter});
  const auto lines = dead({"list"}).lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(lines[0].starts_with("id ")) << lines[0];
  EXPECT_TRUE(lines[1].starts_with(id_of(1) + "  mail  default  failed ")) << lines[1];
  EXPECT_TRUE(lines[1].ends_with("first line\\x1b[31m")) << lines[1];
  EXPECT_NE(lines[1].find(" 3/5 "), std::string::npos) << lines[1];
}

TEST_F(DeadCommand, list_filters) {
  bury(mixed_letters());
  EXPECT_EQ(listed({"--kind", "resize"}), ids_of({2}));
  EXPECT_EQ(listed({"--level", "high"}), ids_of({3}));
  EXPECT_EQ(listed({"--cause", "rejected"}), ids_of({3}));
  EXPECT_EQ(listed({"--older", "1d"}), ids_of({3, 2, 1}));
  EXPECT_EQ(listed({"--older", "1d", "--kind", "mail", "--level", "default"}), ids_of({1}));
}

TEST_F(DeadCommand, where_nothing_was_buried_there_is_nothing_and_nothing_is_made) {
  EXPECT_EQ(dead({"list"}).out, "no dead letters\n");
  EXPECT_EQ(dead({"list", "--json"}).out, "");
  EXPECT_EQ(dead({"export", "--all"}).out, "");
  EXPECT_EQ(dead({"purge", "--all"}).out, "0 purged\n");
  EXPECT_EQ(dead({"retry", "--all"}).exit_code, 0);
  EXPECT_EQ(on_engine("dump", {"--dead"}).out, "no dead letters\n");
  for (const char* action : {"show", "retry", "export", "purge"}) expect_error(dead({action, id_of(1)}), 1, id_of(1));
  EXPECT_FALSE(std::filesystem::exists(directory() + "/dead-letters.db"));
}

TEST_F(DeadCommand, words_that_are_off_are_usage_errors) {
  bury(letters_from_to(1, 2));
  for (const char* action : {"retry", "purge"}) expect_error(dead({action}), 2, "--all");
  expect_error(dead({"purge", id_of(1), "--all"}), 2, "or --all");
  expect_error(dead({"purge", "--kind", "mail", "--all"}), 2, "or --all");
  expect_error(dead({"purge", "nonsense"}), 2, "hexadecimal");
  expect_error(dead({"show"}), 2, "ID");
  expect_error(dead({"list", id_of(1)}), 2, "show");
  expect_error(dead({"bury"}), 2, "ACTION");
  expect_error(dead({}), 2, "ACTION");
  expect_error(dead({"list", "--cause", "boredom"}), 2, "--cause");
  expect_error(dead({"list", "--older", "5"}), 2, "duration");
  expect_error(dead({"purge", "--all", "--limit", "1"}), 2, "--limit");
  expect_error(ringmill({"dead", "/nowhere", "list"}), 3, "/nowhere");
  EXPECT_EQ(listed().size(), 2U);
}

TEST_F(DeadCommand, show_tells_everything_of_one_letter) {
  auto letter = letter_of(1, "caf\xc3\xa9");
  letter.backoff = "fixed:100ms";
  letter.lease = std::chrono::seconds{30};
  bury({letter});
  const std::string text = dead({"show", id_of(1)}).out;
  for (const char* part : {"fixed:100ms", "30s", "caf\xc3\xa9", "no route to host", "participant 7"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(dead({"show", id_of(1), "--json"}).json()["payload"], "caf\xc3\xa9");
  expect_error(dead({"show", id_of(2)}), 1, id_of(2));
}

TEST_F(DeadCommand, purge_removes_one_those_that_are_meant_or_all) {
  bury(mixed_letters());
  EXPECT_EQ(dead({"purge", id_of(1)}).out, "1 purged\n");
  expect_error(dead({"purge", id_of(1)}), 1, id_of(1));
  EXPECT_EQ(dead({"purge", "--kind", "resize", "--json"}).json()["purged"], 1);
  EXPECT_EQ(listed(), ids_of({4, 3}));
  EXPECT_EQ(dead({"purge", "--all"}).out, "2 purged\n");
  EXPECT_EQ(listed(), Keys{});
}

TEST_F(DeadCommand, retry_puts_jobs_back_as_they_were_with_no_attempt_counted) {
  bury(mixed_letters());
  const auto lines = dead({"retry", "--level", "high", "--json"}).json_lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["id"], id_of(3));
  const auto job = on_engine("job", {lines[0]["retried_as"], "--json"}).json();
  EXPECT_EQ(job["state"], "queued");
  EXPECT_EQ(job["level"], "high");
  EXPECT_EQ(job["kind"], "mail");
  EXPECT_EQ(job["attempts"], 0);
  EXPECT_EQ(listed(), ids_of({4, 2, 1}));
  EXPECT_EQ(dead({"retry", id_of(1)}).lines().size(), 1U);
  EXPECT_EQ(dead({"retry", "--all"}).lines().size(), 2U);
  EXPECT_EQ(listed(), Keys{});
  EXPECT_EQ(on_engine("dump", {"--json", "--payload"}).json_lines().size(), 4U);
  expect_error(dead({"retry", id_of(1)}), 1, id_of(1));
}

TEST_F(DeadCommand, retried_jobs_are_on_the_disk_before_their_letters_go) {
  bury(letters_from_to(1, 3));
  ASSERT_EQ(dead({"retry", "--all"}).exit_code, 0);
  std::filesystem::remove(segment_file());  // as a power cut leaves it
  ASSERT_EQ(on_engine("recover").exit_code, 0);
  EXPECT_EQ(on_engine("dump", {"--json"}).json_lines().size(), 3U);
}

TEST_F(DeadCommand, a_full_engine_takes_some_letters_back_and_the_rest_stay) {
  init({"--capacity", "64"});
  for (int n = 0; n < 60; ++n) enqueue("x");
  bury(letters_from_to(1, 10));
  const Ran ran = dead({"retry", "--all"});
  EXPECT_EQ(ran.exit_code, 1) << testing::PrintToString(ran);
  EXPECT_EQ(ran.lines().size(), 4U);
  EXPECT_NE(ran.err.find("were retried: 4"), std::string::npos) << ran.err;
  EXPECT_EQ(listed(), ids_of({10, 9, 8, 7, 6, 5}));
}

TEST_F(DeadCommand, a_letter_whose_level_is_gone_keeps_no_other_back) {
  auto letters = letters_from_to(1, 3);
  letters[1].level = "gone";
  bury(letters);
  const Ran ran = dead({"retry", "--all"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.lines().size(), 2U);
  EXPECT_NE(ran.err.find("1 stay dead"), std::string::npos) << ran.err;
  EXPECT_EQ(listed(), ids_of({2}));
}

TEST_F(DeadCommand, a_letter_with_half_a_payload_is_shown_as_such_and_not_retried) {
  auto cut = letter_of(1, "the beginning");
  cut.payload_cut_from = 5'000'000;
  bury({cut, letter_of(2)});
  EXPECT_NE(dead({"show", id_of(1)}).out.find("5000000 bytes, of which the first 13 are kept"), std::string::npos);
  const auto json = dead({"show", id_of(1), "--json"}).json();
  EXPECT_EQ(json["payload_size"], 5'000'000);
  EXPECT_EQ(json["payload_kept"], 13);
  const Ran ran = dead({"retry", "--all"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.err.find("not all of its payload was kept"), std::string::npos) << ran.err;
  EXPECT_EQ(listed(), ids_of({1}));
}

TEST_F(DeadCommand, one_retry_at_a_time) {
  bury(letters_from_to(1, 1));
  const auto store = open_store(directory());
  const auto lock = must(store.lock_retries());
  expect_error(dead({"retry", "--all"}), 1, "another process retries");
  EXPECT_EQ(listed(), ids_of({1}));
}

TEST_F(DeadCommand, a_killed_retry_loses_no_job) {
  init({"--capacity", "2048"});
  for (int round = 0; round < 12; ++round) {
    const auto first = static_cast<std::uint64_t>(round) * 100 + 1;
    bury(letters_from_to(first, first + 99));
    Command retry(words_for("dead", {"retry", "--all"}));
    // Some end before they are killed, some have not begun.
    ::usleep(static_cast<useconds_t>(round * 4000));
    retry.end_by(SIGKILL);
    const std::size_t jobs = on_engine("dump", {"--json"}).json_lines().size();
    EXPECT_GE(jobs + listed().size(), first + 99);
  }
  ASSERT_EQ(dead({"retry", "--all"}).exit_code, 0);
  EXPECT_GE(on_engine("dump", {"--json"}).json_lines().size(), 1200U);
}

TEST_F(DeadCommand, what_export_prints_is_what_enqueue_reads) {
  const std::vector<std::string> payloads{"plain",
                                          "",
                                          "caf\xc3\xa9 \xf0\x9f\x8e\xba",
                                          "{\"a\":[1,2]}",
                                          "null",
                                          std::string("nul\0 and \"quotes\"\n", 18),
                                          std::string("\xff\xfe\0\x80", 4)};
  std::vector<DeadLetter> letters;
  for (std::size_t n = 0; n < payloads.size(); ++n) letters.push_back(letter_of(n + 1, payloads[n]));
  letters[0].lease = std::chrono::milliseconds{1500};
  letters[1].last_error = std::string(most_error_bytes, '\x01');  // six bytes each as JSON has them
  letters[2].level = "high";
  bury(letters);
  const Ran exported = dead({"export"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_EQ(exported.json_lines().at(0)["timeout"], "1500ms");
  const Ran enqueued = on_engine("enqueue", {"--from-json", "-"}, exported.out);
  ASSERT_EQ(enqueued.exit_code, 0) << enqueued.err;
  const auto jobs = on_engine("dump", {"--json", "--payload"}).json_lines();
  ASSERT_EQ(jobs.size(), payloads.size());
  for (std::size_t n = 0; n + 1 < jobs.size(); ++n) EXPECT_EQ(jobs[n]["payload"], payloads[n]);
  EXPECT_EQ(jobs.back()["payload_base64"], "//4AgA==");
  EXPECT_EQ(jobs[2]["level"], "high");
  EXPECT_EQ(jobs[0]["kind"], "mail");
  EXPECT_EQ(listed().size(), payloads.size());  // export removes nothing
}

TEST_F(DeadCommand, export_takes_one_id_or_filters) {
  bury(mixed_letters());
  EXPECT_EQ(dead({"export", id_of(2)}).json_lines().at(0)["dead"]["id"], id_of(2));
  EXPECT_EQ(dead({"export", "--kind", "mail"}).lines().size(), 3U);
}

TEST_F(DeadCommand, job_finds_a_dead_letter) {
  const std::string id = enqueue("x");
  EXPECT_EQ(state_of(id), "queued");
  auto letter = letter_of(1);
  bury({letter});
  const auto json = on_engine("job", {id_of(1), "--json"}).json();
  EXPECT_EQ(json["state"], "dead");
  EXPECT_EQ(json["cause"], "failed");
  EXPECT_EQ(json["last_error"], "no route to host");
  const std::string text = on_engine("job", {id_of(1)}).out;
  EXPECT_NE(text.find("no route to host"), std::string::npos) << text;
}

TEST_F(DeadCommand, status_counts_dead_letters) {
  const auto none = status()["dead_letters"];
  EXPECT_EQ(none["count"], 0);
  EXPECT_EQ(none["limit"], 1 << 30);
  bury(letters_from_to(1, 3), {.bytes = 2U << 20});
  const auto some = status()["dead_letters"];
  EXPECT_EQ(some["count"], 3);
  EXPECT_EQ(some["bytes"], 3 * size_of(letter_of(1)));
  EXPECT_EQ(some["limit"], 2 << 20);
  EXPECT_EQ(some["count_limit"], 1'000'000);
  EXPECT_EQ(some["dropped"], 0);
  EXPECT_NE(on_engine("status").out.find("dead     3 of at most 1000000"), std::string::npos);
}

TEST_F(DeadCommand, dump_lists_dead_letters) {
  bury(mixed_letters());
  const auto letters = on_engine("dump", {"--dead", "--json", "--payload", "--kind", "mail"}).json_lines();
  ASSERT_EQ(letters.size(), 3U);
  EXPECT_EQ(letters[0]["id"], id_of(4));
  EXPECT_EQ(letters[0]["payload"], "payload");
  EXPECT_EQ(on_engine("dump", {"--dead", "--limit", "1"}).lines().size(), 1U);
  expect_error(on_engine("dump", {"--dead", "--rings"}), 2, "--dead");
}

TEST_F(DeadCommand, a_damaged_file_is_said_and_status_shows_the_rest) {
  std::ofstream(directory() + "/dead-letters.db") << std::string(8192, 'x');
  expect_error(dead({"list"}), 3, "damaged");
  const auto json = status();
  EXPECT_TRUE(json["dead_letters"]["count"].is_null());
  EXPECT_FALSE(json["dead_letters"]["error"].get<std::string>().empty());
  EXPECT_EQ(json["levels"].size(), 3U);
  const Ran check = on_engine("dump", {"--check"});
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_NE(check.out.find("dead letters' file is damaged"), std::string::npos) << check.out;
}

TEST_F(DeadCommand, remove_takes_dead_letters_along_and_a_new_engine_does_not_find_them) {
  bury(letters_from_to(1, 1));
  ASSERT_EQ(on_engine("remove").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(directory()));
  init({"--capacity", "256"});
  bury(letters_from_to(1, 1));
  std::filesystem::remove(directory() + "/engine.json");  // as a removal that was killed leaves it
  ASSERT_EQ(ringmill({"init", directory(), "--shm-dir", place_.shm_dir(), "--capacity", "256"}).exit_code, 0);
  EXPECT_EQ(listed(), Keys{});
}

}  // namespace
}  // namespace ringmill::test
