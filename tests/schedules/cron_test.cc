// Cron expressions: what they say, and when it is time.
#include "core/schedules/cron.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

/// The first ticks after an instant.
std::vector<sys_seconds> ticks(const char* expression, const char* zone, sys_seconds after, std::size_t count) {
  const Cron cron = must(Cron::parse(expression));
  const Zone clocks = must(Zone::load(zone));
  std::vector<sys_seconds> found;
  for (auto tick = cron.next_after(after, clocks); tick && found.size() < count;
       tick = cron.next_after(*tick, clocks)) {
    found.push_back(floor<seconds>(*tick));
  }
  return found;
}

using Ticks = std::vector<sys_seconds>;
constexpr sys_days monday = 2026y / June / 1;

TEST(CronInProcess, fields_are_values_ranges_steps_and_lists) {
  EXPECT_EQ(ticks("30 4 * * *", "UTC", monday, 2), (Ticks{monday + 4h + 30min, monday + 28h + 30min}));
  EXPECT_EQ(ticks("*/20 * * * *", "UTC", monday, 3), (Ticks{monday + 20min, monday + 40min, monday + 1h}));
  EXPECT_EQ(ticks("10-30/10 0 * * *", "UTC", monday, 3), (Ticks{monday + 10min, monday + 20min, monday + 30min}));
  EXPECT_EQ(ticks("5,1-2,5 0 * * *", "UTC", monday, 3), (Ticks{monday + 1min, monday + 2min, monday + 5min}));
  EXPECT_EQ(ticks("0 0 1 */6 *", "UTC", monday, 2), (Ticks{sys_days(2026y / July / 1), sys_days(2027y / January / 1)}));
  EXPECT_EQ(ticks("  0\t12   * * *  ", "UTC", monday, 1), (Ticks{monday + 12h}));
}

TEST(CronInProcess, months_and_weekdays_have_names_and_sunday_two_numbers) {
  const sys_days sunday = 2026y / June / 7;
  for (const char* expression : {"0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN", "0 0 * JUN-aug Sun"}) {
    EXPECT_EQ(ticks(expression, "UTC", monday, 2), (Ticks{sunday, sunday + days(7)})) << expression;
  }
  for (const char* expression : {"0 0 * * fri-sun", "0 0 * * 5-7", "0 0 * * 0,5,6"}) {
    EXPECT_EQ(ticks(expression, "UTC", monday, 3), (Ticks{sunday - days(2), sunday - days(1), sunday})) << expression;
  }
}

TEST(CronInProcess, either_of_two_days_is_enough_unless_one_is_a_star) {
  EXPECT_EQ(ticks("0 0 13 * fri", "UTC", monday, 4), (Ticks{sys_days(2026y / June / 5), sys_days(2026y / June / 12),
                                                            sys_days(2026y / June / 13), sys_days(2026y / June / 19)}));
  EXPECT_EQ(ticks("0 0 13 * *", "UTC", monday, 1), (Ticks{sys_days(2026y / June / 13)}));
  EXPECT_EQ(ticks("0 0 * * fri", "UTC", monday, 1), (Ticks{sys_days(2026y / June / 5)}));
  // With a step it still begins with a star: odd days that are Fridays.
  EXPECT_EQ(ticks("0 0 */2 * fri", "UTC", monday, 2), (Ticks{sys_days(2026y / June / 5), sys_days(2026y / June / 19)}));
}

TEST(CronInProcess, nicknames_are_what_they_are_everywhere) {
  EXPECT_EQ(ticks("@hourly", "UTC", monday, 1), (Ticks{monday + 1h}));
  EXPECT_EQ(ticks("@daily", "UTC", monday, 1), (Ticks{monday + 24h}));
  EXPECT_EQ(ticks("@midnight", "UTC", monday, 1), (Ticks{monday + 24h}));
  EXPECT_EQ(ticks("@weekly", "UTC", monday, 1), (Ticks{sys_days(2026y / June / 7)}));
  EXPECT_EQ(ticks("@monthly", "UTC", monday, 1), (Ticks{sys_days(2026y / July / 1)}));
  EXPECT_EQ(ticks("@yearly", "UTC", monday, 1), (Ticks{sys_days(2027y / January / 1)}));
  EXPECT_EQ(ticks("@Annually", "UTC", monday, 1), (Ticks{sys_days(2027y / January / 1)}));
}

TEST(CronInProcess, a_tick_lies_strictly_behind) {
  const Cron cron = must(Cron::parse("0 12 * * *"));
  EXPECT_EQ(cron.next_after(monday + 12h - 1ns, Zone()), monday + 12h);
  EXPECT_EQ(cron.next_after(monday + 12h, Zone()), monday + 36h);
  EXPECT_EQ(cron.next_after(monday + 12h + 1ns, Zone()), monday + 36h);
}

TEST(CronInProcess, leap_days_are_found_across_a_century_without_one) {
  EXPECT_EQ(ticks("0 0 29 2 *", "UTC", monday, 2),
            (Ticks{sys_days(2028y / February / 29), sys_days(2032y / February / 29)}));
  EXPECT_EQ(ticks("0 0 29 2 *", "UTC", sys_days(2096y / March / 1), 1), (Ticks{sys_days(2104y / February / 29)}));
}

TEST(CronInProcess, behind_the_end_of_the_clock_there_is_no_tick) {
  const Cron cron = must(Cron::parse("0 0 1 1 *"));
  EXPECT_EQ(cron.next_after(system_clock::time_point::max(), Zone()), std::nullopt);
  EXPECT_EQ(cron.next_after(sys_days(2262y / January / 2), must(Zone::load("Europe/Berlin"))), std::nullopt);
  EXPECT_EQ(cron.next_after(sys_days(1901y / December / 31), Zone()), sys_days(1902y / January / 1));
}

// Berlin, 29 March 2026: at 01:00 UTC the clocks go from 02:00 to 03:00. 25 October: at 01:00 UTC from 03:00 to 02:00.
constexpr sys_days gap = 2026y / March / 29;
constexpr sys_days fold = 2026y / October / 25;

TEST(CronInProcess, a_fixed_time_that_is_left_out_comes_once_at_the_first_instant_after_the_gap) {
  EXPECT_EQ(ticks("30 2 * * *", "Europe/Berlin", gap, 2), (Ticks{gap + 1h, gap + 24h + 30min}));
  EXPECT_EQ(ticks("0,15,30 2,3 29 3 *", "Europe/Berlin", gap, 3),
            (Ticks{gap + 1h, gap + 1h + 15min, gap + 1h + 30min}));
}

TEST(CronInProcess, a_fixed_time_that_is_shown_twice_comes_the_first_time_only) {
  EXPECT_EQ(ticks("30 2 * * *", "Europe/Berlin", fold, 2), (Ticks{fold + 30min, fold + 25h + 30min}));
  // Asked in the second showing.
  EXPECT_EQ(ticks("30 2 * * *", "Europe/Berlin", fold + 1h + 10min, 1), (Ticks{fold + 25h + 30min}));
}

TEST(CronInProcess, intervals_follow_real_time_over_both_changes) {
  EXPECT_EQ(ticks("*/30 * * * *", "Europe/Berlin", gap + 29min, 4),
            (Ticks{gap + 30min, gap + 1h, gap + 1h + 30min, gap + 2h}));
  EXPECT_EQ(ticks("@hourly", "Europe/Berlin", fold - 1h, 4), (Ticks{fold, fold + 1h, fold + 2h, fold + 3h}));
  EXPECT_EQ(ticks("*/30 2 * * *", "Europe/Berlin", gap - 2h, 1), (Ticks{gap + 24h}));
  EXPECT_EQ(ticks("*/30 2 * * *", "Europe/Berlin", fold - 1h, 5),
            (Ticks{fold, fold + 30min, fold + 1h, fold + 1h + 30min, fold + 25h}));
}

TEST(CronInProcess, a_day_that_a_zone_leaves_out_is_a_gap_like_another) {
  // Samoa went from the end of 29 December 2011 to 31 December; that is 10:00 UTC on the 30th.
  const sys_seconds jump = sys_days(2011y / December / 30) + 10h;
  EXPECT_EQ(ticks("0 9 * * *", "Pacific/Apia", jump - 20h, 3), (Ticks{jump - 15h, jump, jump + 9h}));
}

TEST(CronInProcess, a_change_of_half_an_hour_is_seen) {
  // Lord Howe, 5 April 2026: at 15:00 UTC on the 4th the clocks go from 02:00 to 01:30.
  const sys_days day = 2026y / April / 4;
  EXPECT_EQ(ticks("45 1 * * *", "Australia/Lord_Howe", day, 2), (Ticks{day + 14h + 45min, day + 39h + 15min}));
}

TEST(CronInProcess, what_is_no_expression_is_refused_with_the_part_that_is_wrong) {
  const std::array<std::array<const char*, 2>, 25> cases{{
      {"", "0 fields"},
      {"* * * *", "4 fields"},
      {"0 * * * * *", "6 fields"},
      {"@reboot", "'@reboot' is none of @hourly"},
      {"60 * * * *", "minute: '60' is not from 0 to 59"},
      {"* 24 * * *", "hour: '24' is not from 0 to 23"},
      {"* * 0 * *", "day-of-month: '0' is not from 1 to 31"},
      {"* * * 13 *", "month: '13' is not from 1 to 12"},
      {"* * * * 8", "day-of-week: '8' is not from 0 to 7"},
      {"x * * * *", "minute: 'x' is no number"},
      {"* * * juni *", "month: 'juni' is no number and no name"},
      {"jan * * * *", "minute: 'jan'"},
      {"5-1 * * * *", "minute: '5-1' ends before it begins"},
      {"*/0 * * * *", "minute: '*/0' has no step from 1 to 59"},
      {"*/60 * * * *", "has no step"},
      {"*/ * * * *", "has no step"},
      {"5/15 * * * *", "minute: '5/15' has a step, but no range"},
      {"1,,2 * * * *", "minute: '' is no number"},
      {"1, * * * *", "minute: ''"},
      {"-1 * * * *", "minute: ''"},
      {"1-2-3 * * * *", "'2-3' is no number"},
      {"** * * * *", "minute: '**'"},
      {"* * ? * *", "day-of-month: '?'"},
      {"0 0 30 2 *", "never comes"},
      {"0 0 31 4,6,9,11 *", "never comes"},
  }};
  for (const auto& [text, part] : cases) {
    const auto cron = Cron::parse(text);
    ASSERT_FALSE(cron) << text;
    EXPECT_EQ(cron.error().code(), ErrorCode::invalid_argument) << text;
    EXPECT_NE(cron.error().message().find(part), std::string::npos) << cron.error().message();
  }
}

TEST(CronInProcess, an_expression_keeps_its_text_with_single_spaces) {
  EXPECT_EQ(must(Cron::parse(" 0   12\t* * Mon ")).text(), "0 12 * * Mon");
  EXPECT_EQ(must(Cron::parse("@daily")).text(), "@daily");
}

}  // namespace
}  // namespace ringmill::test
