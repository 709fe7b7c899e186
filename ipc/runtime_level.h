// Levels made at run time: what the two words of a LevelEntry say of one, and how much room their rings have.
//
// A level is named by its number and its epoch: a number that was used before comes back with the next epoch, so that
// a holder of the Level of a removed one is told. The number with the lowest epoch is given first. 16 bits of
// epoch wrap: after 67 million levels an old Level may name a new level, if its holder has kept it all the while.
//
// A piece of ring may have been another level's before. A pusher that was stopped in the middle of a push to that one
// may still swap a slot, if it holds the word that was read then: the hint that it leaves is dead (the level was empty
// when it was removed), and a lap too high makes the slot be stepped over, which costs one place for a while. Counters
// go on where they were, far enough on that no stopped pusher can raise them (RingPiece::begin_behind).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "ipc/layout.h"

namespace ringmill {

enum class LevelState : std::uint8_t { unused = 0, open = 1, closing = 2, removed = 3 };

/// LevelEntry::runtime_state: state 8 | epoch 16 | number + 1 of the participant that removes it, while closing 16.
struct LevelWord {
  LevelState state = LevelState::unused;
  std::uint16_t epoch = 0;
  std::uint16_t closer = 0;

  constexpr std::uint64_t bits() const noexcept {
    return static_cast<std::uint64_t>(state) | std::uint64_t{epoch} << 8 | std::uint64_t{closer} << 24;
  }
  static constexpr LevelWord of(std::uint64_t bits) noexcept {
    return {.state = static_cast<LevelState>(bits & 0xff),
            .epoch = static_cast<std::uint16_t>(bits >> 8 & 0xffff),
            .closer = static_cast<std::uint16_t>(bits >> 24 & 0xffff)};
  }
  constexpr bool is_in_use() const noexcept { return state == LevelState::open || state == LevelState::closing; }
};

/// The smallest ring of a level, and what its number takes of the room for all.
inline constexpr std::uint32_t least_level_ring = 16;
inline constexpr std::uint32_t most_level_ring = 1U << 16;
inline constexpr std::uint32_t default_level_ring = 4096;
inline constexpr std::uint64_t least_level_ring_slots = std::uint64_t{most_runtime_levels} * least_level_ring;
inline constexpr std::uint64_t most_level_ring_slots = std::uint64_t{1} << 26;
/// A hint for every second cell: at a million cells 4 bytes per job. A power of two.
constexpr std::uint64_t default_level_ring_slots(std::uint32_t capacity) noexcept {
  return std::clamp<std::uint64_t>(std::bit_ceil(capacity / 2), std::uint64_t{1} << 16, std::uint64_t{1} << 19);
}

/// LevelEntry::runtime_ring: the first slot 32 | how many above.
struct RingPiece {
  std::uint32_t first = 0;
  std::uint32_t slots = 0;

  constexpr std::uint64_t bits() const noexcept { return std::uint64_t{first} | std::uint64_t{slots} << 32; }
  static constexpr RingPiece of(std::uint64_t bits) noexcept {
    return {.first = static_cast<std::uint32_t>(bits), .slots = static_cast<std::uint32_t>(bits >> 32)};
  }
  constexpr bool is_within(std::uint64_t all_slots) const noexcept {
    return std::has_single_bit(slots) && slots >= least_level_ring && slots <= most_level_ring &&
           std::uint64_t{first} + slots <= all_slots;
  }
  /// Where the counters of a ring in this piece begin when they stood at `position` before: at a lap's beginning, and
  /// beyond what a pusher to the former ring may still raise them to.
  constexpr std::uint64_t begin_behind(std::uint64_t position) const noexcept {
    return (position + 2 * std::uint64_t{most_level_ring}) / slots * slots + slots;
  }
};

/// What a Level's value is: number 16 | epoch above. Of a first level the epoch is 0.
constexpr std::uint32_t level_value(std::uint32_t number, std::uint16_t epoch) noexcept {
  return number | std::uint32_t{epoch} << 16;
}
constexpr std::uint32_t level_number(std::uint32_t value) noexcept { return value & 0xffff; }
constexpr std::uint16_t level_epoch(std::uint32_t value) noexcept { return static_cast<std::uint16_t>(value >> 16); }

}  // namespace ringmill
