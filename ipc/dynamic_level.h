// Dynamic levels: the two words of a LevelEntry, and the room of their rings.
//
// A level is named by its number and its epoch. A reused number has the next epoch, so the Level of a removed one is
// recognised. The number with the lowest epoch is given first. The 16 bits of epoch wrap after 67 million levels: a
// Level that was kept for all that time may name a new level.
//
// A piece of ring may have belonged to another level before. A pusher that was stopped inside a push to that level may
// still swap a slot, if the slot's word is the one that it read. The hint that it leaves is dead, because the level was
// empty when it was removed. A lap that is too high makes others step over the slot, which costs one place until the
// next lap. Counters go on far enough beyond their old values that no stopped pusher can raise them
// (RingPiece::begin_behind).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "ipc/layout.h"

namespace ringmill {

enum class LevelState : std::uint8_t { unused = 0, open = 1, closing = 2, removed = 3 };

/// LevelEntry::dynamic_state: state 8 | epoch 16 | number + 1 of the participant that removes it, while closing 16.
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
inline constexpr std::uint64_t least_level_ring_slots = std::uint64_t{most_dynamic_levels} * least_level_ring;
inline constexpr std::uint64_t most_level_ring_slots = std::uint64_t{1} << 26;
/// 512 KiB: sixteen rings of the default size, and smaller ones for more levels.
inline constexpr std::uint64_t default_level_ring_slots = std::uint64_t{1} << 16;

/// LevelEntry::dynamic_ring: the first slot 32 | how many above.
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
  /// Returns where the counters of a ring in this piece begin, if they stood at `position` before: at a lap's
  /// beginning, and beyond what a stopped pusher to the former ring may still raise them to.
  constexpr std::uint64_t begin_behind(std::uint64_t position) const noexcept {
    return (position + 2 * std::uint64_t{most_level_ring}) / slots * slots + slots;
  }
};

/// Returns the value of a Level: number 16 | epoch above. The epoch of a fixed level is 0.
constexpr std::uint32_t level_value(std::uint32_t number, std::uint16_t epoch) noexcept {
  return number | std::uint32_t{epoch} << 16;
}
constexpr std::uint32_t level_number(std::uint32_t value) noexcept { return value & 0xffff; }
constexpr std::uint16_t level_epoch(std::uint32_t value) noexcept { return static_cast<std::uint16_t>(value >> 16); }

}  // namespace ringmill
