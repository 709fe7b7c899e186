// The fast sign of death: a futex word that the kernel marks when a thread dies, before it unmaps anything.
//
// Every Linux thread has a list of robust futexes. At death (or exec) the kernel walks it, adds FUTEX_OWNER_DIED to
// each word that holds the thread's id, and wakes a waiter if FUTEX_WAITERS is set, which we always set. Measured here:
// 0.1 to 0.25 ms after SIGKILL whatever is mapped, while a pidfd reports after the unmapping, 9 ms with 256 MB touched
// (hazard 12).
//
// glibc owns the thread's list, for its robust mutexes. We add one node of the same shape (RobustNode) to it, as glibc
// would: at the front, with list_op_pending set meanwhile, so that a death between the two stores is noticed as well.
// Only the thread itself touches its list. Where the list has another offset than glibc's on x86-64, link() says no,
// and death is noticed by the lock byte alone.
#pragma once

#include "ipc/layout.h"

namespace ringmill {

/// Sets the word to this thread's id and links the node. False: not possible here. Call unlink_robust() on the same
/// thread before the node's memory goes away.
bool link_robust(RobustNode& node) noexcept;
void unlink_robust(RobustNode& node) noexcept;

/// True once the kernel has marked the word: the thread that linked it will never run user code of this program again.
bool is_marked_dead(const RobustNode& node) noexcept;

}  // namespace ringmill
