// A device on a scratch folder, and blocks of bytes for it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "core/journal/device.h"
#include "core/journal/format.h"
#include "tests/support/await.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

inline constexpr std::uint64_t test_file_bytes = 64 * journal_unit;

inline std::unique_ptr<JournalDevice> open_device(const std::filesystem::path& directory, DeviceChoice choice) {
  return must(open_journal_device(must(Directory::open(directory)), choice, 0600));
}

/// Bytes that differ from unit to unit and from seed to seed.
inline void fill(std::span<std::byte> bytes, unsigned seed) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] = static_cast<std::byte>(seed * 37 + at / journal_unit * 11 + at % 251);
  }
}

/// Collects until there are `count` outcomes, or nothing comes any more.
inline std::vector<WriteOutcome> collect_all(JournalDevice& device, std::size_t count) {
  std::vector<WriteOutcome> outcomes;
  await([&] {
    if (outcomes.size() < count) device.collect(outcomes, std::chrono::milliseconds(20));
    return outcomes.size() >= count;
  });
  return outcomes;
}

/// The bytes of a file, read through the device.
class FileBytes {
 public:
  FileBytes(JournalDevice& device, SlotNumber slot, std::uint64_t offset, std::size_t bytes)
      : memory_(bytes + journal_unit) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    bytes_ = std::span(memory_).subspan((journal_unit - address % journal_unit) % journal_unit, bytes);
    must(device.read(slot, offset, bytes_));
  }
  bool operator==(std::span<const std::byte> other) const { return std::ranges::equal(bytes_, other); }
  bool are_zero() const {
    return std::ranges::all_of(bytes_, [](std::byte byte) { return byte == std::byte{0}; });
  }

 private:
  std::vector<std::byte> memory_;
  std::span<std::byte> bytes_;
};

}  // namespace ringmill::test
