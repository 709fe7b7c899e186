// The memory of the cells, in chunks: taken as the backlog grows, given back when it has gone.
//
// The segment's file has the size of a full engine, with holes. A chunk of cells has its memory (it is "there") or is a
// hole. Nothing touches a hole: tmpfs would give a page at the first touch, or end the process with SIGBUS when it has
// none. So a process that has a cell's index from shared memory asks is_there() first. A cell in use is there.
//
// A chunk has a word (state and base generation), which decides, and a bit of a map. The hot path reads this process's
// own copy of the map (ipc/presence.h).
//
// Growing, by any participant (core/table/growth.h)                killed just after the step
//   grow.G1  the word is absent: allocate the chunk's memory         the next grower does it again
//   grow.G2  each cell whose generation is below the base: CAS to    the same; no cell is listed yet
//            free with the base generation
//   grow.G3  CAS the word: absent -> present                         the keeper sets the bit; its scan lists the cells
//   grow.G4  set the bit; raise Signals::common_end                  the keeper's scan lists the cells
//   grow.G5  list the cells
//
// Two growers at once do the same in G1 and G2, and one of them wins G3. A grower that was stopped in G2 while the
// chunk came into use writes nothing: no cell's generation is below the base any more. While it is stopped the chunk is
// not given back, because a grower is inside a visit.
//
// Giving back, by the keeper (core/keeper/trimming.h)
//   give.B1  take each cell as a producer would: listed, then        the cells are freed as those of any dead producer
//            CAS free -> filling(keeper). One cannot be had: free
//            them all, leave the chunk
//   give.B2  CAS the word: present -> leaving(new base); the base    the next keeper goes on with B3
//            is above each cell's generation
//   give.B3  clear the bit; change Signals::chunks_left              the same
//   give.B4  wait for the end of all visits and looks that began     the same
//            before B3 (ipc/visits.h)
//   give.B5  a cell has a mark of the journal, or the bit is set     the same; the cells are of a keeper that is dead,
//            again: word -> present, set the bit, free the cells     and are freed here by whichever keeper does it
//   give.B6  free the memory                                         the next keeper frees it again
//   give.B7  store the word: leaving -> absent(new base)             the chunk may grow again
//
// After B4 no process has an index of these cells that it does not ask about again: a view that is an hour old belongs
// to a visit that has not ended, and B4 waits for it. So a stopped process keeps memory from being given back, and does
// no other harm.
//
// The base never goes down, and is above every generation that the chunk's cells had: an id is never given twice
// (hazards 1 and 2 in docs/hazards.md).
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "ipc/layout.h"
#include "ipc/presence.h"

namespace ringmill {

class CellChunks {
 public:
  static constexpr std::uint32_t chunk_bytes = 256 * 1024;
  static constexpr std::uint32_t least_chunk_cells = 64;
  /// Cells of a chunk: a power of two.
  static constexpr std::uint32_t cells_for(std::uint32_t cell_bytes) noexcept {
    return std::max(least_chunk_cells, chunk_bytes / cell_bytes);
  }

  struct Word {
    ChunkState state = ChunkState::absent;
    std::uint64_t base = 0;  // 0: the engine's first generation

    constexpr std::uint64_t bits() const noexcept { return base << 8 | static_cast<std::uint64_t>(state); }
    static constexpr Word of(std::uint64_t bits) noexcept {
      return {.state = static_cast<ChunkState>(bits & 0xff), .base = bits >> 8};
    }
  };

  CellChunks() noexcept = default;
  /// `words` has a word per chunk.
  CellChunks(const Presence& presence, ChunkWord* words, std::uint32_t capacity, std::uint32_t chunk_cells) noexcept
      : presence_(presence),
        words_(words),
        capacity_(capacity),
        shift_(static_cast<std::uint32_t>(std::countr_zero(chunk_cells))) {}

  std::uint32_t capacity() const noexcept { return capacity_; }
  std::uint32_t count() const noexcept { return (capacity_ + chunk_cells() - 1) >> shift_; }
  std::uint32_t chunk_cells() const noexcept { return 1U << shift_; }
  std::uint32_t chunk_of(std::uint32_t cell) const noexcept { return cell >> shift_; }
  std::uint32_t first_cell(std::uint32_t chunk) const noexcept { return chunk << shift_; }
  std::uint32_t end_cell(std::uint32_t chunk) const noexcept { return std::min(capacity_, (chunk + 1) << shift_); }

  /// Whether the memory of this cell, any number, may be touched.
  bool is_there(std::uint32_t cell) const noexcept { return cell < capacity_ && has(cell >> shift_); }
  /// The same of a chunk that there is.
  bool has(std::uint32_t chunk) const noexcept { return presence_.has(chunk); }
  /// Returns the first cell from `cell` on whose memory is there, or the capacity.
  std::uint32_t next_there(std::uint32_t cell) const noexcept {
    if (is_there(cell)) return cell;
    for (std::uint32_t chunk = chunk_of(cell) + 1; cell < capacity_ && chunk < count();) {
      const std::uint64_t bits = presence_.candidates(chunk / 64) >> (chunk % 64);
      if (bits == 0) {
        chunk = (chunk / 64 + 1) * 64;
        continue;
      }
      chunk += static_cast<std::uint32_t>(std::countr_zero(bits));
      if (chunk < count() && has(chunk)) return first_cell(chunk);
      ++chunk;
    }
    return capacity_;
  }
  /// Calls visit(first cell, end cell) for each chunk that is there.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::uint32_t cell = next_there(0); cell < capacity_; cell = next_there(end_cell(chunk_of(cell)))) {
      visit(cell, end_cell(chunk_of(cell)));
    }
  }
  /// How many of the chunks `first` .. `end` - 1 are there.
  std::uint32_t count_there(std::uint32_t first, std::uint32_t end) const noexcept {
    std::uint32_t found = 0;
    for (std::uint32_t chunk = first; chunk < end; ++chunk) found += has(chunk) ? 1 : 0;
    return found;
  }

  Word word(std::uint32_t chunk) const noexcept { return Word::of(words_[chunk].word.load()); }
  bool swap(std::uint32_t chunk, Word from, Word to) noexcept {
    std::uint64_t expected = from.bits();
    return words_[chunk].word.compare_exchange_strong(expected, to.bits());
  }
  /// grow.G4, by the process that did grow.G1.
  void set_bit(std::uint32_t chunk) noexcept { presence_.set(chunk); }
  /// The same for another's chunk; and give.B5.
  void set_bit_again(std::uint32_t chunk) noexcept { presence_.announce(chunk); }
  /// Sets the bits of growers that died between grow.G3 and grow.G4.
  void repair_bits() noexcept {
    for (std::uint32_t chunk = 0; chunk < count(); ++chunk) {
      if (!has(chunk) && word(chunk).state == ChunkState::present) set_bit_again(chunk);
    }
  }
  /// visit.V2, in this process.
  void forget_absent() const noexcept { presence_.forget_absent(count()); }
  /// give.B3.
  void clear_bit(std::uint32_t chunk) noexcept { presence_.clear(chunk); }

 private:
  Presence presence_;
  ChunkWord* words_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t shift_ = 0;
};

}  // namespace ringmill
