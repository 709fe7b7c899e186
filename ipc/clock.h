// The clocks, and what each is for.
#pragma once

#include <ctime>

#include <chrono>
#include <cstdint>

namespace ringmill {

namespace detail {
inline std::uint64_t read_clock(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}
}  // namespace detail

/// The clock of leases and waits. It counts while the machine sleeps, and has no steps: leases also end during a
/// suspend.
inline std::uint64_t lease_clock_ns() noexcept { return detail::read_clock(CLOCK_BOOTTIME); }

/// Handler times within one process.
inline std::uint64_t steady_clock_ns() noexcept { return detail::read_clock(CLOCK_MONOTONIC); }

/// When jobs that name a moment are due.
inline std::uint64_t exact_wall_clock_ns() noexcept { return detail::read_clock(CLOCK_REALTIME); }

/// The end of a wait that begins at `now_ns`. A wait beyond the clock's end has none.
constexpr std::uint64_t later_by(std::uint64_t now_ns, std::uint64_t wait_ns) noexcept {
  const std::uint64_t left_ns = ~std::uint64_t{0} - now_ns;
  return now_ns + (wait_ns < left_ns ? wait_ns : left_ns);
}

/// The clock of times that people read: exact to a scheduler tick (1 to 4 ms), at a fifth of the price of the exact
/// clock. A step of the wall clock changes only what is shown.
inline std::uint64_t wall_clock_ns() noexcept { return detail::read_clock(CLOCK_REALTIME_COARSE); }

inline std::chrono::system_clock::time_point wall_time(std::uint64_t ns) noexcept {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(ns)));
}

}  // namespace ringmill
