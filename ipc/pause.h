// A hint to the processor that the caller spins: it saves power, and leaves the core to its other thread.
#pragma once

namespace ringmill {

inline void pause_while_spinning() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // about as long as PAUSE; YIELD ends at once on most cores
#endif
}

}  // namespace ringmill
