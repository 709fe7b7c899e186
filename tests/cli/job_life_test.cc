// The options of enqueue for retries, delays and results; wait and explain, which show them.
#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using Words = std::vector<std::string>;

class LifeCommand : public CommandLine {
 protected:
  Ran enqueue_with(Words more, std::string_view input = "") {
    if (input.empty()) more.insert(more.begin(), {"--kind", "k"});
    return on_engine("enqueue", more, input);
  }
  std::string id_with(const Words& more, std::string_view input = "") {
    const Ran ran = enqueue_with(more, input);
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines().at(0);
  }
  nlohmann::ordered_json job(const std::string& id) { return on_engine("job", {id, "--json"}).json(); }
  Ran drain(const std::string& command) { return on_engine("work", {"--exec", command, "--drain"}); }
  std::string explain(const std::string& id) {
    const Ran ran = on_engine("explain", {id});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_EQ(ran.lines().size(), 1U) << ran.out;
    EXPECT_TRUE(ran.out.starts_with("job " + id + " ")) << ran.out;
    return ran.out;
  }
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(LifeCommand, a_delayed_job_waits_and_says_until_when) {
  const std::string id = id_with({"--delay", "1h"});
  EXPECT_EQ(job(id)["state"], "delayed");
  EXPECT_TRUE(job(id)["due_at"].is_string());
  EXPECT_EQ(status()["levels"][1]["delayed"], 1);
  EXPECT_HAS(explain(id), "is delayed until 20");
}

TEST_F(LifeCommand, a_job_begins_at_the_time_that_at_says) {
  const std::string id = id_with({"--at", "2100-02-28T14:05:09.250+01:00"});
  EXPECT_EQ(job(id)["due_at"], "2100-02-28T13:05:09.250Z");
}

TEST_F(LifeCommand, times_that_are_none_and_two_beginnings_are_usage_errors) {
  for (const char* at :
       {"tomorrow", "2100-02-30T00:00:00Z", "2100-02-28 00:00:00Z", "2100-02-28T00:00:00", "2100-02-28T24:00:00Z",
        "2100-02-28T00:00:00.Z", "2100-02-28T00:00:00+0100", "2100-02-28T00:00:00Zx"}) {
    expect_error(enqueue_with({"--at", at}), 2, "is not a time like");
  }
  expect_error(enqueue_with({"--delay", "1s", "--at", "2100-01-01T00:00:00Z"}), 2, "excludes");
  expect_error(enqueue_with({"--delay", "soon"}), 2, "--delay");
  expect_error(enqueue_with({"--delay", "9999d"}), 2, "ten years");
  expect_error(enqueue_with({"--expires", "x"}), 2, "--expires");
  expect_error(enqueue_with({"--keep-result", "x"}), 2, "--keep-result");
  expect_error(enqueue_with({"--max-attempts", "65536"}), 2, "--max-attempts");
  expect_error(enqueue_with({"--backoff", "sometimes"}), 2, "backoff");
  expect_error(enqueue_with({"--on-worker-lost", "cry"}), 2, "--on-worker-lost");
}

TEST_F(LifeCommand, a_job_dies_after_its_attempts_and_every_command_says_why) {
  const std::string id = id_with({"--max-attempts", "2", "--backoff", "fixed:1ms"});
  EXPECT_EQ(job(id)["max_attempts"], 2);
  drain("echo broken >&2; exit 75");
  expect_error(on_engine("wait", {id, "--timeout", "10s"}), 1, "is dead");
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return on_engine("dead", {"list"}).out.find(id) != std::string::npos; }));
  expect_error(on_engine("wait", {id}), 1, "is dead (failed): the command ended with status 75: broken");
  EXPECT_HAS(explain(id), "is dead since");
  EXPECT_HAS(explain(id), "failed after 2 attempts, the last error: the command ended with status 75: broken");
  EXPECT_EQ(job(id)["attempts"], 2);
  EXPECT_EQ(status()["totals"]["dead"], 1);
}

TEST_F(LifeCommand, a_job_that_is_not_begun_in_time_is_dead_as_expired) {
  const Command keeper(words_for("keeper", {"--foreground"}));
  const std::string id = id_with({"--expires", "50ms"});
  expect_error(on_engine("wait", {id, "--timeout", "20s"}), 1, "is dead (expired)");
  ASSERT_TRUE(await([&] {
    return on_engine("dead", {"list", "--cause", "expired"}).out.find(id) != std::string::npos;
  }));
  EXPECT_HAS(explain(id), "expired after 0 attempts");
  EXPECT_EQ(job(id)["cause"], "expired");
  EXPECT_EQ(drain("echo it runs").out, "");
}

TEST_F(LifeCommand, a_job_that_expires_later_than_it_is_begun_runs) {
  id_with({"--expires", "1h"});
  EXPECT_EQ(drain("echo it runs").out, "it runs\n");
}

TEST_F(LifeCommand, job_and_explain_show_how_far_a_handler_is) {
  const std::string id = id_with({});
  EXPECT_TRUE(job(id)["progress"].is_null());
  Engine engine = must(Engine::open(directory(), {.embedded_keeper = false}));
  const auto worker = must(engine.attach(Role::worker));
  Job held = must(worker->claim(generous));
  held.report_progress(7, "page 7 of 9");
  EXPECT_EQ(job(id)["progress"]["number"], 7);
  EXPECT_EQ(job(id)["progress"]["text"], "page 7 of 9");
  EXPECT_HAS(on_engine("job", {id}).out, "7 page 7 of 9");
  EXPECT_HAS(explain(id), "; it is at 7 page 7 of 9");
  must(held.complete());
  EXPECT_TRUE(job(id)["progress"].is_null());
}

TEST_F(LifeCommand, a_failed_job_waits_as_its_backoff_says) {
  const std::string id = id_with({"--backoff", "fixed:1h"});
  Command worker(words_for("work", {"--exec", "echo broken >&2; exit 75"}));
  ASSERT_TRUE(await([&] { return state_of(id) == "delayed"; }));
  EXPECT_EQ(job(id)["last_error"], "the command ended with status 75: broken");
  EXPECT_HAS(explain(id), "; 1 of 15 attempts failed, the last: the command ended with status 75: broken");
  const std::string shown = on_engine("job", {id}).out;
  EXPECT_HAS(shown, "last ended    20");
  EXPECT_FALSE(shown.contains("\nended at"));  // it has not ended
}

TEST_F(LifeCommand, a_kept_result_is_shown_and_waited_for) {
  const std::string id = id_with({"--payload", "2", "--keep-result", "1h"});
  expect_error(on_engine("wait", {id, "--timeout", "10ms"}), 1, "not over yet");
  drain("sed 's/^/got /'");
  const Ran ran = on_engine("wait", {id});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out.substr(0, 5), "got 2");
  const auto json = job(id);
  EXPECT_EQ(json["state"], "completed");
  EXPECT_EQ(json["result"], ran.out);
  EXPECT_FALSE(json["started_at"].is_null());
  EXPECT_FALSE(json["ended_at"].is_null());
  EXPECT_HAS(explain(id), "was completed at 20");
  EXPECT_HAS(explain(id), ", and is kept until 20");
  EXPECT_EQ(status()["levels"][1]["completed"], 1);
}

TEST_F(LifeCommand, a_result_that_is_no_text_is_base64) {
  const std::string id = id_with({"--keep-result", "1h"});
  drain("printf '\\377\\376'");
  EXPECT_TRUE(job(id)["result"].is_null());
  EXPECT_EQ(job(id)["result_base64"], "//4=");
}

TEST_F(LifeCommand, wait_shows_the_end_of_a_job_in_json_and_its_bytes_as_they_are) {
  const std::string id = id_with({"--keep-result", "1h"});
  drain("printf '\\000\\377'");
  EXPECT_EQ(on_engine("wait", {id}).out, std::string("\0\377", 2));
  const Ran ran = on_engine("wait", {id, "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.json()["state"], "completed");
  EXPECT_EQ(ran.json()["result_base64"], "AP8=");
  EXPECT_EQ(on_engine("dump", {"--json"}).json()["result_base64"], "AP8=");
}

TEST_F(LifeCommand, a_result_that_is_too_long_completes_its_job_and_is_shown_as_cut) {
  const std::string id = id_with({"--keep-result", "1h", "--max-attempts", "3", "--backoff", "fixed:1ms"});
  const Ran worker = drain("printf '%01100000d' 7; echo effect >&2");
  EXPECT_EQ(worker.out.size(), 1'100'000U) << "it ran once, and all of it was passed on";
  EXPECT_HAS(worker.err, id);
  EXPECT_HAS(worker.err, "its result is refused");
  EXPECT_EQ(job(id)["state"], "completed");
  EXPECT_EQ(job(id)["attempts"], 1);
  EXPECT_EQ(job(id)["result_cut"], true);
  EXPECT_HAS(job(id)["result_refused"].get<std::string>(), "--max-payload");
  EXPECT_EQ(job(id)["result"], std::string(144, '0'));
  EXPECT_HAS(on_engine("job", {id}).out, "cut, the first 144 bytes: 0");
  const Ran waited = on_engine("wait", {id});
  EXPECT_EQ(waited.exit_code, 0);
  EXPECT_EQ(waited.out, std::string(144, '0'));
  EXPECT_HAS(waited.err, "144 bytes of it are kept");
}

TEST_F(LifeCommand, a_commands_whole_output_is_its_result_byte_for_byte) {
  const std::string id = id_with({"--keep-result", "1h"});
  std::string expected;
  for (int n = 1; n <= 30'000; ++n) expected += std::to_string(n) + '\n';
  expected += std::string("\0\377", 2);
  drain("seq 30000; printf '\\000\\377'");
  EXPECT_EQ(job(id)["attempts"], 1);
  EXPECT_FALSE(job(id).contains("result_cut"));
  EXPECT_TRUE(on_engine("wait", {id}).out == expected);
}

TEST_F(LifeCommand, of_what_a_dead_jobs_command_said_the_last_line_is_shown) {
  const std::string id = id_with({"--max-attempts", "1"});
  drain("seq 2000 >&2; echo FATAL: disk quota exceeded >&2; exit 1");
  ASSERT_TRUE(await([&] { return state_of(id) == "dead"; }));
  EXPECT_HAS(job(id)["last_error"].get<std::string>(), "FATAL: disk quota exceeded");
  EXPECT_HAS(on_engine("job", {id}).out, "FATAL: disk quota exceeded");
}

TEST_F(LifeCommand, enqueue_waits_for_the_result) {
  Command worker(words_for("work", {"--exec", "sed 's/^/got /'"}));
  const Ran ran = enqueue_with({"--payload", "it\n", "--wait", "--wait-timeout", "20s"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "got it\n");
}

TEST_F(LifeCommand, enqueue_that_waits_tells_of_death_and_of_time_that_is_over) {
  expect_error(enqueue_with({"--wait", "--wait-timeout", "10ms"}), 1, "not over yet");
  Command worker(words_for("work", {"--exec", "echo never >&2; exit 100"}));
  expect_error(enqueue_with({"--wait", "--wait-timeout", "20s"}), 1, "never");
}

TEST_F(LifeCommand, enqueue_waits_for_one_job_only) {
  expect_error(enqueue_with({"--wait", "--lines", "-"}), 2, "--wait is for one job");
  expect_error(enqueue_with({"--wait", "--quiet"}), 2, "not with --quiet");
  expect_error(enqueue_with({"--wait-timeout", "1s"}), 2, "--wait");
}

TEST_F(LifeCommand, a_second_job_of_a_unique_key_is_the_first_one) {
  const std::string id = id_with({"--unique", "order-17"});
  const Ran again = enqueue_with({"--unique", "order-17"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, id + "\n");
  EXPECT_HAS(again.err, "is there already: " + id);
  EXPECT_NE(id_with({"--unique", "order-18"}), id);
  drain("true");
  EXPECT_NE(id_with({"--unique", "order-17"}), id);
}

TEST_F(LifeCommand, a_unique_key_counts_for_its_window_after_the_end) {
  const std::string id = id_with({"--unique", "a", "--unique-for", "1h"});
  drain("true");
  EXPECT_EQ(enqueue_with({"--unique", "a"}).out, id + "\n");
}

TEST_F(LifeCommand, unique_words_that_are_off_are_usage_errors) {
  expect_error(enqueue_with({"--unique", ""}), 2, "empty");
  expect_error(enqueue_with({"--unique-for", "1s"}), 2, "--unique");
  expect_error(enqueue_with({"--unique", "a", "--lines", "-"}), 2, "--unique is for one job");
}

TEST_F(LifeCommand, the_keys_of_a_json_job_are_the_flags) {
  const std::string id = id_with({"--from-json", "-", "--max-attempts", "9"},
                                 R"({"kind":"k","at":"2100-01-01T00:00:00Z","backoff":"list:1s","expires":"3000d",)"
                                 R"("keep_result":"1h","on_worker_lost":"bury","max_attempts":3})");
  EXPECT_EQ(job(id)["max_attempts"], 3);
  EXPECT_EQ(job(id)["due_at"], "2100-01-01T00:00:00.000Z");
  EXPECT_EQ(job(id_with({"--from-json", "-", "--max-attempts", "9"}, R"({"kind":"k"})"))["max_attempts"], 9);
}

TEST_F(LifeCommand, keys_of_a_json_job_that_are_off_name_their_line) {
  const auto refused = [this](std::string_view line, std::string_view part) {
    const Ran ran = enqueue_with({"--from-json", "-"}, line);
    expect_error(ran, 2, part);
    EXPECT_HAS(ran.err, "line 1: ");
  };
  refused(R"({"kind":"k","delay":"x"})", "delay: x");
  refused(R"({"kind":"k","at":"x"})", "at is not a time");
  refused(R"({"kind":"k","delay":"1s","at":"2100-01-01T00:00:00Z"})", "not both");
  refused(R"({"kind":"k","max_attempts":-1})", "0 to 65535");
  refused(R"({"kind":"k","on_worker_lost":"cry"})", "retry or bury");
  refused(R"({"kind":"k","backoff":7})", "a string is expected");
}

TEST_F(LifeCommand, a_payload_has_less_room_beside_options_where_there_is_no_arena) {
  init({"--max-payload", "192"});
  const std::string payload(192, 'x');
  EXPECT_EQ(enqueue_with({"--payload", payload}).exit_code, 0);
  expect_error(enqueue_with({"--payload", payload, "--keep-result", "1h"}), 2, "192 bytes, at most 144");
}

TEST_F(LifeCommand, bury_ends_a_job_whose_worker_died) {
  const std::string id = id_with({"--on-worker-lost", "bury"});
  Command worker(words_for("work", {"--exec", "exec sleep 600"}));
  ASSERT_TRUE(await([&] { return !job(id)["started_at"].is_null(); }));
  worker.end_by(SIGKILL);
  EXPECT_HAS(explain(id), "which died");
  EXPECT_HAS(explain(id), "no keeper lives");
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return on_engine("dead", {"list"}).out.find("worker_lost") != std::string::npos; }));
  EXPECT_HAS(explain(id), "worker_lost after 1 attempt");
}

TEST_F(LifeCommand, job_explain_wait_and_the_letter_say_how_a_lost_worker_died) {
  const Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return status()["keeper"]["alive"] == true; }));
  const std::string id = id_with({"--max-attempts", "2"});
  Command worker(words_for("work", {"--exec", "exec sleep 600"}));
  const std::string how = "worker lost: process " + std::to_string(worker.pid()) + " was killed by signal 9 (SIGKILL)";
  ASSERT_TRUE(await([&] { return !job(id)["started_at"].is_null(); }));
  worker.end_by(SIGKILL);
  ASSERT_TRUE(await([&] { return state_of(id) == "queued"; }));
  EXPECT_EQ(job(id)["last_error"], how);
  Command next(words_for("work", {"--exec", "exec sleep 600"}));
  ASSERT_TRUE(await([&] { return state_of(id) == "running"; }));
  ASSERT_TRUE(await([&] { return !job(id)["started_at"].is_null(); }));
  const std::string last = "process " + std::to_string(next.pid()) + " was killed by signal 9 (SIGKILL)";
  next.end_by(SIGKILL);
  ASSERT_TRUE(await([&] { return on_engine("dead", {"list"}).out.find(id) != std::string::npos; }));
  EXPECT_HAS(on_engine("dead", {"show", id}).out, last);
  EXPECT_HAS(explain(id), last);
  EXPECT_HAS(on_engine("job", {id}).out, last);
  EXPECT_EQ(job(id)["cause"], "worker_lost");
  expect_error(on_engine("wait", {id}), 1, "is dead (worker_lost): worker lost: " + last);
}

TEST_F(LifeCommand, explain_counts_the_jobs_before_a_queued_one) {
  const std::string first = enqueue("a");
  enqueue("b");
  const std::string third = enqueue("c");
  EXPECT_HAS(explain(first), "no live worker takes kind greet at level default; it is first in its level");
  EXPECT_HAS(explain(third), "it is behind 2 others in its level");
  Command worker(words_for("work", {"--exec", "exec sleep 600", "--kind", "blue"}));
  Command busy(words_for("work", {"--exec", "exec sleep 600", "--kind", "greet"}));
  ASSERT_TRUE(await([&] { return state_of(first) == "running"; }));
  ASSERT_TRUE(await([&] { return !job(first)["started_at"].is_null(); }));
  const std::string last = enqueue("d");
  EXPECT_HAS(explain(last), "1 live worker thread takes its kind and level");
  const std::string running = explain(first);
  EXPECT_HAS(running, "runs on participant ");
  EXPECT_HAS(running, "(process " + std::to_string(busy.pid()) + ") since 20");
}

TEST_F(LifeCommand, explain_and_wait_know_a_job_that_left_nothing_and_none_that_never_was) {
  const std::string id = enqueue("x");
  drain("true");
  EXPECT_HAS(explain(id), "is over, and nothing was kept of it");
  EXPECT_EQ(on_engine("wait", {id}).exit_code, 0);
  for (const char* command : {"explain", "wait"}) {
    expect_error(on_engine(command, {"0123456789abcdef"}), 1, "no such job");
    expect_error(on_engine(command, {"xyz"}), 2, "16 lower-case hexadecimal digits");
  }
}

TEST_F(LifeCommand, job_wait_and_explain_say_that_a_result_was_evicted) {
  ASSERT_EQ(init({"--capacity", "256", "--results", "1"}).exit_code, 0);
  const std::string first = id_with({"--keep-result", "1h"});
  drain("echo first");
  id_with({"--keep-result", "1h"});
  drain("echo second");
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([&] { return state_of(first) == "ended"; }));
  EXPECT_EQ(job(first)["evicted"], true);
  EXPECT_TRUE(job(first)["ended_at"].is_string());
  EXPECT_HAS(on_engine("job", {first}).out, "result        it went before its time, because others needed the room");
  const Ran waited = on_engine("wait", {first});
  EXPECT_EQ(waited.exit_code, 0);
  EXPECT_EQ(waited.out, "");
  EXPECT_HAS(waited.err, "it went before its time, because others needed the room");
  EXPECT_HAS(explain(first), "ended at 20");
}

TEST_F(LifeCommand, explain_says_which_bound_refuses_jobs_of_a_level) {
  ASSERT_EQ(on_engine("level", {"set", "low", "--most", "1"}).exit_code, 0);
  EXPECT_HAS(on_engine("explain", {"--level", "low"}).out, "level low takes jobs: ");
  enqueue("x", "greet", "low");
  EXPECT_HAS(on_engine("explain", {"--level", "low"}).out,
             "level low refuses jobs: level low is full: it holds about 1 jobs in whatever state, kept results "
             "included, and may hold 1 (--most)");
  expect_error(on_engine("explain", {"--level", "nix"}), 1, "no such level");
  expect_error(on_engine("explain", {}), 2, "either the ID of a job or --level NAME");
}

TEST_F(LifeCommand, a_cancelled_job_that_is_kept_says_so) {
  const std::string id = id_with({"--keep-result", "1h", "--delay", "1h"});
  const Ran ran = on_engine("cancel", {id});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "cancelled before it began\n");
  EXPECT_HAS(explain(id), "was cancelled");
  expect_error(on_engine("wait", {id}), 1, "was cancelled");
}

TEST_F(LifeCommand, a_dead_letter_is_retried_and_exported_with_what_its_job_asked_for) {
  id_with({"--max-attempts", "1", "--on-worker-lost", "bury", "--backoff", "fixed:1h", "--keep-result", "2h"});
  Command worker(words_for("work", {"--exec", "exit 75"}));
  ASSERT_TRUE(await([&] { return on_engine("dead", {"list"}).out.find("failed") != std::string::npos; }));
  worker.end_by(SIGTERM);
  const auto line = on_engine("dead", {"export", "--all"}).json();
  EXPECT_EQ(line["max_attempts"], 1);
  EXPECT_EQ(line["backoff"], "fixed:1h");
  EXPECT_EQ(line["keep_result"], "2h");
  EXPECT_EQ(line["on_worker_lost"], "bury");
  const std::string copy = id_with({"--from-json", "-"}, line.dump() + "\n");
  EXPECT_EQ(job(copy)["max_attempts"], 1);
  const std::string id = on_engine("dead", {"retry", "--all", "--json"}).json()["retried_as"];
  EXPECT_EQ(job(id)["max_attempts"], 1);
  drain("echo well");
  EXPECT_EQ(job(id)["state"], "completed");
}

}  // namespace
}  // namespace ringmill::test
