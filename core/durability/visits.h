// The words that the parts of a round share: why a cell is visited, and what became of the visit.
#pragma once

#include <cstdint>

namespace ringmill {

/// How far ahead of a visit the headers of cells are fetched.
inline constexpr std::uint32_t visits_ahead = 12;

/// What a record is written for. Compaction may use the segment that the writer keeps for it.
enum class Purpose { flush, compaction };

/// Whose turn it is when a cell is visited.
enum class Turn {
  others,               // the first visit of a round
  leaders,              // of what was put off: what came with it is written, and what came with its completion
  leaders_without_end,  // the same, but for what came with its completion
  copies,               // compaction
};

/// What became of a visit. Nothing was written in the cases but `done`.
enum class Visit {
  done,      // the journal has what the cell says, or the open block does
  changed,   // the cell changed while it was read
  leads,     // the job leads a batch, and it or its end comes behind the members: it is not their turn
  moves,     // the job is in its last step, and what it was before cannot be read
  buffers,   // all buffers are in flight
  segments,  // no segment is free
  failed,    // the writer has failed
};

}  // namespace ringmill
