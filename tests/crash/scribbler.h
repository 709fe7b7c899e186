// A hostile peer: writes nonsense, and what is nearly sense, into one region of an engine's shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "ipc/segment.h"

namespace ringmill::test {

/// A piece of the segment that is corrupted by itself.
struct Region {
  std::string_view name;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
  /// Of regions of entries of which the beginning alone is wanted: an entry begins every `stride` bytes. 0: all of it.
  std::uint64_t stride = 0;
  std::uint64_t of_each = 0;
};

/// All of them, from the header to the arena.
std::vector<Region> regions_of(const Geometry& geometry);

class Scribbler {
 public:
  Scribbler(const Segment& segment, const Region& region, std::uint64_t seed)
      : base_(segment.cells() - segment.geometry().cells), region_(region), random_(seed) {}

  /// One to some hundred words, or now and then all of the region.
  void scribble();
  /// Writes a few words, while other processes work.
  void scribble_a_little();

 private:
  using Words = volatile std::uint64_t*;

  void write_one();
  void write_all();
  std::uint64_t place();
  template <class T>
  void store(std::uint64_t at, std::uint64_t value);

  std::byte* base_;
  Region region_;
  std::mt19937_64 random_;
};

}  // namespace ringmill::test
