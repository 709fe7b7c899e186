// The serial key of a job, and its place among the jobs of that key: the words `serial_low` and `serial_high` of
// CellNotes.
//
//   serial_low   the key's hash, 63 bits | 1 bit: others may pass it while it waits for a retry (SerialRetry::skip)
//   serial_high  a number: of two jobs, one that was enqueued before the other was begun has the lower one
//
// Both zero: no key. Two keys of one hash are one key: their jobs wait for each other, which costs time and nothing
// else. A million keys have such a pair once in 18 million engines.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

struct SerialPlace {
  std::uint64_t key = 0;  // the hash; its lowest bit is 0
  std::uint64_t number = 0;
  bool may_be_passed = false;

  static constexpr std::uint64_t pass_bit = 1;
  static SerialPlace of_words(std::uint64_t low, std::uint64_t high) noexcept {
    return {.key = low & ~pass_bit, .number = high, .may_be_passed = (low & pass_bit) != 0};
  }
  std::uint64_t low() const noexcept { return key | (may_be_passed ? pass_bit : 0); }
};

/// Returns the hash of a key. Not zero.
std::uint64_t serial_key_hash(std::string_view key) noexcept;

/// The next number: serial.S1 of core/keeper/serial_keys.h.
inline std::uint64_t next_serial_number(const Segment& segment) noexcept {
  return segment.signals().serial_last.fetch_add(1) + 1;
}

/// Returns nothing if the job has no serial key. The caller owns the cell, or looks at the word again.
inline std::optional<SerialPlace> serial_place_of(const JobTable& table, CellIndex index) noexcept {
  const CellNotes* const notes = table.notes(index);
  if (notes == nullptr) return std::nullopt;
  // ORDER second-look: each load acquires, so that the caller's look at the word comes after it.
  const std::uint64_t low = notes->serial_low.load(std::memory_order_acquire);
  const std::uint64_t high = notes->serial_high.load(std::memory_order_acquire);
  if (low == 0 && high == 0) return std::nullopt;
  return SerialPlace::of_words(low, high);
}

}  // namespace ringmill
