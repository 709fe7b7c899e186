// What a new keeper finds in the journal's directory, and where it may append.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

#include <ringmill/error.h>

#include "core/journal/device.h"

namespace ringmill {

/// A segment whose file must not be used for another one yet.
struct SegmentInUse {
  std::uint64_t segment = 0;
  SlotNumber slot = 0;
  std::uint64_t bytes = 0;  // of the file
};

struct FoundJournal {
  std::deque<SegmentInUse> in_use;          // oldest first; empty: there is no journal yet
  std::vector<SlotNumber> free;             // files that any segment may be put into
  std::uint64_t last_block = 0;             // the end of the chain, durable
  std::uint64_t end_offset = 0;             // in the newest segment
  std::uint64_t first_block = 1;            // of the newest segment
  std::uint32_t previous_end_in_units = 0;  // as the newest segment's head says
  std::uint64_t oldest = 1;                 // the oldest segment that counts
  std::uint64_t highest_epoch = 0;          // seen anywhere
  bool has_fence = false;                   // of the newest segment
  bool has_good_end = false;                // nothing is damaged in the newest segment, nothing torn behind its end
};

/// Takes the fence of a slot, waiting for writes in flight for up to `patience`. False: they did not end.
Result<bool> fence_within(JournalDevice& device, SlotNumber slot, std::chrono::nanoseconds patience);

/// `segment_bytes` as in ReadOptions.
///
/// Finds the newest segment, tries for `patience` to take its fence, and walks to the end of its chain. When it
/// returns, that chain is durable, and no write of a dead process is in flight to any file but the newest segment's; to
/// that neither, if has_fence. Errors: incompatible, busy, permission_denied, system.
///
/// A dead keeper's writes in flight can be: blocks, in the newest segment only (a segment is begun when all blocks
/// before it are durable); or the head of a next segment, in a free file, whose fence it held. The second must have
/// ended before anything is decided: landing later, it would end the segment before it where the new keeper has gone
/// on.
Result<FoundJournal> take_over_journal(JournalDevice& device, std::uint64_t engine_id, std::uint64_t segment_bytes,
                                       std::chrono::nanoseconds patience);

}  // namespace ringmill
