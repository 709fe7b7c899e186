// A ring of hints: where claimers look for queued jobs, in the order in which they were enqueued.
//
// A slot is one word: lap 28 | hint 36. The hint is the low 36 bits of a job id: 12 bits of the generation and the
// cell's index. A hint is never believed: the cell's own word decides whether the job still waits ("the hint is live"),
// and only that word is swapped to claim it. Position p (64 bits, never wraps) is slot p & mask in lap p >>
// log2(slots); positions start at lap 1, so that zeroed memory is an empty ring.
//
// Invariants
//   ring.I1  Every position below `head` holds a hint that is dead. (A job that is queued again gets a new hint,
//            further on.)
//   ring.I2  Every position below `tail` was filled in its lap.
//   ring.I3  head and tail only grow. Both may lag behind the truth; that costs steps and nothing else.
//
// Push of a hint                                           killed just after the step
//   ring.P1  read tail t, then slot(t)                        nothing happened
//              lap(t):       filled already, help tail to t + 1, again
//              lap(t) - 1:   this slot is next. Unless t - head < slots the ring is full: M1
//              a later lap:  our tail is old, again
//   ring.P2  CAS slot(t) from the word read to lap(t) | hint  the hint is there; the next pusher helps the tail (P1)
//   ring.P3  raise tail to t + 1
//
// Making room in a full ring. Slot(h) is also slot(h + slots), the next one to be filled.
//   ring.M1  read head h, then slot(h): dead? raise head         the next pusher steps over it again
// A ring whose front is live is full: no hint is moved, so that jobs begin in the order in which they came. The pusher
// leaves its job to the keeper's overflow queue (core/table/settling.h, settle.O1 to settle.O4).
//
// Look at the front (Cursor)
//   ring.C1  read head h, then slot(h)
//              lap(h) - 1:   not filled yet: the ring is empty
//              lap(h):       a hint. The caller claims its cell, or sees that it is dead, or (a filter) leaves it alone
//              a later lap:  our head is old, again from head
//   ring.C2  raise head to the first position that was left alone   not raised: the next claimer steps over them again
//
// There is no moment between "reserved" and "published". Slots are not emptied after a claim: I1 says that a filled
// slot below head is free for the next lap, which saves a write to a shared line per job (docs/decisions/0003).
//
// The lap field wraps after 2^28 laps. A pusher stopped between P1 and P2 for exactly that long, over a slot that holds
// the same hint again, could overwrite a live hint: at 20 M jobs/s through 4,096 slots that is 15 hours to the
// nanosecond, and the keeper's scan finds the job that lost its hint.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/invariant.h"
#include "ipc/layout.h"
#include "ipc/prefetch.h"

namespace ringmill {

/// Raises a counter to `value` unless it is there already. Each step of every repair in a ring is this one.
/// ORDER position: relaxed failure; success releases the slots seen so far to the one that acquires the counter.
inline void raise_to(std::atomic<std::uint64_t>& counter, std::uint64_t value) noexcept {
  std::uint64_t seen = counter.load(std::memory_order_relaxed);
  while (seen < value &&
         !counter.compare_exchange_weak(seen, value, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

class Ring {
 public:
  static constexpr std::uint32_t hint_bits = 36;
  static constexpr std::uint64_t hint_mask = (std::uint64_t{1} << hint_bits) - 1;
  static constexpr std::uint64_t slots_per_line = cache_line_bytes / sizeof(std::uint64_t);
  static constexpr std::uint64_t lap_mask = (std::uint64_t{1} << (64 - hint_bits)) - 1;

  Ring() noexcept = default;
  /// `slot_count` is a power of two; `slots` points at that many words.
  Ring(LevelEntry* level, std::atomic<std::uint64_t>* slots, std::uint64_t slot_count) noexcept
      : level_(level),
        slots_(slots),
        mask_(slot_count - 1),
        shift_(static_cast<std::uint32_t>(__builtin_ctzll(slot_count))) {}

  std::uint64_t slot_count() const noexcept { return mask_ + 1; }

  /// The meaning of a slot's word for a position.
  enum class Turn { before, now, after };
  Turn turn_of(std::uint64_t slot_word, std::uint64_t position) const noexcept {
    const std::uint64_t ahead = ((slot_word >> hint_bits) - (position >> shift_)) & lap_mask;
    if (ahead == 0) return Turn::now;
    return ahead == lap_mask ? Turn::before : Turn::after;
  }

  /// The first position that may hold a live hint. Zeroed memory means the start of lap 1.
  std::uint64_t head() const noexcept { return clamp(level_->head.load(std::memory_order_acquire)); }  // ORDER position
  std::uint64_t tail() const noexcept { return clamp(level_->tail.load(std::memory_order_acquire)); }  // ORDER position

  /// Acquires what the pusher wrote before P2, above all the queued cell. seq_cst, like P2 itself: a sleeper's last
  /// look and a pusher's look for sleepers must not miss each other (ipc/sleepers.h). On x86-64 it is a plain load.
  std::uint64_t slot(std::uint64_t position) const noexcept { return slots_[position & mask_].load(); }
  static constexpr std::uint64_t hint_of(std::uint64_t slot_word) noexcept { return slot_word & hint_mask; }
  /// The line of a position that will be pushed to, or looked at, soon.
  void prefetch_to_push(std::uint64_t position) const noexcept { prefetch_to_write(&slots_[position & mask_]); }
  void prefetch_to_look(std::uint64_t position) const noexcept { prefetch_to_read(&slots_[position & mask_]); }

  /// C2. The caller has seen that every hint below `position` is dead.
  void raise_head(std::uint64_t position) noexcept {
    RINGMILL_INVARIANT(was_filled(position - 1));  // ring.I1: the head never passes a slot that waits to be filled
    raise_to(level_->head, position);
  }

  enum class Pushed { done, full };
  /// P1 to P3 for one hint. `is_live(hint)` is asked only when the ring looks full, to step over dead hints at its
  /// front.
  template <class IsLive>
  Pushed push(std::uint64_t hint, IsLive&& is_live) noexcept {
    std::uint64_t position = tail();
    const Pushed pushed = push_at(position, hint, is_live);
    raise_tail(position);
    return pushed;
  }

  /// Pushes at `position` or after it, without raising the tail; leaves `position` just behind. A batch raises the tail
  /// once.
  template <class IsLive>
  Pushed push_at(std::uint64_t& position, std::uint64_t hint, IsLive&& is_live) noexcept {
    // In a sound ring a step fails only because another pusher succeeded. The bound is for one that is corrupted.
    for (std::uint64_t step = 0; step < 2 * slot_count() + 64; ++step) {
      std::uint64_t seen = slot(position);
      switch (turn_of(seen, position)) {
        case Turn::now:
          ++position;
          continue;
        case Turn::after: {
          const std::uint64_t newer = tail();
          position = newer > position ? newer : position + 1;
          continue;
        }
        case Turn::before:
          break;
      }
      if (position - known_head_ >= slot_count()) {
        known_head_ = head();
        if (position < known_head_) {
          position = tail();
          continue;
        }
        if (position - known_head_ >= slot_count()) {
          if (!make_room(is_live)) return Pushed::full;
          continue;
        }
      }
      if (slots_[position & mask_].compare_exchange_strong(seen, word_at(position, hint))) {
        RINGMILL_INVARIANT(was_filled(position - 1));  // no gap: each position before this one is filled
        ++position;
        return Pushed::done;
      }
    }
    return Pushed::full;
  }
  void raise_tail(std::uint64_t position) noexcept {
    RINGMILL_INVARIANT(was_filled(position - 1));  // ring.I2
    raise_to(level_->tail, position);
  }

 private:
  std::uint64_t clamp(std::uint64_t position) const noexcept {
    return position < slot_count() ? slot_count() : position;
  }
  /// True once the position has had its hint, in its lap. It stays true.
  bool was_filled(std::uint64_t position) const noexcept { return turn_of(slot(position), position) != Turn::before; }
  std::uint64_t word_at(std::uint64_t position, std::uint64_t hint) const noexcept {
    return ((position >> shift_) & lap_mask) << hint_bits | hint;
  }

  /// M1 for the hint at the front. False: it is live, and the ring is full.
  template <class IsLive>
  bool make_room(IsLive&& is_live) noexcept {
    const std::uint64_t front = known_head_;
    const std::uint64_t word = slot(front);
    const Turn turn = turn_of(word, front);
    if (turn == Turn::before) return true;  // nothing at the front: a full ring without hints is corrupted
    if (turn == Turn::now && is_live(hint_of(word))) return false;  // ring.M1
    raise_head(front + 1);
    known_head_ = head();
    return true;
  }

  LevelEntry* level_ = nullptr;
  std::atomic<std::uint64_t>* slots_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint32_t shift_ = 0;
  std::uint64_t known_head_ = 0;  // private to this view: an old head is a safe one
};

}  // namespace ringmill
