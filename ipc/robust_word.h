// The fast sign of death: a futex word that the kernel marks when a thread dies, before it unmaps anything.
//
// Every Linux thread has a list of robust futexes. At death (or exec) the kernel walks it, adds FUTEX_OWNER_DIED to
// each word that holds the thread's id, and wakes a waiter if FUTEX_WAITERS is set, which we always set. Measured here:
// 0.1 to 0.25 ms after SIGKILL whatever is mapped, while a pidfd reports after the unmapping, 9 ms with 256 MB touched
// (hazard 12 in docs/hazards.md).
//
// glibc owns the thread's list, for its robust mutexes: a node's two links stand 24 bytes behind its word. We add one
// node of that shape, as glibc would: at the front, with list_op_pending set meanwhile, so that a death between the two
// stores is noticed as well. Only the thread itself touches its list.
//
// The links are addresses, and no other process may be able to write them. So the word stands at the end of its shared
// page, and the thread maps that page once more, followed by a private page, on which the links fall:
//
//   | the entry's page, shared            word | previous next      private page |
//   ^ page                     4096 - 24 ^     ^ 4096
//
// If the list has another offset than glibc's on x86-64, there is no link, and only the lock byte shows the death.
#pragma once

#include <cstdint>
#include <memory>

#include "ipc/layout.h"

namespace ringmill {

/// Links one entry's robust word to the thread that makes this object. The same thread destroys it; elsewhere, or in
/// the child of a fork, destroying it only unmaps.
class RobustLink {
 public:
  /// Maps the page at `offset` of the segment's file and links its word. Nothing: not possible here.
  static std::unique_ptr<RobustLink> make(int segment_descriptor, std::uint64_t offset) noexcept;
  ~RobustLink();
  RobustLink(const RobustLink&) = delete;
  RobustLink& operator=(const RobustLink&) = delete;

 private:
  explicit RobustLink(std::byte* pages) noexcept : pages_(pages) {}
  bool link() noexcept;
  void unlink() noexcept;
  std::atomic<std::uint32_t>& word() const noexcept;

  std::byte* pages_;
  std::uint32_t thread_id_ = 0;
};

/// True once the kernel has marked the word: the thread that linked it will never run user code of this program again.
bool is_marked_dead(std::uint32_t robust_word) noexcept;

}  // namespace ringmill
