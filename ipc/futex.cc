#include "ipc/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "ipc/clock.h"

namespace ringmill {

namespace {

timespec to_timespec(std::uint64_t ns) noexcept {
  return {static_cast<time_t>(ns / 1'000'000'000U), static_cast<long>(ns % 1'000'000'000U)};
}

}  // namespace

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) noexcept {
  if (timeout_ns == 0) return;
  timespec timeout = to_timespec(timeout_ns);
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, timeout_ns == no_timeout ? nullptr : &timeout, nullptr, 0);
}

void futex_wake(const std::atomic<std::uint32_t>& word, int count) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

void futex_wait_any(std::span<const FutexWatch> watches, std::uint64_t timeout_ns) noexcept {
  std::array<futex_waitv, most_watches> vector{};
  const std::size_t count = std::min(watches.size(), most_watches);
  for (std::size_t n = 0; n < count; ++n) {
    vector[n].uaddr = reinterpret_cast<std::uint64_t>(watches[n].word);
    vector[n].val = watches[n].expected;
    vector[n].flags = FUTEX_32;
  }
  timespec end = to_timespec(steady_clock_ns() + timeout_ns);
  const long result = ::syscall(SYS_futex_waitv, vector.data(), static_cast<unsigned>(count), 0,
                                timeout_ns == no_timeout ? nullptr : &end, CLOCK_MONOTONIC);
  if (result < 0 && errno == ENOSYS && count > 0) {
    futex_wait(*watches[0].word, watches[0].expected, std::min<std::uint64_t>(timeout_ns, 1'000'000));
  }
}

}  // namespace ringmill
