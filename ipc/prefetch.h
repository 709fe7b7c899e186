// Fetching cache lines before they are needed.
//
// In assembly, because g++ 12 takes a function that only calls __builtin_prefetch for one without an effect, and drops
// the calls of it: the hot path ran without a single prefetch until a look at its instructions told.
#pragma once

namespace ringmill {

/// The line will be written: it is fetched for us alone, so that the write or swap that follows need not take it
/// away from another core. Any address is allowed. Processors without PREFETCHW (before 2014) take it for a no-op.
inline void prefetch_to_write(const void* address) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

/// The line will be read. Any address is allowed.
inline void prefetch_to_read(const void* address) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 0);
#endif
}

}  // namespace ringmill
