// Growing: a producer that finds no free cell takes memory for more (grow.G1 to grow.G5 of ipc/cell_chunks.h).
//
// The common cells grow from the lowest chunk up. A level's own cells (core/table/room.h) grow with them, before them
// and in the same proportion: so what is kept for a level is there whatever fills the rest, the tmpfs included. When
// the tmpfs gives no more, no level grows any more, and each still has its share of what there is.
#pragma once

#include <cerrno>
#include <cstdint>

#include <ringmill/error.h>

#include "core/table/full_memory.h"
#include "core/table/room.h"
#include "ipc/segment.h"

namespace ringmill {

class Growth {
 public:
  explicit Growth(const Segment& segment) noexcept : segment_(&segment), room_(segment) {}

  enum class Grown : std::uint8_t {
    yes,        // more cells are listed, by us or by another participant
    at_most,    // every chunk is there: the capacity is used
    no_memory,  // the tmpfs is full, or was a moment ago
  };
  /// One chunk more of the common cells. Costs about 0.1 ms.
  Grown grow() noexcept {
    if (!full_.may_ask()) return Grown::no_memory;
    const CellChunks chunks = segment_->chunks();
    const std::uint32_t common = common_chunks(chunks);
    const std::uint32_t next = first_absent(chunks, 0, common);
    if (next == common) return Grown::at_most;
    for (std::uint32_t level = 0; level <= most_fixed_levels; ++level) {
      if (!grow_own(chunks, room_.own_by_place(level), next + 1, common)) return fail();
    }
    if (segment_->make_and_list_chunk(next) != 0) return fail();
    segment_->signals().common_end.raise_to(chunks.end_cell(next));
    full_.note(true);
    return Grown::yes;
  }
  /// The memory of an empty engine: half a mebibyte of common cells, and the share of each level.
  static Result<void> make_first_cells(const Segment& segment) {
    Growth growth(segment);
    const CellChunks chunks = segment.chunks();
    const std::uint32_t wanted = std::min(common_first(segment), growth.common_chunks(chunks));
    while (first_absent(chunks, 0, wanted) != wanted) {
      if (growth.grow() == Grown::yes) continue;
      return std::unexpected(cells_refused(ENOSPC));
    }
    return {};
  }
  /// How many chunks of common cells an empty engine has.
  static std::uint32_t common_first(const Segment& segment) noexcept {
    constexpr std::uint32_t first_bytes = 512 * 1024;
    const Geometry& geometry = segment.geometry();
    return std::max(1U, first_bytes / (geometry.chunk_cells * geometry.cell_bytes));
  }
  const Room& room() const noexcept { return room_; }
  /// Whether the last grow() failed because the tmpfs was full.
  bool lacks_memory() const noexcept { return full_.is_full(); }
  /// How many chunks hold common cells, there or not.
  std::uint32_t common_chunks(const CellChunks& chunks) const noexcept {
    return (room_.common().end + chunks.chunk_cells() - 1) / chunks.chunk_cells();
  }
  /// How many chunks of a level's own cells go with `common` of `all_common` chunks.
  static std::uint32_t share_of(const CellChunks& chunks, CellRange own, std::uint32_t common,
                                std::uint32_t all_common) noexcept {
    const std::uint32_t count = chunks.chunk_of(own.end - 1) + 1 - chunks.chunk_of(own.first);
    return static_cast<std::uint32_t>((std::uint64_t{count} * common + all_common - 1) / all_common);
  }

 private:
  Grown fail() noexcept {
    full_.note(false);
    return Grown::no_memory;
  }
  static std::uint32_t first_absent(const CellChunks& chunks, std::uint32_t first, std::uint32_t end) noexcept {
    // One that leaves is not to be touched.
    while (first < end && chunks.word(first).state != ChunkState::absent) ++first;
    return first;
  }
  /// A level's own cells, in proportion to `common` of `all_common` chunks.
  bool grow_own(const CellChunks& chunks, CellRange own, std::uint32_t common, std::uint32_t all_common) noexcept {
    if (own.size() == 0) return true;
    const std::uint32_t first = chunks.chunk_of(own.first);
    const std::uint32_t share = share_of(chunks, own, common, all_common);
    for (std::uint32_t next = first_absent(chunks, first, first + share); next < first + share;
         next = first_absent(chunks, next, first + share)) {
      if (segment_->make_and_list_chunk(next) != 0) return false;
    }
    return true;
  }

  const Segment* segment_;
  Room room_;
  FullMemory full_;
};

}  // namespace ringmill
