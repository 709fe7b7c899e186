// Visits: while a thread may have a cell's index that it does not ask about again, the cell's memory stays.
//
// A participant is inside a visit from the beginning of a public call to its end, but for the waits in between. Its
// entry's `visit` is odd meanwhile. The keeper that gives memory back (give.B4 of ipc/cell_chunks.h) makes the cells
// unknown first, then waits until each participant that was inside a visit has left it, or is dead and reaped.
//
//                                                   killed just after the step
//   visit.V1  visit becomes odd                     the reaper of the participant ends the visit
//   visit.V2  chunks_left has changed: forget the   the same
//             cells in hand whose chunk has gone,
//             and the own bits of what is absent
//   visit.V3  is_there(), and all that follows      the same
//   visit.V4  visit becomes even                    nothing is left
//
// The keeper clears the chunk's bit and changes chunks_left (give.B3), makes a barrier in every process, and reads each
// `visit` (give.B4): one that is odd has to change. visit.V1 is a plain store, because it is on the hot path; the order
// between it and the loads of V2 and V3 is made by that barrier. membarrier() runs one on each processor that runs a
// thread of a registered process. So either V1 is visible to the keeper, or V2 and V3 come after the cleared bit. A
// process that cannot register makes a barrier of its own in V1.
//
// Threads that have no entry and look (Engine::job(), status, dump) hold a lock for the time of a look:
// Segment::Look.
#pragma once

#include <atomic>
#include <cstdint>

namespace ringmill {

/// Whether this process is registered with the kernel for the keeper's barriers. Asks once; costs a system call.
bool is_registered_for_barriers() noexcept;
/// A full barrier on every processor that runs a thread of a registered process. False: the kernel has none.
bool make_barrier_everywhere() noexcept;

/// One thread's visits, or those of callers that take turns.
class Visits {
 public:
  /// `word` is written by the caller's threads alone.
  explicit Visits(std::atomic<std::uint64_t>& word) noexcept
      : word_(&word), makes_barriers_(!is_registered_for_barriers()) {}

  bool is_inside() const noexcept { return (word_->load(std::memory_order_relaxed) & 1) != 0; }  // ORDER relaxed: ours
  /// visit.V1.
  void begin() noexcept {
    // ORDER relaxed: the barrier below, or the keeper's, orders it.
    word_->store(word_->load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
    if (makes_barriers_) [[unlikely]] {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
      std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler's order; the processor's is the keeper's
    }
  }
  /// visit.V4.
  void end() noexcept {
    // ORDER visit: releases, so that all that the visit read and wrote comes before it.
    word_->store((word_->load(std::memory_order_relaxed) | 1) + 1, std::memory_order_release);
  }

 private:
  std::atomic<std::uint64_t>* word_;
  bool makes_barriers_;
};

/// One visit of a thread that has no participant: it ends with its block.
class OneVisit {
 public:
  explicit OneVisit(Visits& visits) noexcept : visits_(&visits) { visits_->begin(); }
  ~OneVisit() { visits_->end(); }
  OneVisit(const OneVisit&) = delete;
  OneVisit& operator=(const OneVisit&) = delete;

 private:
  Visits* visits_;
};

}  // namespace ringmill
