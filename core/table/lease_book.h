// The leases of one participant: slots in its registry entry that the keeper reads, and a private buffer per slot for
// the payload.
//
// A slot is written before the cell is won, so a held lease always has its slot: the reaper finds a dead participant's
// jobs without a scan, and the keeper finds deadlines without touching the cells. A lost lease keeps its slot until its
// Job is settled; the version in the note tells it from a later lease on the same job.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ipc/invariant.h"
#include "ipc/layout.h"
#include "ipc/segment.h"
#include "ipc/state_word.h"
#include "ipc/waking.h"

namespace ringmill {

/// One claimed cell.
struct Claim {
  CellIndex index = 0;
  std::uint32_t slot = 0;
  StateWord word{};
};

class LeaseBook {
 public:
  LeaseBook(const Segment& segment, ParticipantEntry& entry, std::uint32_t payload_bytes)
      : segment_(&segment),
        entry_(&entry),
        buffer_bytes_(in_whole_lines(payload_bytes)),
        buffers_(lease_slots * buffer_bytes_) {}

  static_assert(lease_slots == 64, "free_ is one word");
  std::uint32_t held() const noexcept { return lease_slots - static_cast<std::uint32_t>(std::popcount(free_)); }
  bool is_held(std::uint32_t n) const noexcept { return (free_ >> n & 1) == 0; }
  bool is_full() const noexcept { return free_ == 0; }

  /// The slot that reserve() would write next.
  std::uint32_t next() const noexcept { return static_cast<std::uint32_t>(std::countr_zero(free_)); }

  /// Writes the next slot for a job that is about to be claimed; `claimed` is the word that the cell will get. Kept
  /// only if confirm() follows. ORDER lease: relaxed, released together by the claiming swap.
  LeaseSlot& reserve(JobId id, StateWord claimed, std::uint64_t deadline_ns) noexcept {
    RINGMILL_INVARIANT(!is_full());
    LeaseSlot& slot = entry_->leases[next()];
    slot.deadline_ns.store(deadline_ns, std::memory_order_relaxed);
    slot.started_at_ns.store(0, std::memory_order_relaxed);
    slot.note.store(LeaseNote{Outcome::complete, 0, static_cast<std::uint16_t>(claimed.version())}.bits(),
                    std::memory_order_relaxed);
    slot.job_id.store(id.value(), std::memory_order_relaxed);
    return slot;
  }
  void confirm() noexcept {
    RINGMILL_INVARIANT(!is_full());
    free_ &= free_ - 1;
  }

  LeaseSlot& slot(std::uint32_t n) noexcept { return entry_->leases[n]; }
  std::byte* buffer(std::uint32_t n) noexcept { return buffers_.data() + std::size_t{n} * buffer_bytes_; }

  /// A reservation whose job went to another participant. The slot names the job no longer, or it would keep that job's
  /// extent from the others for as long as the slot is not used. `may_be_large`: the job may have an extent.
  void drop_reservation(bool may_be_large) noexcept {
    // ORDER lease: nothing of the job was read by this lease.
    entry_->leases[next()].job_id.store(0, std::memory_order_release);
    if (may_be_large) wake_for_extent(*segment_);
  }

  /// settle.E7: the lease is over, won or lost. A slot that names a job keeps its extent from the others, so a producer
  /// may wait for just this.
  void give_back(std::uint32_t n) noexcept {
    give_back_plain(n);
    wake_for_extent(*segment_);
  }
  /// settle.E7 for a job that is known to have no extent.
  void give_back_plain(std::uint32_t n) noexcept {
    RINGMILL_INVARIANT(is_held(n));
    entry_->leases[n].job_id.store(0, std::memory_order_release);  // ORDER lease: after the cell's last transition
    free_ |= std::uint64_t{1} << n;
  }

  /// The permit that the run of a lease has, if its kind is limited. The participant that gives such a lease back
  /// leaves the slot too (Admission::leave).
  struct PermitHold {
    std::uint32_t row = 0;
    std::uint32_t permit = 0;
    std::uint32_t kind = 0;
    StateWord run{};  // the word that it was claimed with
  };
  /// Whether its kind has limits: a permit is noted, or a token is to be taken when the run begins.
  bool is_limited(std::uint32_t n) const noexcept { return (limited_ >> n & 1) != 0; }
  void note_limited(std::uint32_t n) noexcept { limited_ |= std::uint64_t{1} << n; }
  void forget_limited(std::uint32_t n) noexcept { limited_ &= ~(std::uint64_t{1} << n); }
  bool has_permit(std::uint32_t n) const noexcept { return (with_slot_ >> n & 1) != 0; }
  void note_permit(std::uint32_t n, PermitHold hold) noexcept {
    RINGMILL_INVARIANT(!has_permit(n));
    with_slot_ |= std::uint64_t{1} << n;
    note_limited(n);
    holds_[n] = hold;
  }
  PermitHold forget_permit(std::uint32_t n) noexcept {
    with_slot_ &= ~(std::uint64_t{1} << n);
    forget_limited(n);
    return holds_[n];
  }

 private:
  const Segment* segment_;
  ParticipantEntry* entry_;
  std::size_t buffer_bytes_;
  std::vector<std::byte> buffers_;
  std::uint64_t free_ = ~std::uint64_t{0};
  std::uint64_t with_slot_ = 0;
  std::uint64_t limited_ = 0;
  std::array<PermitHold, lease_slots> holds_;
};

}  // namespace ringmill
