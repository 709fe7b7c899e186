// Trimming: gives the memory of cells back when the backlog has gone (give.B1 to give.B7 of ipc/cell_chunks.h).
//
// A chunk whose cells were all free for the engine's `keep_memory` is given back, from the highest down, but for the
// memory of an empty engine and an eighth of what is in use. A level's own cells go in the proportion in which they
// came (core/table/growth.h).
//
// The arena's chunks go with them, by the same waits (core/keeper/arena_trimming.h).
//
// Chunks go in groups, so that one wait for visits (give.B4) serves many. Each turn does a bounded part: about half a
// millisecond.
//
// Chunks on their way are no room for jobs. So a group is taken back when a visit does not end in time, because its
// process is stopped, and at once when a producer waits for room: a stopped process keeps memory, and no room.
#pragma once

#include <cstdint>
#include <vector>

#include "core/keeper/arena_trimming.h"
#include "core/keeper/reaper.h"
#include "core/table/growth.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class Trimming {
 public:
  /// Goes on with the chunks that a former keeper has left on their way. `number` is the keeper's.
  Trimming(const Segment& segment, std::uint32_t number);

  void turn(std::uint64_t now_ns);
  /// True while chunks are on their way: the next turn is due soon.
  bool is_busy() const noexcept { return !leaving_.empty() || arena_.is_busy(); }

 private:
  enum class Phase : std::uint8_t { collecting, waiting, freeing };
  /// A visit that had not ended at give.B4.
  struct Open {
    const std::atomic<std::uint64_t>* visit;
    std::uint64_t value;
    std::uint32_t number;  // of the participant; most_participants: a thread of the keeper's process
  };

  /// give.B1 to the clearing of the bit in give.B3, for some chunks. False: there are more to come.
  bool has_begun();
  /// give.B5 to give.B7, for some. False: there are more.
  bool has_finished() noexcept;
  /// Notes for how long each chunk has been free, and chooses those that go.
  void look(std::uint64_t now_ns);
  void choose(std::uint32_t first, std::uint32_t end, std::uint32_t to_keep, std::uint64_t now_ns);
  bool is_all_free(std::uint32_t chunk) const noexcept;
  /// give.B1 to the clearing of the bit in give.B3. False: some cell is in use.
  bool begin(std::uint32_t chunk) noexcept;
  /// Frees and lists cells that we took: those of the chunk before `end`.
  void free_cells(std::uint32_t chunk, CellIndex end) noexcept;
  /// The rest of give.B3, and the beginning of give.B4. False: the kernel has no barrier for us.
  bool ask_for_quiet();
  bool is_quiet() noexcept;
  /// Whether the group is to stay after all. One that a former keeper began may have lost its memory: it cannot.
  bool must_take_back(std::uint64_t now_ns) const noexcept;
  void take_back(std::uint64_t now_ns) noexcept;
  /// give.B5: the chunk stays after all.
  void keep(std::uint32_t chunk) noexcept;
  /// give.B5 to give.B7.
  void finish(std::uint32_t chunk) noexcept;
  bool has_marks(std::uint32_t chunk) const noexcept;
  void lower_common_end() noexcept;

  const Segment* segment_;
  JobTable table_;
  CellChunks chunks_;
  FreeMap map_;
  Growth growth_;
  std::uint32_t owner_;
  std::uint64_t keep_ns_;
  ArenaTrimming arena_;
  std::uint64_t look_at_ns_ = 0;
  bool can_wait_ = true;
  Phase phase_ = Phase::collecting;
  bool is_inherited_ = false;                 // the group is of a former keeper
  std::uint64_t wait_ends_ns_ = 0;            // in Phase::waiting
  std::vector<std::uint64_t> free_since_ns_;  // per chunk; 0: some of its cells are in use
  std::vector<std::uint32_t> chosen_;
  std::vector<std::uint32_t> leaving_;
  std::vector<Open> open_;
};

}  // namespace ringmill
