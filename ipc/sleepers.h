// Which participants sleep, and how to wake just them: an event count with one sign and one futex word per participant.
//
//   sleeper                                             waker
//   wake.S1  read own wake_sequence                     wake.W1  make the thing happen (fill a slot, list a cell)
//   wake.S2  set own bit                                wake.W2  any bit set? no: done, no system call
//   wake.S3  look again; found: clear own bit, go on    wake.W3  clear one bit; it was set: the duty to wake is ours
//   wake.S4  sleep while wake_sequence is what S1 read  wake.W4  add one to its wake_sequence, futex wake
//   wake.S5  clear own bit
//
// No wake-up is lost (hazard 10 in docs/hazards.md): S2 ends with a full fence, and W1 either ends with a seq_cst
// read-modify-write or with a full fence (wake_for_extent() of ipc/waking.h). W2 is seq_cst. So either S3 sees what W1
// did, whatever the order of its loads, or W2 sees S2's bit. Killed after W3, before W4: the waker is dead, its reaper
// wakes all that have no bit. Killed sleeper: its reaper clears the bit, and wakes one for each job that waits, because
// a wake may have gone to the dead (hazard 23).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "ipc/full_fence.h"
#include "ipc/futex.h"
#include "ipc/invariant.h"
#include "ipc/layout.h"
#include "ipc/segment.h"

namespace ringmill {

/// A sleeper checks again after 1 s even without a wake: a participant that was woken and then stopped (SIGSTOP, a
/// debugger) must not withhold a job from the others for longer. No wake-up relies on it; the tests switch it off.
inline std::uint64_t longest_sleep_ns = 1'000'000'000;

class Sleepers {
 public:
  using Bits = std::atomic<std::uint64_t>[participant_words];

  /// `bits` is one of the sets of the segment's Signals.
  Sleepers(const Segment& segment, Bits& bits) noexcept : segment_(&segment), bits_(&bits) {}

  std::uint32_t sequence_of(std::uint32_t participant) const noexcept {
    return segment_->participant(participant).wake_sequence.load();  // wake.S1
  }
  void announce(std::uint32_t participant) noexcept {
    RINGMILL_INVARIANT(!is_announced(participant));  // one thread acts for a participant, and sleeps once at a time
    (*bits_)[participant / 64].fetch_or(bit(participant));  // wake.S2
    full_fence();  // wake.S3 consists of loads of any order: on a weakly ordered machine they could come before the bit
  }
  /// Returns false if a waker has cleared the bit: a wake-up came.
  bool withdraw(std::uint32_t participant) noexcept {
    return ((*bits_)[participant / 64].fetch_and(~bit(participant)) & bit(participant)) != 0;
  }
  bool is_announced(std::uint32_t participant) const noexcept {
    return ((*bits_)[participant / 64].load() & bit(participant)) != 0;
  }
  void sleep(std::uint32_t participant, std::uint32_t sequence, std::uint64_t timeout_ns) noexcept {
    futex_wait(segment_->participant(participant).wake_sequence, sequence, timeout_ns);  // wake.S4
  }

  /// W2. Costs a load per 64 entries that were ever in use, of lines that seldom change.
  bool any() const noexcept {
    if (segment_->signals().participants_end.load_once().below(65U)) [[likely]]
      return (*bits_)[0].load() != 0;
    return any_of_many();
  }

  /// W3 and W4 for up to `count` sleepers that `wants(entry)` accepts. Returns how many were woken.
  template <class Wants>
  std::uint32_t wake(std::uint32_t count, Wants&& wants) noexcept {
    std::uint32_t woken = 0;
    const std::uint32_t end = words();
    for (std::uint32_t w = 0; w < end && woken < count; ++w) {
      std::uint64_t candidates = (*bits_)[w].load();
      while (candidates != 0 && woken < count) {
        const std::uint32_t participant = w * 64 + static_cast<std::uint32_t>(std::countr_zero(candidates));
        candidates &= candidates - 1;
        if (participant >= segment_->participants_end()) continue;  // the bit is corrupted
        if (!wants(segment_->participant(participant))) continue;
        if (((*bits_)[w].fetch_and(~bit(participant)) & bit(participant)) == 0) continue;
        wake_one(participant);
        ++woken;
      }
    }
    return woken;
  }
  void wake_all() noexcept {
    wake(most_participants, [](const ParticipantEntry&) { return true; });
  }

 private:
  [[gnu::noinline]] bool any_of_many() const noexcept {
    std::uint64_t all = 0;
    const std::uint32_t end = words();
    for (std::uint32_t w = 0; w < end; ++w) all |= (*bits_)[w].load();
    return all != 0;
  }
  /// The words that may have a bit. A sleeper's entry is below the end before S2 (reg.R2 comes after entry.A2), so a
  /// waker that reads an older end in W2 has written W1 before the sleeper's S3.
  std::uint32_t words() const noexcept {
    return (segment_->signals().participants_end.load_once().at_most(most_participants) + 63) / 64;
  }
  static constexpr std::uint64_t bit(std::uint32_t participant) noexcept {
    return std::uint64_t{1} << (participant % 64);
  }
  void wake_one(std::uint32_t participant) noexcept {
    auto& sequence = segment_->participant(participant).wake_sequence;
    sequence.fetch_add(1);
    futex_wake(sequence, 1);
  }

  const Segment* segment_;
  Bits* bits_;
};

}  // namespace ringmill
