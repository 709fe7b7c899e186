#include "core/schedules/cron.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <vector>

#include "core/base/durations.h"

namespace ringmill {

namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::local_days;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_seconds;
using std::chrono::system_clock;
using std::chrono::year_month_day;

/// The 29th of February is at most eight years away, and a time in a gap comes in another year: far enough for all.
constexpr seconds horizon = std::chrono::years(50);

/// The days of a month, leap years counted.
constexpr std::array<std::size_t, 13> longest_month{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Nickname {
  std::string_view name;
  std::string_view fields;
};
// The hour of @hourly begins with `*`: it follows real time.
constexpr Nickname nicknames[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                                  {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                                  {"@annually", "0 0 1 1 *"}};

struct Field {
  std::string_view name;
  std::size_t least;
  std::size_t most;
  std::span<const std::string_view> names;  // of the values from `least` on
};
constexpr Field minute_field{"minute", 0, 59, {}};
constexpr Field hour_field{"hour", 0, 23, {}};
constexpr Field day_field{"day-of-month", 1, 31, {}};
constexpr Field month_field{"month", 1, 12, month_names};
constexpr Field weekday_field{"day-of-week", 0, 7, weekday_names};

std::unexpected<Error> refused(std::string detail) {
  return std::unexpected(Error(ErrorCode::invalid_argument, "cron expression", std::move(detail)));
}

std::unexpected<Error> refused(const Field& field, std::string_view what, std::string_view why) {
  return refused(fmt::format("{}: '{}' {}", field.name, what, why));
}

/// Not std::tolower(): the program around us may have set a locale in which I is no i.
constexpr unsigned char to_lower(unsigned char letter) noexcept {
  return letter >= 'A' && letter <= 'Z' ? static_cast<unsigned char>(letter - 'A' + 'a') : letter;
}

bool is_same_name(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other, [](unsigned char a, unsigned char b) { return to_lower(a) == b; });
}

Result<std::size_t> parse_value(const Field& field, std::string_view text) {
  for (std::size_t n = 0; n < field.names.size(); ++n) {
    if (is_same_name(text, field.names[n])) return field.least + n;
  }
  const auto value = parse_number(text);
  if (!value) return refused(field, text, field.names.empty() ? "is no number" : "is no number and no name");
  if (*value < field.least || *value > field.most) {
    return refused(field, text, fmt::format("is not from {} to {}", field.least, field.most));
  }
  return static_cast<std::size_t>(*value);
}

struct Range {
  std::size_t first;
  std::size_t last;
};

Result<Range> parse_range(const Field& field, std::string_view text) {
  if (text == "*") return Range{field.least, field.most};
  const std::size_t dash = text.find('-');
  const auto first = parse_value(field, text.substr(0, dash));
  if (!first) return std::unexpected(first.error());
  if (dash == std::string_view::npos) return Range{*first, *first};
  auto last = parse_value(field, text.substr(dash + 1));
  if (!last) return std::unexpected(last.error());
  // fri-sun ends on the Sunday after.
  if (*last == 0 && *first > 0 && &field == &weekday_field) *last = 7;
  if (*last < *first) return refused(field, text, "ends before it begins");
  return Range{*first, *last};
}

template <std::size_t Size>
Result<void> add_item(const Field& field, std::string_view item, std::bitset<Size>& values) {
  const std::size_t slash = item.find('/');
  const std::string_view range_text = item.substr(0, slash);
  const auto range = parse_range(field, range_text);
  if (!range) return std::unexpected(range.error());
  std::uint64_t step = 1;
  if (slash != std::string_view::npos) {
    const auto given = parse_number(item.substr(slash + 1));
    if (!given || *given == 0 || *given > field.most) {
      return refused(field, item, fmt::format("has no step from 1 to {}", field.most));
    }
    if (range_text.find_first_of("*-") == std::string_view::npos) {
      return refused(field, item, "has a step, but no range: write a-b/n or */n");
    }
    step = *given;
  }
  for (std::size_t value = range->first; value <= range->last; value += step) values.set(value);
  return {};
}

template <std::size_t Size>
Result<void> set_field(const Field& field, std::string_view text, std::bitset<Size>& values) {
  while (true) {
    const std::size_t comma = text.find(',');
    if (auto added = add_item(field, text.substr(0, comma), values); !added) return added;
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  constexpr std::string_view blanks = " \t";
  for (std::size_t at = text.find_first_not_of(blanks); at != std::string_view::npos;) {
    const std::size_t end = text.find_first_of(blanks, at);
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(blanks, end);
  }
  return words;
}

template <std::size_t Size>
std::optional<std::size_t> first_from(const std::bitset<Size>& values, std::size_t from) noexcept {
  for (std::size_t n = from; n < Size; ++n) {
    if (values[n]) return n;
  }
  return std::nullopt;
}

}  // namespace

Result<Cron> Cron::parse(std::string_view text) {
  const auto words = words_of(text);
  Cron cron;
  cron.text_ = fmt::format("{}", fmt::join(words, " "));
  std::string_view fields = cron.text_;
  if (fields.starts_with('@')) {
    const auto* known =
        std::ranges::find_if(nicknames, [&](const auto& one) { return is_same_name(fields, one.name); });
    if (known == std::end(nicknames)) {
      return refused(
          fmt::format("'{}' is none of @hourly @daily @midnight @weekly @monthly @yearly @annually", fields));
    }
    fields = known->fields;
  }
  if (auto set = cron.set_fields(fields); !set) return std::unexpected(set.error());
  if (!cron.can_come()) {
    return refused(fmt::format("'{}' never comes: none of its months has such a day", cron.text_));
  }
  return cron;
}

Result<void> Cron::set_fields(std::string_view fields) {
  const auto words = words_of(fields);
  if (words.size() != 5) {
    return refused(
        fmt::format("'{}' has {} fields, not five: minute hour day-of-month month day-of-week", fields, words.size()));
  }
  if (auto set = set_field(minute_field, words[0], minutes_); !set) return set;
  if (auto set = set_field(hour_field, words[1], hours_); !set) return set;
  if (auto set = set_field(day_field, words[2], days_); !set) return set;
  if (auto set = set_field(month_field, words[3], months_); !set) return set;
  if (auto set = set_field(weekday_field, words[4], weekdays_); !set) return set;
  if (weekdays_[7]) weekdays_.set(0);
  weekdays_.reset(7);
  follows_real_time_ = words[0].starts_with('*') || words[1].starts_with('*');
  either_day_ = !words[2].starts_with('*') && !words[4].starts_with('*');
  return {};
}

bool Cron::can_come() const noexcept {
  if (either_day_) return true;
  for (std::size_t month = 1; month <= 12; ++month) {
    const auto day = first_from(days_, 1);
    if (months_[month] && day && *day <= longest_month[month]) return true;
  }
  return false;
}

bool Cron::has_day(local_days day) const noexcept {
  const bool day_fits = days_[static_cast<unsigned>(year_month_day(day).day())];
  const bool weekday_fits = weekdays_[std::chrono::weekday(day).c_encoding()];
  return either_day_ ? day_fits || weekday_fits : day_fits && weekday_fits;
}

std::optional<minutes> Cron::next_in_day(minutes from) const noexcept {
  const auto hour = static_cast<std::size_t>(from / std::chrono::hours(1));
  const auto minute = static_cast<std::size_t>(from % std::chrono::hours(1) / minutes(1));
  const auto at = [](std::size_t h, std::size_t m) { return minutes(static_cast<std::int64_t>(h * 60 + m)); };
  if (hours_[hour]) {
    if (const auto found = first_from(minutes_, minute)) return at(hour, *found);
  }
  const auto later = first_from(hours_, hour + 1);
  if (!later) return std::nullopt;
  return at(*later, *first_from(minutes_, 0));
}

std::optional<Cron::LocalMinutes> Cron::next_minute(LocalMinutes from, LocalMinutes last) const noexcept {
  auto day = floor<days>(from);
  minutes in_day = from - day;
  while (day <= last) {
    const year_month_day date(day);
    if (!months_[static_cast<unsigned>(date.month())]) {
      const auto next = date.year() / date.month() / 1 + std::chrono::months(1);
      day = local_days(next);
    } else {
      const auto found = has_day(day) ? next_in_day(in_day) : std::nullopt;
      if (found) return day + *found <= last ? std::optional(day + *found) : std::nullopt;
      day += days(1);
    }
    in_day = minutes(0);
  }
  return std::nullopt;
}

std::optional<sys_seconds> Cron::next_fixed(sys_seconds after, sys_seconds last, const Zone& zone) const {
  // first_instant() never goes back when the wall's time goes on. So all before the wall's present time have come, and
  // while it shows an hour again, so have the times in it.
  const auto end = floor<minutes>(zone.local(last));
  for (auto from = floor<minutes>(zone.local(after));;) {
    const auto minute = next_minute(from, end);
    if (!minute) return std::nullopt;
    const sys_seconds instant = zone.first_instant(*minute);
    if (instant > after) return instant;
    from = *minute + minutes(1);
  }
}

std::optional<sys_seconds> Cron::next_real(sys_seconds after, sys_seconds last, const Zone& zone) const {
  // Between two changes of the offset the wall goes as time does.
  for (sys_seconds at = after + seconds(1); at <= last;) {
    const auto change = zone.next_change(at);
    const sys_seconds end = change ? std::min(*change - seconds(1), last) : last;
    const auto local = zone.local(at);
    const auto minute = next_minute(std::chrono::ceil<minutes>(local), floor<minutes>(local + (end - at)));
    if (minute) return at + (*minute - local);
    at = end + seconds(1);
  }
  return std::nullopt;
}

std::optional<system_clock::time_point> Cron::next_after(system_clock::time_point time, const Zone& zone) const {
  const sys_seconds after = floor<seconds>(time);
  const sys_seconds last = std::min(after + horizon, floor<seconds>(system_clock::time_point::max()));
  const auto found = follows_real_time_ ? next_real(after, last, zone) : next_fixed(after, last, zone);
  if (!found || *found > last) return std::nullopt;
  return *found;
}

}  // namespace ringmill
