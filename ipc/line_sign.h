// LevelEntry::overflow of a level made at run time: whether newcomers line up behind those who wait with the keeper.
//
//   down      nobody waits: a newcomer pushes his hint himself, and puts the sign up if the ring is full
//   up        somebody may wait: a newcomer marks his cell for the keeper
//   lowering  the keeper knows of nobody, and looks at the marks once more: a newcomer marks his cell, then puts the
//             sign up again, and the keeper's swap to down fails
//
// Word: how often it went down 30 | state 2. Only the keeper lowers. Whoever marks, and reads afterwards that it has
// not been down since he began, knows that the keeper takes the mark for a newcomer's. (It wraps: who stands still
// between his two reads for exactly 2^30 lowerings, a keeper's turn each, may leave his job to the scan.)
#pragma once

#include <cstdint>

namespace ringmill {

struct LineSign {
  static constexpr std::uint32_t down = 0;
  static constexpr std::uint32_t up = 1;
  static constexpr std::uint32_t lowering = 2;
  static constexpr std::uint32_t state_mask = 3;

  static constexpr bool is_down(std::uint32_t word) noexcept { return (word & state_mask) == down; }
  static constexpr bool is_lowering(std::uint32_t word) noexcept { return (word & state_mask) == lowering; }
  static constexpr std::uint32_t raised(std::uint32_t word) noexcept { return (word & ~state_mask) | up; }
  static constexpr std::uint32_t being_lowered(std::uint32_t word) noexcept { return (word & ~state_mask) | lowering; }
  static constexpr std::uint32_t lowered(std::uint32_t word) noexcept { return (word & ~state_mask) + state_mask + 1; }
  /// `later` was read after `earlier`, which was not down: it was not down in between either.
  static constexpr bool was_never_down(std::uint32_t earlier, std::uint32_t later) noexcept {
    return !is_down(later) && (earlier | state_mask) == (later | state_mask);
  }
};
static_assert(LineSign::is_down(LineSign::lowered(LineSign::lowering)) && LineSign::is_down(0));
static_assert(!LineSign::was_never_down(LineSign::up, LineSign::raised(LineSign::lowered(LineSign::lowering))));

}  // namespace ringmill
