// Cron against a walk through every minute, by the C library's clocks: another reading of tzdata, another way to the
// ticks. RINGMILL_CRON_WALKS sets how many walks.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "core/schedules/cron.h"
#include "tests/support/must.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t end) { return static_cast<std::size_t>(random() % end); }

/// A random field of a cron expression: its text, and the values that it has.
struct RandomField {
  std::string text;
  std::vector<bool> has;

  RandomField(Random& random, std::size_t least, std::size_t most, std::size_t stars_in_ten) : has(most + 1, false) {
    if (below(random, 10) < stars_in_ten) {
      add("*", least, most, 1);
      return;
    }
    for (std::size_t items = 1 + below(random, 3); items > 0; --items) add_item(random, least, most);
  }
  bool is_star() const { return text.front() == '*'; }

 private:
  void add_item(Random& random, std::size_t least, std::size_t most) {
    const std::size_t first = least + below(random, most - least + 1);
    const std::size_t last = first + below(random, most - first + 1);
    const std::size_t step = 1 + below(random, most);
    const auto range = std::to_string(first) + "-" + std::to_string(last);
    switch (below(random, 5)) {
      case 0:
        return add("*/" + std::to_string(step), least, most, step);
      case 1:
        return add(range, first, last, 1);
      case 2:
        return add(range + "/" + std::to_string(step), first, last, step);
      default:
        return add(std::to_string(first), first, first, 1);
    }
  }
  void add(const std::string& item, std::size_t first, std::size_t last, std::size_t step) {
    text += (text.empty() ? "" : ",") + item;
    for (std::size_t value = first; value <= last; value += step) has[value] = true;
  }
};

struct RandomCron {
  RandomField minute, hour, day, month, weekday;

  explicit RandomCron(Random& random)
      : minute(random, 0, 59, 2),
        hour(random, 0, 23, 4),
        day(random, 1, 31, 7),
        month(random, 1, 12, 8),
        weekday(random, 0, 6, 7) {}

  std::string text() const {
    return minute.text + " " + hour.text + " " + day.text + " " + month.text + " " + weekday.text;
  }
  bool follows_real_time() const { return minute.is_star() || hour.is_star(); }
  /// `wall` is what the wall shows, counted as if it were UTC.
  bool fits(std::time_t wall) const {
    std::tm parts{};
    ::gmtime_r(&wall, &parts);
    const auto has = [](const RandomField& field, int value) { return field.has[static_cast<std::size_t>(value)]; };
    if (!has(minute, parts.tm_min) || !has(hour, parts.tm_hour) || !has(month, parts.tm_mon + 1)) return false;
    const bool day_fits = has(day, parts.tm_mday);
    const bool weekday_fits = has(weekday, parts.tm_wday);
    return day.is_star() || weekday.is_star() ? day_fits && weekday_fits : day_fits || weekday_fits;
  }
};

/// What the wall shows, counted as if it were UTC. The zone is that of TZ.
std::time_t wall_at(std::time_t instant) {
  std::tm parts{};
  ::localtime_r(&instant, &parts);
  return instant + parts.tm_gmtoff;
}

constexpr std::time_t minute_s = 60;
constexpr std::time_t hour_s = 3600;
constexpr std::time_t day_s = 24 * hour_s;

/// Every tick in (begin, end], found by looking at each minute.
std::vector<std::time_t> walk(const RandomCron& cron, std::time_t begin, std::time_t end) {
  std::vector<std::time_t> ticks;
  const std::time_t start = begin - begin % minute_s - 2 * day_s;
  std::time_t shown_until = wall_at(start);
  for (std::time_t instant = start + minute_s; instant <= end; instant += minute_s) {
    const std::time_t wall = wall_at(instant);
    bool comes = false;
    if (cron.follows_real_time()) {
      comes = cron.fits(wall);
    } else {
      // All that the wall shows for the first time, or has just left out.
      for (std::time_t time = shown_until + minute_s; time <= wall; time += minute_s) comes = comes || cron.fits(time);
    }
    shown_until = std::max(shown_until, wall);
    if (comes && instant > begin) ticks.push_back(instant);
  }
  return ticks;
}

std::vector<std::time_t> by_next_after(const Cron& cron, const Zone& zone, std::time_t begin, std::time_t end) {
  std::vector<std::time_t> ticks;
  auto at = std::chrono::system_clock::from_time_t(begin);
  while (const auto tick = cron.next_after(at, zone)) {
    if (std::chrono::system_clock::to_time_t(*tick) > end) break;
    ticks.push_back(std::chrono::system_clock::to_time_t(*tick));
    at = *tick;
  }
  return ticks;
}

/// Near a change of the offset if there is one within a year; any time otherwise.
std::time_t interesting_time(Random& random) {
  constexpr std::time_t year_1975 = 157'766'400;
  const auto any = year_1975 + static_cast<std::time_t>(below(random, 85ULL * 365 * 24)) * hour_s;
  if (below(random, 5) == 0) return any;
  for (std::time_t at = any; at < any + 366 * day_s; at += hour_s) {
    if (wall_at(at + hour_s) - wall_at(at) != hour_s) return at - static_cast<std::time_t>(below(random, day_s));
  }
  return any;
}

/// The C library's zone, put back at the end.
class CLibraryZone {
 public:
  explicit CLibraryZone(const char* zone) {
    if (const char* before = std::getenv("TZ"); before != nullptr) before_ = before;
    set(zone);
  }
  CLibraryZone(const CLibraryZone&) = delete;
  CLibraryZone& operator=(const CLibraryZone&) = delete;
  ~CLibraryZone() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static void set(const char* zone) {
    zone != nullptr ? ::setenv("TZ", zone, 1) : ::unsetenv("TZ");
    ::tzset();
  }
  std::optional<std::string> before_;
};

TEST(CronWalkInProcess, ticks_are_those_that_a_walk_through_every_minute_finds) {
  constexpr std::array zones{
      "Europe/Berlin",     "America/New_York",  "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu",
      "Africa/Casablanca", "America/Sao_Paulo", "Antarctica/Troll",    "Asia/Gaza",    "America/St_Johns",
      "Pacific/Kwajalein", "Europe/Dublin",     "Pacific/Chatham",     "Asia/Tehran",  "UTC"};
  const char* wanted = std::getenv("RINGMILL_CRON_WALKS");
  const int walks = wanted != nullptr ? std::stoi(wanted) : 150;
  Random random(printed_seed());
  std::size_t ticks_seen = 0;
  for (int n = 0; n < walks; ++n) {
    const char* zone_name = zones.at(static_cast<std::size_t>(n) % zones.size());
    const CLibraryZone clocks(zone_name);
    const RandomCron expression(random);
    const auto cron = Cron::parse(expression.text());
    if (!cron) {
      ASSERT_NE(cron.error().message().find("never comes"), std::string::npos) << cron.error().message();
      continue;
    }
    const std::time_t begin = interesting_time(random) + static_cast<std::time_t>(below(random, hour_s));
    const std::time_t end = begin + 3 * day_s;
    const auto expected = walk(expression, begin, end);
    ASSERT_EQ(by_next_after(*cron, must(Zone::load(zone_name)), begin, end), expected)
        << "'" << expression.text() << "' " << zone_name << " from " << begin;
    ticks_seen += expected.size();
  }
  EXPECT_GT(ticks_seen, static_cast<std::size_t>(walks)) << "too few ticks to have shown anything";
}

}  // namespace
}  // namespace ringmill::test
