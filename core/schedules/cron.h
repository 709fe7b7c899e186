// When a cron expression says that it is time.
//
//   minute hour day-of-month month day-of-week
//
// Each field is a list (`,`) of values, of ranges `a-b` and of `*`, the last two with a step (`/n`) if need be. Months
// and days of the week have English names of three letters; Sunday is 0 and 7. When both days are given (neither field
// begins with `*`), either is enough; else both must hold. `@hourly @daily @midnight @weekly @monthly @yearly
// @annually` are what they are in every cron.
//
// Where clocks are put forward or back, the rule is that of Vixie's cron:
//
// - An entry of fixed times (neither minute nor hour begins with `*`) comes once for each time on the wall. A time that
//   the clocks leave out comes at the first instant after the gap; several in one gap come as one. A time that the
//   wall shows twice comes the first time only.
// - Any other entry (every n minutes, every hour) follows real time: it comes at each instant at which the wall shows a
//   time that fits: twice where that is shown twice, never where it is left out. So `*/15 * * * *` and `0 * * * *` keep
//   their intervals of 15 minutes and of an hour.
//
// Vixie's cron takes a jump of more than three hours for a correction of the clock. Here only the zone's rules count,
// however far they jump (Samoa left out a day).
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "core/schedules/zone.h"

namespace ringmill {

class Cron {
 public:
  /// Error invalid_argument: says what is wrong with which field. An expression that can never come (30 February) is
  /// refused as well.
  static Result<Cron> parse(std::string_view text);

  /// The expression, with one space between its fields.
  const std::string& text() const noexcept { return text_; }

  /// The first instant after `time` at which it is time. Nothing: not within fifty years, or behind the end of
  /// system_clock.
  std::optional<std::chrono::system_clock::time_point> next_after(std::chrono::system_clock::time_point time,
                                                                  const Zone& zone) const;

 private:
  using LocalMinutes = std::chrono::local_time<std::chrono::minutes>;

  Cron() = default;
  Result<void> set_fields(std::string_view fields);
  bool can_come() const noexcept;
  bool has_day(std::chrono::local_days day) const noexcept;
  /// The first minute that fits, from `from` to `last`.
  std::optional<LocalMinutes> next_minute(LocalMinutes from, LocalMinutes last) const noexcept;
  std::optional<std::chrono::minutes> next_in_day(std::chrono::minutes from) const noexcept;
  std::optional<std::chrono::sys_seconds> next_fixed(std::chrono::sys_seconds after, std::chrono::sys_seconds last,
                                                     const Zone& zone) const;
  std::optional<std::chrono::sys_seconds> next_real(std::chrono::sys_seconds after, std::chrono::sys_seconds last,
                                                    const Zone& zone) const;

  std::string text_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;     // of the month, from 1
  std::bitset<13> months_;   // from 1
  std::bitset<8> weekdays_;  // Sunday is 0; 7 is never set
  bool follows_real_time_ = false;
  bool either_day_ = false;
};

}  // namespace ringmill
