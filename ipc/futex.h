// Sleeping on shared words. Never FUTEX_PRIVATE: sleepers and wakers are different processes.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace ringmill {

/// Sleeps while `word` is `expected`, until a wake or CLOCK_BOOTTIME-independent `timeout_ns` from now (0: returns at
/// once; no_timeout: for ever). May return early; the caller looks again.
inline constexpr std::uint64_t no_timeout = ~std::uint64_t{0};
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) noexcept;
void futex_wake(const std::atomic<std::uint32_t>& word, int count) noexcept;

struct FutexWatch {
  const std::atomic<std::uint32_t>* word;
  std::uint32_t expected;
};
/// The kernel watches at most this many words in one call.
inline constexpr std::size_t most_watches = 128;
/// Sleeps until one of the words was woken or differs from what is expected. Where the kernel has no futex_waitv
/// (before 5.16) it sleeps on the first word for at most 1 ms.
void futex_wait_any(std::span<const FutexWatch> watches, std::uint64_t timeout_ns) noexcept;

}  // namespace ringmill
