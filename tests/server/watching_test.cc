// Conditions and alerts: what is raised, when, and when it is cleared; by a fake clock.
#include "server/watching.h"

#include <gtest/gtest.h>

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Event = Alert::Event;

Condition condition(const char* text) {
  auto parsed = Condition::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Condition();
}

Look look_with_levels() {
  Look look;
  look.seconds = 1;
  look.now.capacity = 200;
  LevelStatistics high;
  high.name = "high";
  high.depth = 90;
  high.running = 10;
  high.oldest = 45s;
  LevelStatistics low;
  low.name = "low";
  low.depth = 50;
  low.paused = true;
  low.oldest = 9'000s;
  low.paused_since = look.now.at - 2h;
  look.now.levels = {high, low};
  look.levels.resize(2);
  look.levels[0].in_per_s = 7;
  look.levels[0].out_per_s = 5;
  KindStatistics mail;
  mail.name = "mail";
  look.now.kinds = {mail};
  look.kinds.push_back({.started_per_s = 8, .completed_per_s = 6, .failed_per_s = 2, .run = std::nullopt});
  ParticipantStatistics worker;
  worker.role = "worker";
  worker.alive = true;
  look.now.participants = {worker};
  look.now.keeper.alive = true;
  look.now.keeper.last_turn_ago = 3s;
  look.now.totals.worker_lost = 4;
  look.now.journal.durable_lag = 1'500ms;
  look.dead_letters = DeadLetterCount{.count = 11, .bytes = 0, .limit = 0, .dropped = 2};
  return look;
}

TEST(ConditionInProcess, each_number_is_read_from_a_look) {
  const Look look = look_with_levels();
  const std::pair<const char*, double> values[] = {{"oldest(high) > 30s", 45}, {"oldest > 30s", 45},
                                                   {"depth > 1", 140},         {"depth(low) > 1", 50},
                                                   {"running > 1", 10},        {"in > 1", 7},
                                                   {"out(high) < 1", 5},       {"paused(low) > 1h", 7'200},
                                                   {"failures > 50%", 25},     {"failures(mail) > 5%", 25},
                                                   {"dead > 10", 11},          {"dropped > 0", 2},
                                                   {"workers < 1", 1},         {"keepers < 1", 1},
                                                   {"keeper_age > 1s", 3},     {"lost > 1", 4},
                                                   {"lag > 1s", 1.5},          {"journal_failed > 0", 0},
                                                   {"full > 90%", 75},         {"  dead>10 ", 11}};
  for (const auto& [text, value] : values) {
    EXPECT_DOUBLE_EQ(condition(text).value_at(look).value_or(-1), value) << text;
  }
}

TEST(ConditionInProcess, what_is_not_there_is_unknown) {
  Look look = look_with_levels();
  EXPECT_EQ(condition("oldest(none) > 1s").value_at(look), std::nullopt);
  EXPECT_EQ(condition("failures(none) > 1%").value_at(look), std::nullopt);
  EXPECT_EQ(condition("run_p99 > 1s").value_at(look), std::nullopt);
  look.dead_letters.reset();
  EXPECT_EQ(condition("dead > 1").value_at(look), std::nullopt);
  look.seconds = 0;
  EXPECT_EQ(condition("out < 1").value_at(look), std::nullopt);
}

TEST(ConditionInProcess, anything_else_is_refused_with_the_reason) {
  for (const char* text : {"", "dead", "dead = 3", "dead > ", "dead > many", "dead > -1", "dead(x) > 1", "none > 1",
                           "oldest > 30", "oldest(high > 3s", "oldest() > 3s", "failures > 5", "full > 5s", "> 1",
                           "dead > nan", "dead > 1e30", "oldest(high) > 30s; rm -rf /"}) {
    const auto parsed = Condition::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(AlertInProcess, it_is_raised_once_when_it_holds_for_the_time_without_a_break) {
  Alert alert(condition("oldest > 60s"), 1min, 0ns);
  const Alert::Time begin{};
  EXPECT_EQ(alert.update(begin, 61), Event::none);
  EXPECT_EQ(alert.update(begin + 40s, 62), Event::none);
  EXPECT_EQ(alert.update(begin + 50s, 59), Event::none);  // a break
  EXPECT_EQ(alert.update(begin + 60s, 70), Event::none);
  EXPECT_EQ(alert.update(begin + 119s, 70), Event::none);
  EXPECT_EQ(alert.update(begin + 120s, 70), Event::raised);
  EXPECT_EQ(alert.update(begin + 10h, 999), Event::none);
  EXPECT_TRUE(alert.is_raised());
}

TEST(AlertInProcess, it_is_cleared_when_the_value_is_clearly_back_and_raised_again_then) {
  Alert alert(condition("oldest > 60s"), 0ns, 0ns);
  const Alert::Time now{};
  EXPECT_EQ(alert.update(now, 61), Event::raised);
  EXPECT_EQ(alert.update(now, 59), Event::none);
  EXPECT_EQ(alert.update(now, 46), Event::none);
  EXPECT_EQ(alert.update(now, 45), Event::cleared);
  EXPECT_EQ(alert.update(now, 61), Event::raised);
  Alert below(condition("full < 20%"), 0ns, 0ns);
  EXPECT_EQ(below.update(now, 10), Event::raised);
  EXPECT_EQ(below.update(now, 24), Event::none);
  EXPECT_EQ(below.update(now, 25), Event::cleared);
}

TEST(AlertInProcess, small_counts_have_no_margin) {
  Alert alert(condition("workers < 1"), 0ns, 0ns);
  EXPECT_EQ(alert.update({}, 0), Event::raised);
  EXPECT_EQ(alert.update({}, 1), Event::cleared);
  Alert dead(condition("dead > 0"), 0ns, 0ns);
  EXPECT_EQ(dead.update({}, 1), Event::raised);
  EXPECT_EQ(dead.update({}, 0), Event::cleared);
}

TEST(AlertInProcess, an_unknown_value_neither_raises_nor_clears) {
  Alert alert(condition("dead > 0"), 10s, 0ns);
  const Alert::Time begin{};
  EXPECT_EQ(alert.update(begin, 1), Event::none);
  EXPECT_EQ(alert.update(begin + 5s, std::nullopt), Event::none);
  EXPECT_EQ(alert.update(begin + 11s, 1), Event::none);  // the time began anew
  EXPECT_EQ(alert.update(begin + 21s, 1), Event::raised);
  EXPECT_EQ(alert.update(begin + 22s, std::nullopt), Event::none);
  EXPECT_TRUE(alert.is_raised());
}

TEST(AlertInProcess, it_is_repeated_as_often_as_was_asked) {
  Alert alert(condition("dead > 0"), 0ns, 1h);
  const Alert::Time begin{};
  EXPECT_EQ(alert.update(begin, 1), Event::raised);
  EXPECT_EQ(alert.update(begin + 59min, 1), Event::none);
  EXPECT_EQ(alert.update(begin + 60min, 1), Event::repeated);
  EXPECT_EQ(alert.update(begin + 61min, 1), Event::none);
}

}  // namespace
}  // namespace ringmill::test
