// The journal's files as the writer uses them: the segment in each, the free ones, and the oldest that counts. The life
// of a segment:
//
//   1. free       a file of zeros, or of a segment that no longer counts
//   2. in use     its head is durable; blocks are written while it is the newest
//   3. retired    its survivors were written again in newer blocks (retire_oldest), which may be in flight
//   4. said       those are durable, and a later block says that this segment does not count (oldest_to_say)
//   5. free       that block is durable: a reader that still believes in the old contents is impossible
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <ringmill/error.h>

#include "core/journal/device.h"
#include "core/journal/geometry.h"
#include "core/journal/take_over.h"

namespace ringmill {

class JournalSegments {
 public:
  JournalSegments(JournalDevice& device, const JournalGeometry& geometry, FoundJournal found);

  bool is_empty() const noexcept { return in_use_.empty(); }
  const SegmentInUse& newest() const noexcept { return in_use_.back(); }
  /// The oldest that is not retired.
  std::uint64_t oldest() const noexcept { return oldest_; }
  std::uint32_t in_use() const noexcept { return static_cast<std::uint32_t>(in_use_.size()); }
  /// How many may still be begun, the one that is kept for copying forward included.
  std::uint32_t free() const noexcept;
  std::uint64_t bytes_on_disk() const noexcept;
  /// A file could not be made for want of space, and none was made since.
  bool no_space() const noexcept { return no_space_number_ != 0; }
  /// The errno of that: ENOSPC, EDQUOT, EFBIG; 0: there was space.
  int no_space_number() const noexcept { return no_space_number_; }

  enum class Take {
    usual,     // one segment is kept back, with its file, made in advance so that a full disk cannot take it
    in_haste,  // one is kept back, but its file is made later: it takes as long as writing all of it
    last,      // none is kept back
  };
  /// A file for the next segment, with its fence. Nothing: none is to be had.
  Result<std::optional<SlotNumber>> take(Take how);
  /// The head of the segment is durable in a file that was taken.
  void begin(std::uint64_t segment, SlotNumber slot);

  /// The oldest does not count any more once the blocks up to `survivors` are durable; those up to `durable` are.
  void retire_oldest(std::uint64_t survivors, std::uint64_t durable);
  /// Returns what the head of the next block says.
  std::uint64_t oldest_to_say() const noexcept { return oldest_to_say_; }
  /// The blocks up to `block` are durable; the last of them says `oldest`.
  void on_durable(std::uint64_t block, std::uint64_t oldest);

 private:
  struct Retirement {
    std::uint64_t oldest;     // from then on
    std::uint64_t survivors;  // the block that must be durable first
  };

  Result<void> make_files(std::size_t wanted);
  SlotNumber unused_number() const;
  void say_retired(std::uint64_t durable);
  void set_free(const SegmentInUse& segment);
  std::size_t files() const noexcept { return in_use_.size() + free_.size() + (taken_ ? 1 : 0); }

  JournalDevice& device_;
  JournalGeometry geometry_;
  std::deque<SegmentInUse> in_use_;
  std::vector<SlotNumber> free_;
  std::optional<SlotNumber> taken_;
  std::deque<Retirement> retirements_;
  std::uint64_t oldest_;
  std::uint64_t oldest_to_say_;
  int no_space_number_ = 0;
};

}  // namespace ringmill
