// Invariants of the protocols, as assertions: the claims of the model in tests/model that one process can check by
// itself (the table is in tests/model/README.md), and those of private state that rests on shared memory. Debug and
// sanitizer builds check them.
//
// A hostile peer can break each of them by writing into the shared memory. So they find our own mistakes, and nothing
// may rest on them. A test that writes over shared memory holds a SharedMemoryDistrust meanwhile.
#pragma once

#include <atomic>
#include <cassert>

namespace ringmill {

#ifdef NDEBUG
#define RINGMILL_INVARIANT(condition) static_cast<void>(0)
#else
inline std::atomic<int> shared_memory_distrusts{0};
/// Aborts if `condition` is false, unless this process distrusts its shared memory.
#define RINGMILL_INVARIANT(condition) assert(::ringmill::shared_memory_distrusts.load() != 0 || (condition))
#endif

/// While one lives, this process, and each child that it forks, checks no invariant.
class SharedMemoryDistrust {
 public:
#ifdef NDEBUG
  SharedMemoryDistrust() noexcept {}
  ~SharedMemoryDistrust() {}
#else
  SharedMemoryDistrust() noexcept { shared_memory_distrusts.fetch_add(1); }
  ~SharedMemoryDistrust() { shared_memory_distrusts.fetch_sub(1); }
#endif
  SharedMemoryDistrust(const SharedMemoryDistrust&) = delete;
  SharedMemoryDistrust& operator=(const SharedMemoryDistrust&) = delete;
};

}  // namespace ringmill
