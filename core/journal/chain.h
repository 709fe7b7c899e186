// The chain of blocks: which segments count, which blocks of them, where it ends, and what is missing in it.
//
// The rules (docs/journal-format.md has them in full):
//  1 A slot whose head is right may count. A slot whose head is not, but which has right blocks, gets the head that
//    these blocks tell, and is damaged if it counts.
//  2 `oldest`: the highest that a head says, or a block that may be believed in this: every block before it is there,
//    or was durable as this block or one before it in the chain shows. Segments below do not count.
//  3 The walk of a segment goes from block to block; where the next one is not, it looks on. A later block of the
//    chain and evidence that the missing one was durable: damage, and the walk goes on behind it. No evidence: it ends.
//    Evidence is the highest `durable` in any right block of this segment or of a later one.
//  4 From segment to segment: the next is the one whose first block follows; where none does, and there is evidence
//    that what follows was durable, one whose first block comes later, and what lies between is damage.
//  5 A later segment of a keeper that is not older takes away what an earlier segment has from its first block on: that
//    came from writes of a dead keeper which arrived late.
// Stale blocks, of dead keepers, drop out by themselves: along the chain the number rises by one and the epoch never
// falls.
//
// Used by the reader, and by the writer that takes a journal over.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringmill/error.h>

#include "core/journal/device.h"
#include "core/journal/format.h"
#include "core/journal/segment_bytes.h"

namespace ringmill {

/// A block that is right in itself: its head fits its place, its checksum fits its bytes.
struct BlockNote {
  std::uint64_t offset = 0;
  std::uint64_t number = 0;
  std::uint64_t epoch = 0;
  std::uint64_t segment = 0;
  std::uint64_t durable = 0;
  std::uint64_t oldest = 0;
  std::uint32_t bytes = 0;
};

/// A slot that may be part of the journal.
struct SegmentCandidate {
  SlotNumber slot = 0;
  std::uint64_t bytes = 0;  // of the file
  SegmentHead head;         // what the blocks tell where has_head is false
  bool has_head = true;
  std::uint64_t begin = journal_unit;  // where its first block stands

  // From the survey of its bytes:
  bool is_surveyed = false;
  bool has_blocks = false;
  std::vector<BlockNote> blocks;  // all right blocks of this segment, by offset; gone after forget()
  std::uint64_t most_durable = 0;

  void forget() noexcept {
    has_blocks = false;
    blocks = {};
  }
};

/// Bytes that should hold blocks of the chain, the first of them `number`.
struct DamagedBytes {
  std::uint64_t segment = 0;
  SlotNumber slot = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  const char* reason = "";
  std::uint64_t number = 0;
};

/// One segment's part of the chain.
struct ChainLink {
  SegmentCandidate* segment = nullptr;
  std::vector<BlockNote> blocks;     // of the chain, in order
  std::vector<DamagedBytes> damage;  // in this segment, and behind it up to the next
  std::uint64_t last_number = 0;     // of the chain, up to here
  std::uint64_t last_epoch = 0;
  std::uint64_t end = journal_unit;  // behind the last block
  bool is_torn = false;              // something was begun behind `end`, and did not become durable
};

/// Where a chain ends, and what it says of the whole.
struct ChainEnd {
  std::size_t candidate = 0;  // the last segment of the chain
  std::uint64_t last_number = 0;
  std::uint64_t last_epoch = 0;
  std::uint64_t end = journal_unit;
  bool is_torn = false;
  bool is_damaged = false;
  /// Some block shows that everything before the chain's first block was durable: the chain is part of the journal.
  bool is_anchored = false;
  std::uint64_t oldest = 0;  // the highest that can be believed
};

class JournalChain {
 public:
  /// Reads the head of every slot. Errors: incompatible (a newer format, another engine's file), and those of the
  /// device. `device` outlives the chain.
  static Result<JournalChain> open(JournalDevice& device, std::uint64_t engine_id);

  /// Segments that may count, by rising number. Those below oldest() do not.
  std::span<SegmentCandidate> candidates() noexcept { return candidates_; }
  /// Every slot that is there, with its length.
  struct Slot {
    SlotNumber number = 0;
    std::uint64_t bytes = 0;
    std::optional<SegmentHead> head;
  };
  std::span<const Slot> slots() const noexcept { return slots_; }

  /// Finds oldest() and the end of the chain without reading more of it than is needed: as a rule the newest segment.
  /// Nothing: there is no segment.
  Result<std::optional<ChainEnd>> find_end();
  /// The oldest segment that counts, after find_end(). (It may be missing.)
  std::uint64_t oldest() const noexcept { return oldest_; }
  /// The first candidate that counts, after find_end().
  std::size_t first() const noexcept;

  /// Follows the chain from `candidates()[start]`; `visit`, if there is one, gets its links in order, while the bytes
  /// of that segment are at hand in bytes().
  using Visit = std::function<Result<void>(const ChainLink&)>;
  Result<ChainEnd> follow(std::size_t start, const Visit& visit = {});

  /// The bytes of a block of the chain, or nothing if they have changed since it was noted.
  Result<std::optional<std::span<const std::byte>>> block(const SegmentCandidate& segment, const BlockNote& note);
  SegmentBytes& bytes() noexcept { return bytes_; }
  /// The highest epoch in any head or block that was read.
  std::uint64_t most_epoch() const noexcept { return most_epoch_; }

 private:
  JournalChain(JournalDevice& device, std::uint64_t engine_id) noexcept
      : device_(&device), engine_id_(engine_id), bytes_(device) {}

  Result<void> read_head(Slot& slot);
  Result<void> add_candidate(const Slot& slot);
  void keep_one_of_each();
  std::optional<BlockNote> note_of(const BlockHead& head, std::uint64_t offset, std::uint64_t end) const noexcept;
  Result<std::vector<BlockNote>> right_blocks(SlotNumber slot, std::uint64_t bytes, std::uint64_t segment);
  Result<void> survey(SegmentCandidate& segment);
  Result<bool> was_durable(std::size_t at, std::uint64_t number);
  Result<bool> looks_like_block(const SegmentCandidate& segment, std::uint64_t offset, std::uint64_t number);
  Result<DamagedBytes> damaged(const SegmentCandidate& segment, std::uint64_t from, std::uint64_t to,
                               std::uint64_t number);
  Result<ChainLink> walk(std::size_t at, std::uint64_t last_number, std::uint64_t last_epoch);
  void cut(std::size_t at, ChainLink& link) const noexcept;
  Result<std::optional<std::size_t>> next_of(std::size_t at, ChainLink& link);
  Result<void> add_gap(std::size_t at, std::size_t next, ChainLink& link);
  Result<void> finish(std::size_t at, ChainLink& link);

  JournalDevice* device_;
  std::uint64_t engine_id_;
  SegmentBytes bytes_;
  std::vector<Slot> slots_;
  std::vector<SegmentCandidate> candidates_;
  std::uint64_t oldest_ = 0;
  std::uint64_t most_epoch_ = 0;
};

}  // namespace ringmill
