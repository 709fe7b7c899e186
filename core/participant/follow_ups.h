// The follow-ups of the jobs that a participant holds: cells that are filled and not published yet.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/participant/context.h"

namespace ringmill {

/// Keeps the follow-ups of each held job by its lease slot. They become visible when that job completes, or are freed
/// when its run ends in another way. A participant's death leaves cells in state filling, which a scan frees. The first
/// one of a job has its place here: it allocates nothing.
class FollowUps {
 public:
  explicit FollowUps(ParticipantContext& context) noexcept : context_(context) {}

  /// Returns whether nothing is known of any held job. The hot path asks only this.
  bool empty() const noexcept { return (held_ | refused_) == 0; }
  /// Returns those of a job, in their order.
  std::span<const FreeCells::Filling> of(std::uint32_t slot) const noexcept {
    return (held_ & bit(slot)) != 0 ? by_slot_[slot].all() : std::span<const FreeCells::Filling>{};
  }
  /// Adds one. If this throws, the caller still has the cell.
  void add(std::uint32_t slot, const FreeCells::Filling& filling) {
    Cells& cells = by_slot_[slot];
    if ((held_ & bit(slot)) == 0) {
      cells.forget();
      cells.first = filling;
    } else {
      if (cells.several.empty()) cells.several.push_back(cells.first);
      cells.several.push_back(filling);
    }
    held_ |= bit(slot);
    refused_ &= ~bit(slot);
  }
  /// The job's last follow-up found no room.
  void note_refusal(std::uint32_t slot) noexcept { refused_ |= bit(slot); }
  bool was_refused(std::uint32_t slot) const noexcept { return (refused_ & bit(slot)) != 0; }
  /// Forgets the job, and hands its follow-ups to the caller, which publishes them or takes them back before the slot
  /// gets another.
  std::span<const FreeCells::Filling> take(std::uint32_t slot) noexcept {
    const std::span<const FreeCells::Filling> taken = of(slot);
    held_ &= ~bit(slot);
    refused_ &= ~bit(slot);
    return taken;
  }
  /// Frees the cells of a job's follow-ups.
  [[gnu::noinline]] void drop(std::uint32_t slot) noexcept { context_.take_back(take(slot)); }

 private:
  struct Cells {
    FreeCells::Filling first{};
    std::vector<FreeCells::Filling> several{};  // with the first, if there is more than one

    std::span<const FreeCells::Filling> all() const noexcept {
      return several.empty() ? std::span(&first, 1) : std::span<const FreeCells::Filling>(several);
    }
    void forget() noexcept {
      constexpr std::size_t most_kept = 64;
      several.clear();
      if (several.capacity() > most_kept) several.shrink_to_fit();
    }
  };
  static constexpr std::uint64_t bit(std::uint32_t slot) noexcept { return std::uint64_t{1} << slot; }

  ParticipantContext& context_;
  std::uint64_t held_ = 0;     // bit per slot
  std::uint64_t refused_ = 0;  // likewise
  std::array<Cells, lease_slots> by_slot_{};
};
static_assert(lease_slots == 64, "a word of bits");

}  // namespace ringmill
