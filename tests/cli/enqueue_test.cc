// ringmill enqueue.
#include <fstream>
#include <set>

#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class EnqueueCommand : public CommandLine {
 protected:
  std::vector<std::string> payloads() {
    std::vector<std::string> payloads;
    for (const auto& job : on_engine("dump", {"--json", "--payload"}).json_lines()) payloads.push_back(job["payload"]);
    return payloads;
  }
  static std::size_t distinct(const std::vector<std::string>& words) {
    return std::set<std::string>(words.begin(), words.end()).size();
  }
  std::string input_file(std::string_view text) {
    const std::filesystem::path file = folder_.path() / "input";
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  ScratchFolder folder_;
};

TEST_F(EnqueueCommand, prints_the_id_of_the_job) {
  const Ran ran = on_engine("enqueue", {"--kind", "greet", "--payload", "world"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.err, "");
  ASSERT_EQ(ran.lines().size(), 1U);
  EXPECT_TRUE(JobId::parse(ran.lines()[0])) << ran.out;
  EXPECT_EQ(state_of(ran.lines()[0]), "queued");
}

TEST_F(EnqueueCommand, takes_any_text_as_it_is) {
  for (const std::string payload : {"{}", "[1,2]", "", "a,b", "--quiet", "\"quoted\"", "%%", "line\nline"}) {
    ASSERT_EQ(on_engine("enqueue", {"--kind", "k", "--payload", payload}).exit_code, 0) << payload;
    EXPECT_EQ(payloads().back(), payload);
  }
}

TEST_F(EnqueueCommand, without_a_payload_the_payload_is_empty) {
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k"}).exit_code, 0);
  EXPECT_EQ(payloads(), std::vector<std::string>{""});
}

TEST_F(EnqueueCommand, makes_a_job_of_each_line) {
  const Ran ran = on_engine("enqueue", {"--kind", "k", "--lines", "-"}, "one\n\nthree");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(distinct(ran.lines()), 3U) << ran.out;
  EXPECT_EQ(payloads(), (std::vector<std::string>{"one", "", "three"}));
}

TEST_F(EnqueueCommand, more_lines_than_a_batch_all_go_in) {
  std::string lines;
  for (int n = 0; n < 200; ++n) lines += "payload " + std::to_string(n) + "\n";
  const Ran ran = on_engine("enqueue", {"--kind", "k", "--lines", input_file(lines), "--quiet"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "200\n");
  EXPECT_EQ(distinct(payloads()), 200U);
}

TEST_F(EnqueueCommand, takes_a_files_bytes) {
  const std::string bytes("a\0b\xff\n", 5);
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--payload-file", input_file(bytes)}).exit_code, 0);
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--payload-file", "-"}, "from stdin\n").exit_code, 0);
  const auto jobs = on_engine("dump", {"--json", "--payload"}).json_lines();
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0]["payload_base64"], "YQBi/wo=");
  EXPECT_EQ(jobs[1]["payload"], "from stdin\n");
}

TEST_F(EnqueueCommand, reads_jobs_from_json_lines) {
  const Ran ran = on_engine("enqueue", {"--from-json", "-", "--kind", "fallback"},
                            R"({"kind":"mail","level":"high","payload":{"to":"a@b.c"},"timeout":"30s"}
{"payload":"text"}
{"payload_base64":"YQBi"}
)");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.lines().size(), 3U);
  const auto jobs = on_engine("dump", {"--json", "--payload"}).json_lines();
  ASSERT_EQ(jobs.size(), 3U);
  EXPECT_EQ(jobs[0]["kind"], "mail");
  EXPECT_EQ(jobs[0]["level"], "high");
  EXPECT_EQ(jobs[0]["payload"], R"({"to":"a@b.c"})");
  EXPECT_EQ(jobs[1]["kind"], "fallback");
  EXPECT_EQ(jobs[1]["level"], "default");
  EXPECT_EQ(jobs[1]["payload"], "text");
  EXPECT_EQ(jobs[2]["payload"], std::string("a\0b", 3));
}

TEST_F(EnqueueCommand, a_bad_json_line_is_named_and_those_before_it_went_in) {
  for (const char* bad : {"nonsense", "[1]", R"({"payload":"x","delays":"1s"})", R"({"level":"nowhere"})",
                          R"({"timeout":"soon"})", R"({"payload_base64":"!"})", R"({"kind":7})", R"({"kind":"a b"})"}) {
    const Ran ran =
        on_engine("enqueue", {"--from-json", "-", "--kind", "k"}, "{\"payload\":\"fine\"}\n" + std::string(bad) + "\n");
    EXPECT_EQ(ran.exit_code, 2) << bad;
    EXPECT_EQ(ran.lines().size(), 1U) << bad;
    EXPECT_NE(ran.err.find("line 2: "), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("went in: 1"), std::string::npos) << ran.err;
  }
}

TEST_F(EnqueueCommand, a_payload_that_does_not_fit_is_refused) {
  init({"--max-payload", "192"});
  expect_error(on_engine("enqueue", {"--kind", "k", "--payload", std::string(193, 'x')}), 2, "--max-payload");
  expect_error(on_engine("enqueue", {"--kind", "k", "--payload-file", input_file(std::string(100'000, 'x'))}), 2,
               "--max-payload");
  expect_error(on_engine("enqueue", {"--kind", "k", "--lines", "-"}, std::string(100'000, 'x')), 2, "line 1: ");
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--payload", std::string(192, 'x')}).exit_code, 0);
}

TEST_F(EnqueueCommand, a_full_engine_answers_no_and_says_how_many_went_in) {
  std::string lines;
  for (int n = 0; n < 300; ++n) lines += "x\n";
  const Ran ran = on_engine("enqueue", {"--kind", "k", "--lines", "-", "--quiet", "--wait-for-room", "50ms"}, lines);
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.out, "256\n");
  EXPECT_NE(ran.err.find("went in: 256"), std::string::npos) << ran.err;
  expect_error(on_engine("enqueue", {"--kind", "k", "--wait-for-room", "0s"}), 1, "full");
}

TEST_F(EnqueueCommand, waits_for_room_until_a_worker_makes_some) {
  ASSERT_EQ(on_engine("enqueue", {"--kind", "k", "--lines", "-"}, std::string(512, '\n').substr(256)).exit_code, 0);
  ASSERT_EQ(status()["memory"]["cells_free"], 0);
  Command waiting(words_for("enqueue", {"--kind", "late"}));
  ASSERT_TRUE(await([&] { return status()["participants"].size() == 2; }));  // it, and its keeper
  EXPECT_EQ(on_engine("work", {"--exec", "true", "--kind", "k", "--drain"}).exit_code, 0);
  EXPECT_EQ(waiting.end().exit_code, 0);
}

TEST_F(EnqueueCommand, words_that_are_off_are_usage_errors) {
  expect_error(on_engine("enqueue", {"--payload", "x"}), 2, "--kind");
  expect_error(on_engine("enqueue", {"--kind", "a b"}), 2, "kind");
  expect_error(on_engine("enqueue", {"--kind", "k", "--level", "nowhere"}), 2, "this engine has high, default, low");
  expect_error(on_engine("enqueue", {"--kind", "k", "--payload", "x", "--lines", "-"}), 2, "--help");
  expect_error(on_engine("enqueue", {"--kind", "k", "--timeout", "5"}), 2, "duration");
  expect_error(on_engine("enqueue", {"--kind", "k", "--payload-file", "/nowhere/at/all"}), 2, "/nowhere/at/all");
}

TEST_F(EnqueueCommand, takes_each_durability_and_no_other_word) {
  for (const char* durability : {"memory", "journaled", "durable"}) {
    EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--durability", durability}).exit_code, 0) << durability;
  }
  expect_error(on_engine("enqueue", {"--kind", "k", "--durability", "eternal"}), 2, "durability");
}

TEST_F(EnqueueCommand, without_a_level_named_default_the_only_level_is_meant) {
  init({"--levels", "main"});
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k"}).exit_code, 0);
  init({"--levels", "first,second"});
  expect_error(on_engine("enqueue", {"--kind", "k"}), 2, "first, second");
}

TEST_F(EnqueueCommand, a_json_payload_is_enqueued_as_its_text_stands_in_the_line) {
  const std::vector<std::string> values{R"({"order":12345678901234567890123,"price":1.10})",
                                        "18446744073709551616",
                                        "0.10",
                                        "1e2",
                                        "1E+400",
                                        "-0",
                                        R"({"a":1,"a":2})",
                                        R"([ 1,	2 ,{ "b" : null } ])",
                                        "true",
                                        "[]",
                                        R"({"\u0061":"\ud800"})"};
  std::string lines;
  for (const std::string& value : values) lines += "{ \"payload\" :  " + value + "  , \"level\":\"low\"}\n";
  const Ran ran = on_engine("enqueue", {"--from-json", "-", "--kind", "k", "--quiet"}, lines);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(payloads(), values);
}

TEST_F(EnqueueCommand, a_json_string_is_enqueued_as_its_characters) {
  const Ran ran = on_engine("enqueue", {"--from-json", "-", "--kind", "k"}, "{\"payload\":\"a\\n\\u00e9\\\"\"}\n");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(payloads(), std::vector<std::string>{"a\n\u00e9\""});
}

TEST_F(EnqueueCommand, json_that_is_nested_too_deep_is_refused_and_ends_nothing) {
  const auto nested = [](std::size_t levels) {
    return "{\"kind\":\"k\",\"payload\":" + std::string(levels, '[') + std::string(levels, ']') + "}\n";
  };
  expect_error(on_engine("enqueue", {"--from-json", "-"}, nested(100'000)), 2, "nested deeper than 1000 levels");
  expect_error(on_engine("enqueue", {"--from-json", "-"}, nested(1000)), 2, "nested deeper");
  expect_error(on_engine("enqueue", {"--from-json", "-"}, "{\"kind\":\"k\",\"dead\":" + std::string(100'000, '[')), 2,
               "line 1");
  const Ran deepest = on_engine("enqueue", {"--from-json", "-", "--quiet"}, nested(999));
  EXPECT_EQ(deepest.exit_code, 0) << deepest.err;
  EXPECT_EQ(payloads().at(0), std::string(999, '[') + std::string(999, ']'));
}

TEST_F(EnqueueCommand, what_is_no_json_is_refused_with_its_place) {
  for (const std::string bad :
       {R"({"payload":01})", R"({"payload":1.})", R"({"payload":.5})", R"({"payload":+1})", R"({"payload":1e})",
        R"({"payload":nul})", R"({"payload":[1,]})", R"({"payload":{"a"}})", R"({"payload":{"a":1,}})",
        R"({"payload":"\x41"})", R"({"payload":"\u12"})", R"({"payload":[}]})", R"({"payload":1} {})",
        R"({"payload":1)", R"({"payload"})", R"({,})", "{\"payload\":[\"\t\"]}", "{\"payload\":[\"\xff\"]}",
        R"({"payload":'a'})"}) {
    expect_error(on_engine("enqueue", {"--from-json", "-", "--kind", "k"}, bad + "\n"), 2, "not a JSON object");
  }
  expect_error(on_engine("enqueue", {"--from-json", "-"}, R"({"kind":"a","kind":"b"})"), 2, "a key stands twice");
  expect_error(on_engine("enqueue", {"--from-json", "-", "--kind", "k"}, R"({"payload":"\ud800"})"), 2, "no Unicode");
  EXPECT_TRUE(payloads().empty());
}

TEST_F(EnqueueCommand, a_refused_job_takes_no_name_of_a_kind_or_policy) {
  const auto names = [this] { return status()["names"]; };
  const auto before = names();
  init({"--max-payload", "192"});
  ASSERT_EQ(names(), before);
  const std::vector<std::vector<std::string>> refused{{"--level", "nosuch"},
                                                      {"--payload", std::string(193, 'x')},
                                                      {"--keep-result", "9999d"},
                                                      {"--after", "nonsense"},
                                                      {"--backoff", "never"}};
  for (std::vector<std::string> words : refused) {
    words.insert(words.end(), {"--kind", "typo7"});
    if (words[0] != "--backoff") words.insert(words.end(), {"--backoff", "fixed:77ms"});
    EXPECT_EQ(on_engine("enqueue", words).exit_code, 2) << words[0];
    EXPECT_EQ(names(), before) << words[0];
  }
  EXPECT_EQ(on_engine("enqueue", {"--kind", "a b", "--backoff", "fixed:77ms"}).exit_code, 2);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(on_engine("enqueue", {"--kind", "typo7", "--backoff", "fixed:77ms"}).exit_code, 0);
  EXPECT_EQ(names()["kinds"], before["kinds"].get<int>() + 1);
  EXPECT_EQ(names()["retry_policies"], before["retry_policies"].get<int>() + 1);
  EXPECT_EQ(names()["kinds_limit"], 1024);
}

TEST_F(EnqueueCommand, taking_back_rules_that_are_not_there_takes_no_name_of_a_kind) {
  const auto before = status()["names"];
  EXPECT_EQ(on_engine("resume", {"--kind", "typo"}).exit_code, 0);
  EXPECT_EQ(on_engine("limit", {"--kind", "typo", "--off"}).exit_code, 0);
  EXPECT_EQ(on_engine("limit", {"--kind", "typo", "--burst", "3"}).exit_code, 2);
  EXPECT_EQ(status()["names"], before);
}

TEST_F(EnqueueCommand, one_that_declines_to_keep_never_keeps) {
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--payload", "x", "--no-keeper"}).exit_code, 0);
  EXPECT_TRUE(status()["keeper"]["pid"].is_null());
}

TEST_F(EnqueueCommand, a_caller_that_waits_for_its_job_holds_no_entry) {
  Command keeper(words_for("keeper", {"--foreground"}));
  ASSERT_TRUE(await([this] { return !status()["keeper"]["pid"].is_null(); }));
  Command waiting(words_for("enqueue", {"--kind", "rpc", "--payload", "question", "--wait", "--wait-timeout", "60s"}));
  ASSERT_TRUE(await([this] { return status()["levels"][1]["queued"] == 1; }));
  const auto producers = [this] {
    int count = 0;
    const auto told = status();
    for (const auto& participant : told["participants"]) count += participant["role"] == "producer" ? 1 : 0;
    return count;
  };
  EXPECT_TRUE(await([&] { return producers() == 0; }));
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).exit_code, 0);
  EXPECT_EQ(waiting.end().out, "question");
  keeper.end_by(SIGTERM);
}

TEST_F(EnqueueCommand, a_wait_longer_than_results_are_kept_is_no_error) {
  Command waiting(words_for("enqueue", {"--kind", "rpc", "--payload", "q", "--wait", "--wait-timeout", "106751d"}));
  ASSERT_TRUE(await([this] { return status()["levels"][1]["queued"] == 1; }));
  EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).exit_code, 0);
  EXPECT_EQ(waiting.end().out, "q");
}

}  // namespace
}  // namespace ringmill::test
