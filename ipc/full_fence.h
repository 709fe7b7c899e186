// A fence between a store and a later load of another word, for two that each write a word and then read the other's.
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

}  // namespace ringmill
