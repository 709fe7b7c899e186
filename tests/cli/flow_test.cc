// ringmill pause, resume and limit, and what explain and status say of them.
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

using Words = std::vector<std::string>;

class FlowCommand : public CommandLine {
 protected:
  void done(const std::string& command, const Words& more) {
    const Ran ran = on_engine(command, more);
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    EXPECT_EQ(ran.lines().size(), 1U) << ran.out;
  }
  std::string explain(const std::string& id) { return on_engine("explain", {id}).out; }
  Ran drain(const Words& more = {}) {
    Words words{"--exec", "cat > /dev/null", "--drain"};
    words.insert(words.end(), more.begin(), more.end());
    return on_engine("work", words);
  }
  std::vector<nlohmann::ordered_json> limits() { return on_engine("limit", {"--json"}).json_lines(); }
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(FlowCommand, a_paused_level_keeps_its_jobs_and_says_so) {
  done("pause", {"--level", "low"});
  const std::string held = enqueue("a", "greet", "low");
  const std::string free = enqueue("b");
  EXPECT_EQ(drain().exit_code, 0);
  EXPECT_EQ(state_of(held), "queued");
  EXPECT_EQ(state_of(free), "ended");
  EXPECT_EQ(status()["levels"][2]["paused"], true);
  EXPECT_TRUE(status()["levels"][2]["paused_since"].is_string());
  EXPECT_HAS(explain(held), " is queued, and is paused: level low is, since 20");
  EXPECT_HAS(on_engine("status").out, "level low is paused since 20");
  done("resume", {"--level", "low"});
  EXPECT_EQ(drain().exit_code, 0);
  EXPECT_EQ(state_of(held), "ended");
  EXPECT_EQ(status()["levels"][2]["paused"], false);
}

TEST_F(FlowCommand, a_paused_kind_holds_no_other_jobs_up_and_goes_on_later) {
  done("pause", {"--kind", "mail"});
  const std::string held = enqueue("a", "mail");
  const std::string free = enqueue("b");
  EXPECT_HAS(explain(held), " is queued, and is paused: kind mail is, since 20");
  EXPECT_EQ(drain().exit_code, 0);
  EXPECT_EQ(state_of(held), "queued");
  EXPECT_EQ(state_of(free), "ended");
  EXPECT_HAS(explain(held), " is queued, and is paused: kind mail is, since 20");
  EXPECT_EQ(on_engine("dump", {"--check"}).exit_code, 0);
  EXPECT_EQ(on_engine("dump", {"--state", "queued", "--json"}).json_lines().size(), 1U);
  done("resume", {"--kind", "mail"});
  EXPECT_EQ(drain().exit_code, 0);
  EXPECT_EQ(state_of(held), "ended");
  EXPECT_TRUE(limits().empty());
}

TEST_F(FlowCommand, a_limited_job_says_what_it_waits_for) {
  done("limit", {"--kind", "mail", "--rate", "1/h"});
  enqueue("a", "mail");
  const std::string second = enqueue("b", "mail");
  Command worker(words_for("work", {"--exec", "cat > /dev/null"}));
  EXPECT_TRUE(await([&] { return explain(second).find("is limited") != std::string::npos; }));
  EXPECT_HAS(explain(second), " is queued, and is limited: 1 of kind mail may begin in 1h, and 1 wait for their turn");
  ASSERT_EQ(limits().size(), 1U);
  EXPECT_EQ(limits()[0]["waiting"], 1);
  EXPECT_EQ(limits()[0]["rate"]["count"], 1);
  done("limit", {"--kind", "mail", "--off"});
  EXPECT_TRUE(await([&] { return state_of(second) == "ended"; }));
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
}

TEST_F(FlowCommand, a_job_behind_a_concurrency_limit_says_how_many_run) {
  done("limit", {"--kind", "slow", "--concurrency", "1"});
  enqueue("a", "slow");
  const std::string second = enqueue("b", "slow");
  Command worker(words_for("work", {"--exec", "sleep 1000", "--concurrency", "2"}));
  EXPECT_TRUE(await([&] { return explain(second).find("is limited") != std::string::npos; }));
  EXPECT_HAS(explain(second), " is queued, and is limited: 1 of kind slow may run at a time, 1 do, and 1 wait");
  EXPECT_HAS(on_engine("limit").out, "slow");
  EXPECT_HAS(on_engine("status").out, "kind slow is limited: 1 queued, 1 running");
}

TEST_F(FlowCommand, draining_waits_for_what_is_limited) {
  done("limit", {"--kind", "mail", "--rate", "1/50ms"});
  std::vector<std::string> ids;
  for (int n = 0; n < 6; ++n) ids.push_back(enqueue("a", "mail"));
  EXPECT_EQ(drain({"--kind", "mail"}).exit_code, 0);
  for (const std::string& id : ids) EXPECT_EQ(state_of(id), "ended");
}

TEST_F(FlowCommand, what_is_not_named_stays_as_it_is) {
  done("limit", {"--kind", "mail", "--rate", "10/s", "--burst", "20"});
  done("limit", {"--kind", "mail", "--concurrency", "3"});
  const auto line = limits().at(0);
  EXPECT_EQ(keys_of(line),
            (Words{"kind", "paused", "paused_since", "rate", "burst", "concurrency", "queued", "waiting", "running"}));
  EXPECT_EQ(line["rate"]["period_us"], 1'000'000);
  EXPECT_EQ(line["burst"], 20);
  EXPECT_EQ(line["concurrency"], 3);
  done("limit", {"--kind", "mail", "--off", "--concurrency", "2"});
  EXPECT_EQ(limits().at(0)["rate"], nullptr);
  EXPECT_EQ(limits().at(0)["concurrency"], 2);
}

TEST_F(FlowCommand, words_that_make_no_sense_are_usage_errors) {
  expect_error(on_engine("pause"), 2, "ringmill pause --help");
  expect_error(on_engine("pause", {"--kind", "a", "--level", "low"}), 2, "ringmill pause --help");
  expect_error(on_engine("pause", {"--level", "lower"}), 1, "no such level");
  expect_error(on_engine("limit", {"--rate", "1/s"}), 2, "--kind");
  expect_error(on_engine("limit", {"--kind", "a"}), 2, "--rate");
  expect_error(on_engine("limit", {"--kind", "a", "--burst", "3"}), 2, "give --rate as well");
  for (const char* rate : {"10", "10/", "/s", "0/s", "10/10", "ten/s", "-1/s"}) {
    expect_error(on_engine("limit", {"--kind", "a", "--rate", rate}), 2, "is not a rate like");
  }
  expect_error(on_engine("limit", {"--kind", "a", "--concurrency", "1025"}), 2, "--concurrency");
}

}  // namespace
}  // namespace ringmill::test
