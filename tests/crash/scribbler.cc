#include "tests/crash/scribbler.h"

#include <array>

namespace ringmill::test {

namespace {

/// Numbers at the edges of what fields can say.
constexpr std::array<std::uint64_t, 36> edges{0,
                                              1,
                                              2,
                                              3,
                                              63,
                                              64,
                                              65,
                                              127,
                                              128,
                                              192,
                                              255,
                                              256,
                                              257,
                                              511,
                                              512,
                                              1023,
                                              1024,
                                              1026,
                                              1027,
                                              4095,
                                              4096,
                                              65535,
                                              65536,
                                              (1U << 24) - 1,
                                              1U << 24,
                                              (1U << 31) - 1,
                                              1U << 31,
                                              ~std::uint32_t{0},
                                              std::uint64_t{1} << 32,
                                              std::uint64_t{1} << 40,
                                              std::uint64_t{1} << 48,
                                              (std::uint64_t{1} << 56) - 1,
                                              (std::uint64_t{1} << 63) - 1,
                                              std::uint64_t{1} << 63,
                                              ~std::uint64_t{0} - 1,
                                              ~std::uint64_t{0}};

}  // namespace

std::vector<Region> regions_of(const Geometry& g) {
  const std::uint64_t cells = std::uint64_t{g.capacity} * g.cell_bytes;
  const std::uint64_t keepers = keeper_entries * sizeof(ParticipantEntry);
  const std::uint64_t map = mark_map_bytes(g.capacity);
  const std::uint64_t units = std::uint64_t{g.arena_unit_count()} * sizeof(ArenaUnit);
  const std::uint64_t ends = sizeof(CellOptions) + sizeof(CellLinks);
  std::vector<Region> regions{
      {.name = "header", .begin = 0, .bytes = sizeof(SegmentHeader)},
      {.name = "signals", .begin = g.signals, .bytes = sizeof(Signals)},
      {.name = "journal", .begin = g.journal, .bytes = sizeof(JournalWords)},
      {.name = "levels", .begin = g.levels, .bytes = g.level_count * sizeof(LevelEntry)},
      {.name = "dynamic_levels",
       .begin = g.levels + g.level_count * sizeof(LevelEntry),
       .bytes = 4 * sizeof(LevelEntry)},
      {.name = "keepers", .begin = g.participants, .bytes = keepers},
      {.name = "participants", .begin = g.participants + keepers, .bytes = 6 * sizeof(ParticipantEntry)},
      {.name = "kinds", .begin = g.kinds, .bytes = 8 * sizeof(NameEntry)},
      {.name = "retry_policies", .begin = g.retry_policies, .bytes = 8 * sizeof(NameEntry)},
      {.name = "kind_rules", .begin = g.kind_rules, .bytes = 8 * sizeof(KindRule)},
      {.name = "permit_rows", .begin = g.permit_rows, .bytes = 4 * sizeof(PermitRow)},
      {.name = "free_words", .begin = g.free_words, .bytes = g.capacity / 8},
      {.name = "free_summary", .begin = g.free_summary, .bytes = FreeMap::summary_words(g.capacity) * 8},
      {.name = "journal_marks", .begin = g.marks, .bytes = 3 * map},
      {.name = "keeper_marks", .begin = g.marks + 3 * map, .bytes = map},
      {.name = "keeper_summary", .begin = g.keeper_summary, .bytes = FreeMap::summary_words(g.capacity) * 8},
      {.name = "unique", .begin = g.unique, .bytes = (g.unique_slots + 2) * 8},
      {.name = "rings", .begin = g.rings, .bytes = g.level_count * g.ring_slots * 8},
      {.name = "level_rings", .begin = g.level_rings, .bytes = 1024 * 8},
      {.name = "cells", .begin = g.cells, .bytes = cells},
      {.name = "cell_headers", .begin = g.cells, .bytes = cells, .stride = g.cell_bytes, .of_each = sizeof(CellHeader)},
      // A cell's options and links stand at its end: before the header of the next one.
      {.name = "cell_ends",
       .begin = g.cells + g.cell_bytes - ends,
       .bytes = cells - g.cell_bytes,
       .stride = g.cell_bytes,
       .of_each = ends},
  };
  if (g.arena_chunk_count == 0) return regions;
  regions.push_back({.name = "arena_units", .begin = g.arena_units, .bytes = units});
  regions.push_back(
      {.name = "arena_chunks", .begin = g.arena_chunks, .bytes = g.arena_chunk_count * sizeof(ArenaChunk)});
  regions.push_back(
      {.name = "arena", .begin = g.arena, .bytes = std::uint64_t{g.arena_chunk_count} * g.arena_chunk_bytes});
  return regions;
}

void Scribbler::scribble() {
  if (random_() % 24 == 0) {
    write_all();
    return;
  }
  constexpr std::array<std::uint64_t, 6> counts{1, 1, 2, 4, 8, 32};
  for (std::uint64_t left = counts[random_() % counts.size()] * (region_.bytes > 4096 ? 4 : 1); left != 0; --left) {
    write_one();
  }
}

void Scribbler::scribble_a_little() {
  for (std::uint64_t left = 1 + random_() % 4; left != 0; --left) write_one();
}

/// Of a byte of the region.
std::uint64_t Scribbler::place() {
  if (region_.stride == 0) return region_.begin + random_() % region_.bytes;
  const std::uint64_t entry = random_() % (region_.bytes / region_.stride);
  return region_.begin + entry * region_.stride + random_() % region_.of_each;
}

template <class T>
void Scribbler::store(std::uint64_t at, std::uint64_t value) {
  *reinterpret_cast<volatile T*>(base_ + at / sizeof(T) * sizeof(T)) = static_cast<T>(value);
}

void Scribbler::write_one() {
  const std::uint64_t at = place();
  const std::uint64_t edge = edges[random_() % edges.size()];
  switch (random_() % 6) {
    case 0:
      store<std::uint8_t>(at, *reinterpret_cast<volatile std::uint8_t*>(base_ + at) ^ 1U << random_() % 8);
      return;
    case 1:
      store<std::uint8_t>(at, random_());
      return;
    case 2:
      store<std::uint64_t>(at, edge);
      return;
    case 3:
      store<std::uint32_t>(at, edge);
      return;
    case 4:
      store<std::uint16_t>(at, edge);
      return;
    default:  // what stands elsewhere in the region: nearly sense
      store<std::uint64_t>(at, *reinterpret_cast<Words>(base_ + place() / 8 * 8));
      return;
  }
}

void Scribbler::write_all() {
  const std::uint64_t kind = random_() % 3;
  for (std::uint64_t at = region_.begin; at + 8 <= region_.begin + region_.bytes; at += 8) {
    if (region_.stride != 0 && (at - region_.begin) % region_.stride >= region_.of_each) continue;
    store<std::uint64_t>(at, kind == 0 ? 0 : kind == 1 ? ~std::uint64_t{0} : random_());
  }
}

}  // namespace ringmill::test
