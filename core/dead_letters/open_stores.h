// Which stores of dead letters this process has open, for the child of a fork.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/fork_guard.h"

namespace ringmill {

/// How many stores this process's memory knows, and in which process the last of them was opened.
///
/// SQLite remembers in that memory which locks it holds. The child of a fork has the memory and not the locks: a
/// connection that it opened to the same file would go without them. So a child whose parent had a store open at the
/// fork may open none before it calls exec().
struct OpenStores {
  std::atomic<std::uint32_t> count{0};
  std::atomic<std::uint32_t> fork_generation{0};
};
inline OpenStores& open_stores() noexcept {
  static OpenStores stores;
  return stores;
}

inline bool has_parents_stores() noexcept {
  return open_stores().count.load() != 0 && open_stores().fork_generation.load() != fork_generation();
}

}  // namespace ringmill
