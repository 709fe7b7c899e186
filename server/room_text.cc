#include "server/room_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/levels/level_names.h"
#include "core/table/job_table.h"
#include "core/table/level_bound.h"
#include "core/table/room.h"

namespace ringmill {

namespace {

/// The smallest piece of memory that the table grows by.
bool tmpfs_has_room(const Segment& segment) {
  const auto left = segment.memory_left();
  return !left || *left >= CellChunks::chunk_bytes;
}

std::uint64_t cells_in_use(const Segment& segment, CellRange cells) {
  const JobTable table(segment);
  std::uint64_t used = 0;
  table.for_each_cell([&](CellIndex index) {
    if (index >= cells.first && index < cells.end && table.word(index).state() != CellState::free) ++used;
  });
  return used;
}

bool can_grow(const Segment& segment, const Room& room) {
  const CellChunks chunks = segment.chunks();
  const std::uint32_t end = (room.common().end + chunks.chunk_cells() - 1) / chunks.chunk_cells();
  for (std::uint32_t chunk = 0; chunk < end; ++chunk) {
    if (chunks.word(chunk).state == ChunkState::absent) return true;
  }
  return false;
}

std::string of_own_cells(const Segment& segment, const Room& room, std::uint32_t level) {
  const CellRange own = room.own_of(level);
  if (own.size() == 0) return "none are kept for this level (init --reserve)";
  return fmt::format("{} of the {} that are kept for {} are in use (init --reserve)", cells_in_use(segment, own),
                     own.size(), level < segment.geometry().level_count ? "this level" : "levels made at run time");
}

std::string of_common_cells(const Segment& segment, const Room& room) {
  const std::uint64_t used = cells_in_use(segment, room.common());
  const std::string of_handlers =
      room.leases() == 0 ? "" : fmt::format(" and {} more for follow-ups of running jobs", room.leases());
  return fmt::format("all levels share room for {} jobs (capacity){}, of which {} are in use, kept results included",
                     room.plain_capacity(), of_handlers, used);
}

std::string of_most(const LevelCount& count) {
  return fmt::format("it holds about {} jobs in whatever state, kept results included, and may hold {} (--most)",
                     count.held(), count.most());
}

}  // namespace

std::string refusal_at(const Segment& segment, std::uint32_t level) {
  const auto look = segment.look();
  const LevelCount count(segment, level);
  const std::string name = level_name(segment, level);
  if (count.is_bounded() && !count.has_room(1)) return fmt::format("level {} is full: {}", name, of_most(count));
  const Room room(segment);
  const FreeMap map = segment.free_map();
  if (map.count(room.common().end, room.leases() + 1) > room.leases()) return {};
  const CellRange own = room.own_of(level);
  if (map.count(own.first, own.end, 1) != 0) return {};
  const bool grows = can_grow(segment, room);
  if (grows && tmpfs_has_room(segment)) return {};
  const std::string full = grows ? "the tmpfs of the engine's shared memory is full" : "the engine is full";
  return fmt::format("{}: {}; {}", full, of_common_cells(segment, room), of_own_cells(segment, room, level));
}

std::string bounds_at(const Segment& segment, std::uint32_t level) {
  const auto look = segment.look();
  const LevelCount count(segment, level);
  const Room room(segment);
  return fmt::format("{}{}; {}", count.is_bounded() ? of_most(count) + "; " : "", of_common_cells(segment, room),
                     of_own_cells(segment, room, level));
}

}  // namespace ringmill
