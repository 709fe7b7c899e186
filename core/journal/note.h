// What stands in CellHeader::revision: which life of the cell the journal knows, and where.
#pragma once

#include <cstdint>

namespace ringmill {

/// generation 40 | segment 24. Zero: the journal knows no life of this cell that it has not seen end.
/// The segment is the low part of its number: all segments that count at a time are far fewer than 2^24.
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
