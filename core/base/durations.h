// Numbers with units, as users write them, and durations, read and printed. Scripts rely on them.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ringmill {

/// Digits and nothing else.
inline std::optional<std::uint64_t> parse_number(std::string_view text, int base = 10) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

/// Digits and one of the units; nothing on any other text, and on what does not fit 63 bits.
template <std::size_t Count>
std::optional<std::uint64_t> parse_with_unit(std::string_view text, const Unit (&units)[Count]) noexcept {
  const std::size_t digits = text.find_first_not_of("0123456789");
  const std::string_view name = digits == std::string_view::npos ? "" : text.substr(digits);
  const auto number = parse_number(text.substr(0, text.size() - name.size()));
  if (!number) return std::nullopt;
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (*number > most / unit.factor) return std::nullopt;
    return *number * unit.factor;
  }
  return std::nullopt;
}

/// 250us, 10ms, 30s, 5m, 2h, 7d. A unit is a must.
inline std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) noexcept {
  constexpr std::uint64_t second = 1'000'000'000;
  constexpr Unit units[] = {{"us", 1'000},      {"ms", 1'000'000},     {"s", second},
                            {"m", 60 * second}, {"h", 3'600 * second}, {"d", 86'400 * second}};
  const auto ns = parse_with_unit(text, units);
  if (!ns) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(*ns));
}

/// In the coarsest unit that loses nothing: 250us, 30s, 5m. Below a microsecond it is cut off.
inline std::string format_duration(std::chrono::nanoseconds duration) {
  const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  std::int64_t value = us;
  const char* name = "us";
  for (const auto& [factor, unit] : {std::pair{1000, "ms"}, {1000, "s"}, {60, "m"}, {60, "h"}, {24, "d"}}) {
    if (value == 0 || value % factor != 0) break;
    value /= factor;
    name = unit;
  }
  return fmt::format("{}{}", value, name);
}

}  // namespace ringmill
