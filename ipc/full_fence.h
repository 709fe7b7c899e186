// Two fences. Between a store and a later load of another word, for two that each write a word and then read the
// other's. And between a swap that takes something and the writes to it, for readers that look twice.
#pragma once

#include <atomic>

namespace ringmill {

/// Two threads each store to one word, call this, and load the other's word: at least one sees the other's store. The
/// memory orders of the stores and loads do not matter.
inline void full_fence() noexcept {
#if defined(__SANITIZE_THREAD__)
  // The thread sanitizer knows no fences that stand alone.
  static std::atomic<unsigned> word{0};
  word.fetch_add(1);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Stands between the swap of a word and relaxed stores to what the swap has taken. A reader that acquires any of these
/// stores and then looks at the word finds the swapped one, or a later one: so the data that it has read counts if the
/// word is as it was before (ORDER second-look). The swap alone does not do that, whatever its order:
/// docs/memory-orders.md. No instruction on x86-64.
inline void fence_own_writes() noexcept {
#if !defined(__SANITIZE_THREAD__)  // it knows no fences, and takes no relaxed store of an atomic for a race
  std::atomic_thread_fence(std::memory_order_release);  // ORDER second-look
#endif
}

}  // namespace ringmill
