// Spill state of a level's ring: LevelEntry::overflow = count of drains, 30 bits | state, 2 bits.
//
//   direct    The ring has room. Producers push; a producer that finds the ring full sets `spilled`.
//   spilled   Some jobs wait in the keeper's overflow queue. Producers mark their cell for the keeper and do not push,
//             so that no job overtakes the queue.
//   draining  The queue is empty. The keeper takes the marks once more before it returns to `direct`. A producer that
//             marks a cell in this state sets `spilled` again, and the keeper's swap to `direct` fails.
//
// Only the keeper leaves `spilled`. A producer that reads the same count of drains, and no `direct`, before and after
// it marks its cell knows that the keeper will take the mark as a new arrival. The count wraps after 2^30 drains, a
// keeper's turn each: a producer that was stopped for exactly that many leaves its job to the table scan.
#pragma once

#include <cstdint>

namespace ringmill {

struct SpillState {
  static constexpr std::uint32_t direct = 0;
  static constexpr std::uint32_t spilled = 1;
  static constexpr std::uint32_t draining = 2;
  static constexpr std::uint32_t state_mask = 3;

  static constexpr bool is_known(std::uint32_t word) noexcept { return (word & state_mask) <= draining; }
  static constexpr bool is_direct(std::uint32_t word) noexcept { return (word & state_mask) == direct; }
  static constexpr bool is_draining(std::uint32_t word) noexcept { return (word & state_mask) == draining; }
  static constexpr std::uint32_t to_spilled(std::uint32_t word) noexcept { return (word & ~state_mask) | spilled; }
  static constexpr std::uint32_t to_draining(std::uint32_t word) noexcept { return (word & ~state_mask) | draining; }
  /// Counts one drain more.
  static constexpr std::uint32_t to_direct(std::uint32_t word) noexcept {
    return (word & ~state_mask) + state_mask + 1;
  }
  /// `after` was read after `before`, which was not direct: the state was not direct in between either.
  static constexpr bool has_not_drained_between(std::uint32_t before, std::uint32_t after) noexcept {
    return !is_direct(after) && (before | state_mask) == (after | state_mask);
  }
};
static_assert(SpillState::is_direct(SpillState::to_direct(SpillState::draining)) && SpillState::is_direct(0));
static_assert(!SpillState::has_not_drained_between(
    SpillState::spilled, SpillState::to_spilled(SpillState::to_direct(SpillState::draining))));

}  // namespace ringmill
