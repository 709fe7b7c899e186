// The bytes of one segment's file, read in big pieces and kept while they are looked at twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include <ringmill/error.h>

#include "core/journal/aligned_memory.h"
#include "core/journal/device.h"
#include "core/journal/format.h"

namespace ringmill {

class SegmentBytes {
 public:
  /// A segment up to this long is read once and stays whole in memory while it is the one in use; a longer one is read
  /// again when the reader goes back in it.
  static constexpr std::size_t most_kept = std::size_t{64} << 20;
  static constexpr std::size_t piece = std::size_t{4} << 20;

  explicit SegmentBytes(JournalDevice& device) noexcept : device_(device) {}

  /// The slot that view() speaks of, and how much of it may be read (whole units). What was read stays if it is the
  /// same slot as before.
  void use(SlotNumber slot, std::uint64_t bytes);
  /// `length` bytes at `offset`, both multiples of journal_unit, within the slot; at most most_block_bytes. Valid until
  /// the next call. Errors: those of JournalDevice::read.
  Result<std::span<const std::byte>> view(std::uint64_t offset, std::uint64_t length);

  std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  /// Called after each piece with bytes_read().
  void on_progress(std::function<void(std::uint64_t)> progress) { progress_ = std::move(progress); }

 private:
  JournalDevice& device_;
  AlignedMemory memory_;
  std::size_t capacity_ = 0;
  SlotNumber slot_ = 0;
  std::uint64_t size_ = 0;
  std::uint64_t begin_ = 0;  // what memory_ holds: [begin_, end_) of the slot
  std::uint64_t end_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::function<void(std::uint64_t)> progress_;
};

}  // namespace ringmill
