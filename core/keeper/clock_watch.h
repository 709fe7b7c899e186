// Steps of the wall clock, told from the lease clock, which has none: where jobs and schedules are out of time, the log
// says when the clock was set, and by how much.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace ringmill {

class ClockWatch {
 public:
  /// A clock that is only slewed (at most 0.5 ms a second) does not come near it between two looks.
  static constexpr std::chrono::nanoseconds least_step = std::chrono::seconds(1);
  /// A look that was held up between the readings says nothing.
  static constexpr std::uint64_t longest_look_ns = 100'000'000;

  /// Takes a reading of the wall clock, and of the lease clock before and after it. Returns by how much the wall clock
  /// was set since the reading before; nothing: it was not.
  std::optional<std::chrono::milliseconds> look(std::uint64_t lease_before_ns, std::uint64_t wall_ns,
                                                std::uint64_t lease_after_ns) noexcept {
    if (lease_after_ns - lease_before_ns > longest_look_ns) return std::nullopt;
    const auto offset = static_cast<std::int64_t>(wall_ns - lease_after_ns);
    const std::chrono::nanoseconds step(has_offset_ ? offset - offset_ : 0);
    offset_ = offset;
    has_offset_ = true;
    if (step > -least_step && step < least_step) return std::nullopt;
    return std::chrono::round<std::chrono::milliseconds>(step);
  }

 private:
  std::int64_t offset_ = 0;
  bool has_offset_ = false;
};

}  // namespace ringmill
