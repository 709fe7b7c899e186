// The memory of the arena is given back when its jobs have gone.
//
// A chunk of which no job had an extent for the engine's `keep_memory` goes, but for an eighth of what is in use:
//
//                                                                    killed just after the step
//   shrink.X1  CAS the chunk's cut: the same, leaving                the next keeper goes on with X2
//   shrink.X2  look at every word: each is free, and no lease        the same
//              names its job. Else CAS the cut back
//   shrink.X3  clear the chunk's bit; change Signals::chunks_left    the next keeper goes on with X4
//   shrink.X4  wait for visits and looks, as give.B4                 the same
//   shrink.X5  the bit is set again: CAS the cut back                the same
//   shrink.X6  free the memory                                       the next keeper frees it again
//   shrink.X7  CAS the cut: whole, not leaving                       the chunk may grow again
//
// A producer swaps a word (arena.A1), then reads the cut (arena.A2); the keeper swaps the cut, then reads the words.
// So one of them sees the other: no extent of a chunk that leaves is taken. A producer that cuts the chunk anew has
// all its words first (arena.C1), so that X2 finds them. After X4 no process has a unit of the chunk that it does not
// ask about again, and none that found the chunk absent before is still about to allocate it. What is read without a
// visit is read under a lease.
#pragma once

#include <cstdint>
#include <vector>

#include "core/table/arena.h"
#include "ipc/segment.h"

namespace ringmill {

class ArenaTrimming {
 public:
  ArenaTrimming(const Segment& segment, std::uint64_t keep_ns);

  /// Notes of some chunks for how long they have been free; after the last one, chooses those that go. Goes on with
  /// what a former keeper has left on its way.
  void look(std::uint64_t now_ns);
  /// X1 to the clearing of the bit in X3, for some of those chosen. Returns true if more are chosen.
  bool begin_some() noexcept;
  /// X5 to X7, for some. Returns true if more are on their way.
  bool finish_some() noexcept;
  /// None goes after all: there is no X4.
  void keep_all() noexcept;
  /// The same, and no other goes before `until_ns`.
  void take_back(std::uint64_t until_ns) noexcept {
    keep_all();
    chosen_.clear();
    look_at_ns_ = until_ns;
  }
  /// True while chunks are between X3 and X7.
  bool is_busy() const noexcept { return !leaving_.empty(); }

 private:
  void look_at(std::uint32_t chunk, std::uint64_t now_ns);
  void choose(std::uint64_t now_ns);
  void keep(std::uint32_t chunk) noexcept;

  const Segment* segment_;
  Arena arena_;
  std::uint64_t keep_ns_;
  std::uint64_t look_at_ns_ = 0;
  std::uint32_t next_chunk_ = 0;
  std::uint32_t in_use_ = 0;                  // chunks, in this pass
  std::vector<std::uint64_t> free_since_ns_;  // per chunk; 0: an extent is in use, or it is absent
  std::vector<std::uint32_t> chosen_;
  std::vector<std::uint32_t> leaving_;
};

}  // namespace ringmill
