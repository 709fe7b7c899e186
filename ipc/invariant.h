// Invariants of the protocols, as assertions: the ones that tests/model states, and those of private state that rests
// on shared memory. Debug and sanitizer builds check them.
//
// A hostile peer can break each of them by writing into the shared memory, so they are for finding our own mistakes,
// and nothing may rest on them. Tests that write over shared memory call distrust_shared_memory() first.
#pragma once

#include <atomic>
#include <cassert>

namespace ringmill {

#ifdef NDEBUG
#define RINGMILL_INVARIANT(condition) static_cast<void>(0)
inline void distrust_shared_memory() noexcept {}
#else
inline std::atomic<bool> trusts_shared_memory{true};
/// Aborts if `condition` is false, unless distrust_shared_memory() was called in this process.
#define RINGMILL_INVARIANT(condition) assert(!::ringmill::trusts_shared_memory.load() || (condition))
/// From now on this process, and those that it forks, check no invariant.
inline void distrust_shared_memory() noexcept { trusts_shared_memory.store(false); }
#endif

}  // namespace ringmill
