// How values are written on the command line and printed: sizes, lists, times; durations are in core/base/durations.h.
// Scripts rely on them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/flow_control.h>

#include "core/base/durations.h"

namespace ringmill {

/// 4096, 64KiB, 1MiB, 2GiB.
inline std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
  constexpr Unit units[] = {{"", 1}, {"KiB", 1U << 10}, {"MiB", 1U << 20}, {"GiB", 1U << 30}};
  return parse_with_unit(text, units);
}

/// Words between commas, the empty ones too: their user says what is wrong with them.
inline std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> words;
  while (true) {
    const std::size_t comma = text.find(',');
    words.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return words;
    text.remove_prefix(comma + 1);
  }
}

/// RFC 3339 with milliseconds, in UTC.
inline std::string format_time(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ms);
  const std::time_t clock = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  ::gmtime_r(&clock, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (ms - seconds).count());
}

/// RFC 3339, of any offset: 2026-02-28T13:05:09Z, 2026-02-28T14:05:09.250+01:00; small letters do. No leap seconds.
inline std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text) noexcept {
  using std::chrono::minutes;
  const auto number = [&text](std::size_t digits, std::string_view separator) -> std::optional<unsigned> {
    const auto value = text.size() >= digits ? parse_number(text.substr(0, digits)) : std::nullopt;
    if (!value || !text.substr(digits).starts_with(separator)) return std::nullopt;
    text.remove_prefix(digits + separator.size());
    return static_cast<unsigned>(*value);
  };
  const auto year = number(4, "-"), month = number(2, "-"), day = number(2, "");
  if (!text.starts_with('T') && !text.starts_with('t')) return std::nullopt;
  text.remove_prefix(1);
  const auto hour = number(2, ":"), minute = number(2, ":"), second = number(2, "");
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  std::chrono::nanoseconds fraction{0};
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return std::nullopt;
    std::int64_t unit = 100'000'000;
    for (std::size_t n = 0; n < digits; ++n, unit /= 10) fraction += std::chrono::nanoseconds((text[n] - '0') * unit);
    text.remove_prefix(digits);
  }
  minutes offset{0};
  if (text != "Z" && text != "z") {
    const bool is_west = text.starts_with('-');
    if (!is_west && !text.starts_with('+')) return std::nullopt;
    text.remove_prefix(1);
    const auto hours_off = number(2, ":"), minutes_off = number(2, "");
    if (!hours_off || !minutes_off || !text.empty() || *hours_off > 23 || *minutes_off > 59) return std::nullopt;
    offset = minutes(*hours_off * 60 + *minutes_off) * (is_west ? -1 : 1);
  }
  // What a clock of 64 bits of nanoseconds can show.
  if (*year < 1678 || *year > 2261) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + minutes(*minute) + std::chrono::seconds(*second) +
         fraction - offset;
}

/// For people: 512 B, 1.5 KiB, 38.2 MiB.
inline std::string format_size(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes) / 1024;
  for (const char* unit : {"KiB", "MiB", "GiB"}) {
    if (value < 1024) return fmt::format("{:.1f} {}", value, unit);
    value /= 1024;
  }
  return fmt::format("{:.1f} TiB", value);
}

/// N jobs, N% of the capacity, or `none`. Nothing: it is none of these.
inline std::optional<LevelLimits> read_level_limits(std::string_view text) noexcept {
  if (text == "none") return LevelLimits{};
  const bool is_share = text.ends_with('%');
  if (is_share) text.remove_suffix(1);
  const auto number = parse_number(text);
  if (!number || *number == 0 || *number > (is_share ? 100U : 1U << 24)) return std::nullopt;
  const auto most = static_cast<std::uint32_t>(*number);
  return is_share ? LevelLimits{.most_percent = most} : LevelLimits{.most = most};
}

}  // namespace ringmill
