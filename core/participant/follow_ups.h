// The follow-ups of the jobs that a participant holds: cells that are filled and not published yet.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/participant/context.h"

namespace ringmill {

/// Keeps the follow-ups of each held job by its lease slot. They become visible when that job completes, or are freed
/// when its run ends in another way. A participant's death leaves cells in state filling, which a scan frees.
class FollowUps {
 public:
  using Cells = std::vector<FreeCells::Filling>;

  explicit FollowUps(ParticipantContext& context) noexcept : context_(context) {}

  /// Returns whether no held job has any. The hot path asks only this.
  bool empty() const noexcept { return by_slot_.empty(); }
  /// Returns those of a job, in their order.
  std::span<const FreeCells::Filling> of(std::uint32_t slot) const noexcept {
    const auto found = by_slot_.find(slot);
    return found != by_slot_.end() ? std::span<const FreeCells::Filling>(found->second)
                                   : std::span<const FreeCells::Filling>{};
  }
  /// Adds one. If this throws, the caller still has the cell.
  void add(std::uint32_t slot, const FreeCells::Filling& filling) {
    Cells& cells = by_slot_[slot];
    cells.push_back(filling);
  }
  /// Hands a job's follow-ups to the caller, which publishes them or takes them back.
  Cells take(std::uint32_t slot) noexcept {
    auto taken = by_slot_.extract(slot);
    return taken ? std::move(taken.mapped()) : Cells{};
  }
  /// Frees the cells of a job's follow-ups.
  [[gnu::noinline]] void drop(std::uint32_t slot) noexcept { context_.take_back(take(slot)); }

 private:
  ParticipantContext& context_;
  std::map<std::uint32_t, Cells> by_slot_;
};

}  // namespace ringmill
