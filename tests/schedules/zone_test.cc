// Zones: what the clocks on the wall show, and when.
#include "core/schedules/zone.h"

#include <gtest/gtest.h>

#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

constexpr sys_days march_gap = 2026y / March / 29;       // Berlin, 01:00 UTC: 02:00 becomes 03:00
constexpr sys_days october_fold = 2026y / October / 25;  // Berlin, 01:00 UTC: 03:00 becomes 02:00

TEST(ZonesInProcess, the_wall_shows_the_zones_time) {
  const Zone berlin = must(Zone::load("Europe/Berlin"));
  EXPECT_EQ(berlin.name(), "Europe/Berlin");
  EXPECT_EQ(berlin.local(sys_days(2026y / January / 1)), local_days(2026y / January / 1) + 1h);
  EXPECT_EQ(berlin.local(sys_days(2026y / July / 1)), local_days(2026y / July / 1) + 2h);
  EXPECT_EQ(Zone().local(sys_days(2026y / July / 1)), local_days(2026y / July / 1) + 0h);
}

TEST(ZonesInProcess, rules_hold_beyond_the_last_change_that_tzdata_lists) {
  const Zone berlin = must(Zone::load("Europe/Berlin"));
  EXPECT_EQ(berlin.local(sys_days(2060y / July / 1)), local_days(2060y / July / 1) + 2h);
  EXPECT_EQ(berlin.next_change(sys_days(2060y / July / 1)), sys_days(2060y / October / 31) + 1h);
}

TEST(ZonesInProcess, a_time_that_is_left_out_is_the_instant_after_the_gap) {
  const Zone berlin = must(Zone::load("Europe/Berlin"));
  const local_days day(2026y / March / 29);
  EXPECT_EQ(berlin.first_instant(day + 1h + 59min), march_gap + 59min);
  for (const auto in_gap : {2h + 0min, 2h + 30min, 2h + 59min}) {
    EXPECT_EQ(berlin.first_instant(day + in_gap), march_gap + 1h);
  }
  EXPECT_EQ(berlin.first_instant(day + 3h), march_gap + 1h);
}

TEST(ZonesInProcess, a_time_that_is_shown_twice_is_the_first_one) {
  const Zone berlin = must(Zone::load("Europe/Berlin"));
  const local_days day(2026y / October / 25);
  EXPECT_EQ(berlin.first_instant(day + 2h + 30min), october_fold + 30min);
  EXPECT_EQ(berlin.first_instant(day + 3h), october_fold + 2h);
}

TEST(ZonesInProcess, the_next_change_lies_strictly_behind) {
  const Zone berlin = must(Zone::load("Europe/Berlin"));
  EXPECT_EQ(berlin.next_change(sys_days(2026y / January / 1)), march_gap + 1h);
  EXPECT_EQ(berlin.next_change(march_gap + 1h - 1s), march_gap + 1h);
  EXPECT_EQ(berlin.next_change(march_gap + 1h), october_fold + 1h);
  EXPECT_EQ(Zone().next_change(sys_days(2026y / January / 1)), std::nullopt);
}

TEST(ZonesInProcess, what_is_no_zone_is_refused) {
  for (const char* name : {"", "Europe/Atlantis", "../../../etc/passwd", "/usr/share/zoneinfo/UTC", "localtime", "CET ",
                           "zone.tab", "Europe", "Fixed/UTC+01:00:00", "right/UTC", ":UTC"}) {
    const auto zone = Zone::load(name);
    ASSERT_FALSE(zone) << name;
    EXPECT_EQ(zone.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(zone.error().message().find(std::string("'") + name + "'"), std::string::npos) << zone.error().message();
  }
}

}  // namespace
}  // namespace ringmill::test
