// Conditions on an engine, as `oldest(high) > 30s`, and the alerts that follow from them: pure functions of looks and
// times.
//
// An alert is raised when its condition holds for a while without a break, once per episode. It is cleared when the
// value is clearly back: three quarters of a bound that it was above, five quarters of one that it was below. Small
// counts have no such margin. While a value is unknown (the engine is gone, a level does not exist) nothing changes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "server/look.h"

namespace ringmill {

struct Condition {
  enum class Unit : std::uint8_t { count, seconds, percent };

  std::string text;
  std::string name;
  std::string argument;  // a level or a kind; empty: all
  bool is_above = true;  // raised above the bound; else below
  double bound = 0;
  Unit unit = Unit::count;

  /// Error invalid_argument: says what is known.
  static Result<Condition> parse(std::string_view text);
  /// Returns the value at a look; nothing: it is not known.
  std::optional<double> value_at(const Look& look) const;
  bool holds(double value) const noexcept { return is_above ? value > bound : value < bound; }
  /// Whether a raised alert is over.
  bool is_clear(double value) const noexcept;
  /// The value with its unit: 31.2s, 12 %, 7.
  std::string shown_value(double value) const;
};

/// The names that conditions may have, for help texts: a line each.
std::vector<std::string> condition_names();

class Alert {
 public:
  enum class Event : std::uint8_t { none, raised, repeated, cleared };
  using Time = std::chrono::steady_clock::time_point;

  /// `repeat` 0: raised alerts are not repeated.
  Alert(Condition condition, std::chrono::nanoseconds holds_for, std::chrono::nanoseconds repeat)
      : condition_(std::move(condition)), holds_for_(holds_for), repeat_(repeat) {}

  Event update(Time now, std::optional<double> value);
  bool is_raised() const noexcept { return is_raised_; }
  const Condition& condition() const noexcept { return condition_; }

 private:
  Condition condition_;
  std::chrono::nanoseconds holds_for_;
  std::chrono::nanoseconds repeat_;
  bool is_raised_ = false;
  std::optional<Time> holds_since_;
  Time said_at_{};
};

}  // namespace ringmill
