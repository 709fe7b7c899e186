// What a job carries beside its payload, in its cell.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringmill {

/// Unchanged from the job's enqueue to its end: before its CellOptions, with cell_flag::has_notes. Zeros: it carries
/// nothing of that. Writers and readers: as in CellHeader (ipc/layout.h).
struct CellNotes {
  std::atomic<std::uint64_t> serial_low;    // its serial key's hash, and a bit (core/table/serial.h); both zero: none
  std::atomic<std::uint64_t> serial_high;   // its number among all jobs with a serial key
  std::atomic<std::uint64_t> retried_from;  // the id of the dead letter that it comes from
  std::atomic<std::uint64_t> trace_id[2];   // its 16 bytes, as the traceparent has them
  std::atomic<std::uint64_t> trace_parent;  // the parent id's 8 bytes, likewise
  /// The user's tag, up to 31 bytes, then NULs. The last byte of all is not the tag's: the trace flags.
  std::atomic<std::uint64_t> tag[4];
};
static_assert(sizeof(CellNotes) == 80);
static_assert(offsetof(CellNotes, retried_from) == 16 && offsetof(CellNotes, trace_id) == 24 &&
              offsetof(CellNotes, trace_parent) == 40 && offsetof(CellNotes, tag) == 48);

}  // namespace ringmill
