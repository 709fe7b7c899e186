// Writes blocks in order, several at a time, and tracks up to which one all are durable. Owns the journal's segments:
// the file that is written, the free files, the file that is reused next.
//
// Used by one thread, the keeper's journal thread (core/durability/rounds.h decides what is written).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <ringmill/error.h>

#include "core/journal/block_builder.h"
#include "core/journal/device.h"
#include "core/journal/format.h"
#include "core/journal/geometry.h"

namespace ringmill {

class JournalWriter {
 public:
  /// Takes the journal over, or begins one: finds the newest segment, takes its fence, syncs it, walks to the end of
  /// its chain, and goes on there in a new epoch; or begins a new segment when the fence is held by writes in flight,
  /// when that segment is damaged, or torn behind its end, or when there is none. `least_epoch`: the new epoch is at
  /// least this. Errors: incompatible, no_space, permission_denied, system.
  static Result<std::unique_ptr<JournalWriter>> open(std::unique_ptr<JournalDevice> device, std::uint64_t engine_id,
                                                     const JournalGeometry& geometry, std::uint64_t least_epoch);
  ~JournalWriter();

  /// Why room() gave none.
  enum class NoRoom {
    buffers,   // all buffers, or the head of the next segment, are in flight: collect() first
    segments,  // no segment is free: copy the oldest one's survivors forward and retire_oldest()
    failed,    // error() says why; nothing more is written or acknowledged by this writer
  };
  /// The open block, with room for `bytes` more; seals and submits the block before it when it is too full, and moves
  /// on to the next segment when that is full. One segment is kept for `copying_forward`: others get NoRoom::segments
  /// before it is touched, and while it is the one that is written and no other is free. A pointer is good until the
  /// next call. Waits for the disk only when a file has to be made; while a segment is begun it says NoRoom::buffers.
  std::expected<BlockBuilder*, NoRoom> room(std::uint32_t bytes, bool copying_forward = false);
  /// Returns the number that the open block has or will have.
  std::uint64_t open_block() const noexcept;
  /// The segment that the open block will stand in. Changes only within room().
  std::uint64_t open_segment() const noexcept;
  /// Submits the open block if there is anything in it. Returns the number of the last block that was ever submitted.
  std::uint64_t flush();

  /// Takes in what the device has finished, waiting for up to `wait` for the first. After an error of a write nothing
  /// is durable any more beyond what was.
  void collect(std::chrono::nanoseconds wait);
  /// Returns the number up to which every block is durable.
  std::uint64_t durable_block() const noexcept;
  std::uint64_t blocks_in_flight() const noexcept;
  /// Set once, by the first write or sync that failed, and never cleared. Running out of space while a file is prepared
  /// is no failure: room() says NoRoom::segments, and `no_space()` is true until a later try succeeds.
  const std::optional<Error>& error() const noexcept;
  bool no_space() const noexcept;
  /// Returns the errno of that: ENOSPC, EDQUOT or EFBIG; 0 if there was space.
  int no_space_number() const noexcept;

  std::uint64_t oldest_segment() const noexcept;
  std::uint64_t newest_segment() const noexcept;
  /// Segments that may still be begun before the oldest must be retired, the one that is kept included.
  std::uint32_t free_segments() const noexcept;
  std::uint32_t segments_in_use() const noexcept;
  std::uint64_t bytes_on_disk() const noexcept;
  std::uint64_t bytes_written() const noexcept;
  /// Nothing in the oldest segment counts any more, once all blocks submitted or open now are durable. Its file is used
  /// again after a block that says so is durable; flush(), collect() and room() write one where no other comes. Not for
  /// the segment that is being written.
  void retire_oldest();

  std::uint64_t epoch() const noexcept;
  JournalDevice& device() noexcept;

 private:
  JournalWriter();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringmill
