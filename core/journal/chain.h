// The chain of blocks: which blocks of which segments are valid, where the chain ends, and what it lacks.
//
// Writers (take_over.h, writer.cc) follow these rules; only faults of the disk break them:
//   chain.W1  One keeper writes at a time, each with a higher epoch. Its blocks follow one another, numbers rise by
//             one.
//   chain.W2  A keeper goes on right behind the end of the chain in the newest segment, once all before it is durable:
//             there, or in a new segment.
//   chain.W3  A segment is begun only when every block before it is durable, and no block is written before its head
//             is.
// So every segment with a head counts until `oldest` is above it, and what a dead keeper wrote in vain stands only
// behind the chain's end in a segment, never in front of it. Where that end is, the heads tell: each, of a segment or
// of a block, says up to which place all was durable when it was made.
//
// The rules that follow (docs/journal-format.md has them in full, and why):
//  1 A slot whose head is right is a segment. So is one whose head is not, but which has right blocks: they repeat what
//    the head said. Its head is damage.
//  2 The segment behind this one says where this one ends. Without it: the newest word in the segment itself, which is
//    that of the highest epoch, and of these the one with the highest `durable`.
//  3 Before that place every right block counts, and what they leave open is damage. What is not in order there is what
//    a lost write has left: it does not count.
//  4 Behind it (where no next segment says that nothing is there) blocks count as long as each stands right behind the
//    one before, has the next number, and no lower epoch.
//  5 `oldest`: the highest that a right head says, or a block that counts in the newest segment that has one.
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
  std::uint64_t durable_end = 0;
  std::uint64_t oldest = 0;
  std::uint32_t bytes = 0;
  std::uint32_t index = 0;
  std::uint32_t previous_end_in_units = 0;
};

/// A slot that is part of the journal, unless `oldest` is above it.
struct SegmentCandidate {
  SlotNumber slot = 0;
  std::uint64_t bytes = 0;  // of the file, as far as it is read
  SegmentHead head;         // what the blocks tell where has_head is false
  bool has_head = true;
  bool is_cut = false;  // the head speaks of more bytes than the engine's segments have, and they are there
};

/// Bytes that should hold blocks of the chain.
struct DamagedBytes {
  std::uint64_t segment = 0;
  SlotNumber slot = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  const char* reason = "";
};

/// One segment's part of the chain.
struct ChainLink {
  const SegmentCandidate* segment = nullptr;
  std::vector<BlockNote> blocks;     // of the chain, in order
  std::vector<DamagedBytes> damage;  // in this segment, and behind it up to the next
  std::uint64_t last_number = 0;     // of the chain, up to here
  std::uint64_t end = journal_unit;  // behind the last block
  bool is_torn = false;              // of the newest: something was begun behind `end`, and did not become durable
};

class JournalChain {
 public:
  /// Reads the head of every slot. No file is read beyond `most_bytes`, the length of the engine's segments: a file may
  /// be sparse, and terabytes long. Errors: incompatible (a newer format, another engine's file), and those of the
  /// device. `device` outlives the chain.
  static Result<JournalChain> open(JournalDevice& device, std::uint64_t engine_id,
                                   std::uint64_t most_bytes = any_length);

  /// Returns the candidates by rising number. Those below oldest() do not count; all others do.
  std::span<const SegmentCandidate> candidates() const noexcept { return candidates_; }
  /// Returns every existing slot.
  struct Slot {
    SlotNumber number = 0;
    std::uint64_t bytes = 0;  // of the file, as far as it is read
    bool is_longer = false;
    std::optional<SegmentHead> head;
  };
  std::span<const Slot> slots() const noexcept { return slots_; }

  /// The newest segment's part of the chain, without reading more than is needed for it and for oldest(): as a rule
  /// that segment. Nothing: there is no segment.
  Result<std::optional<ChainLink>> find_end();
  /// Returns the oldest segment that counts, after find_end(). (It may be missing.)
  std::uint64_t oldest() const noexcept { return oldest_; }
  /// The first candidate that counts, after find_end().
  std::size_t first() const noexcept;
  /// The part of `candidates()[at]`. Its bytes are at hand in bytes() then.
  Result<ChainLink> link(std::size_t at);

  /// The bytes of a block of the chain, or nothing if they have changed since it was noted.
  Result<std::optional<std::span<const std::byte>>> block(const SegmentCandidate& segment, const BlockNote& note);
  SegmentBytes& bytes() noexcept { return bytes_; }
  /// The highest epoch in any head or block that was read.
  std::uint64_t most_epoch() const noexcept { return most_epoch_; }

 private:
  /// The place up to which a segment's bytes belong to the chain, and the number of the block that ends there.
  struct Reach {
    std::uint64_t end = journal_unit;
    std::uint64_t last_number = 0;
    std::uint64_t epoch = 0;  // of the head that states it
    bool is_all = false;      // nothing behind it counts
  };

  JournalChain(JournalDevice& device, std::uint64_t engine_id, std::uint64_t most_bytes) noexcept
      : device_(&device), engine_id_(engine_id), most_bytes_(most_bytes), bytes_(device) {}

  Result<void> read_head(Slot& slot);
  Result<void> add_candidate(const Slot& slot);
  void keep_one_of_each();
  std::optional<BlockNote> note_of(const BlockHead& head, std::uint64_t offset, std::uint64_t end) const noexcept;
  Result<std::vector<BlockNote>> right_blocks(SlotNumber slot, std::uint64_t bytes, std::uint64_t segment);
  Reach reach_of(std::size_t at, std::span<const BlockNote> blocks) const noexcept;
  Result<void> add_known(const Reach& reach, std::span<const BlockNote> blocks, ChainLink& link);
  Result<void> add_run(std::size_t at, const Reach& reach, std::span<const BlockNote> blocks, ChainLink& link);
  Result<bool> is_begun_behind(const ChainLink& link, std::uint64_t epoch);
  void add_missing(std::size_t at, ChainLink& link) const;
  Result<bool> looks_like_block(const SegmentCandidate& segment, std::uint64_t offset, std::uint64_t number);
  Result<void> add_damage(std::uint64_t to, ChainLink& link);

  JournalDevice* device_;
  std::uint64_t engine_id_;
  std::uint64_t most_bytes_;
  SegmentBytes bytes_;
  std::vector<Slot> slots_;
  std::vector<SegmentCandidate> candidates_;
  std::uint64_t oldest_ = 0;
  std::uint64_t most_epoch_ = 0;
};

}  // namespace ringmill
