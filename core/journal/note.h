// How a cell and the journal speak of each other: states, and what stands in CellHeader::revision (which life of the
// cell the journal knows, and where).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/journal/format.h"
#include "ipc/state_word.h"

namespace ringmill {

/// How the states of cells stand in the journal; all others are `waits` there, and come back queued.
inline constexpr std::array<CellState, most_journaled_state + 1> cell_states{CellState::queued,    CellState::delayed,
                                                                             CellState::completed, CellState::cancelled,
                                                                             CellState::burying,   CellState::blocked};
constexpr CellState cell_state(JournaledState state) noexcept { return cell_states[static_cast<std::size_t>(state)]; }
constexpr JournaledState journaled_state(CellState state) noexcept {
  const auto found = std::ranges::find(cell_states, state);
  return found == cell_states.end() ? JournaledState::waits : static_cast<JournaledState>(found - cell_states.begin());
}
static_assert(cell_state(JournaledState::delayed) == CellState::delayed &&
              cell_state(JournaledState::dead) == CellState::burying &&
              journaled_state(CellState::cancelled) == JournaledState::cancelled &&
              journaled_state(CellState::running) == JournaledState::waits);

/// Others may have come with this completion.
constexpr bool may_have_follow_ups(StateWord word) noexcept { return word.state() == CellState::completed; }

/// generation 40, of which a cell uses 39 | segment 24. Zero: the journal has no generation of this cell that has not
/// ended. The segment is the low part of its number: all segments that count at a time are far fewer than 2^24.
struct JournalNote {
  std::uint64_t generation = 0;
  std::uint32_t segment = 0;

  static constexpr std::uint32_t segment_mask = (1U << 24) - 1;
  static constexpr std::uint32_t segment_tag(std::uint64_t segment_number) noexcept {
    return static_cast<std::uint32_t>(segment_number & segment_mask);
  }
  constexpr std::uint64_t bits() const noexcept { return generation << 24 | segment; }
  static constexpr JournalNote of(std::uint64_t bits) noexcept {
    return {bits >> 24, static_cast<std::uint32_t>(bits & segment_mask)};
  }
};
static_assert(JournalNote::of(JournalNote{5, 7}.bits()).generation == 5);

}  // namespace ringmill
