// A journal's files in memory, as they would be found: for tests that read, and change single bits.
#pragma once

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "core/journal/device.h"
#include "core/journal/format.h"

namespace ringmill::test {

class MemoryDevice : public JournalDevice {
 public:
  std::map<SlotNumber, std::vector<std::byte>> files;
  SlotNumber broken_slot = ~SlotNumber{0};  // its reads fail
  std::uint64_t bytes_read = 0;

  std::string_view mode() const noexcept override { return "memory"; }
  Result<std::vector<SlotNumber>> slots() override {
    std::vector<SlotNumber> numbers;
    for (const auto& [slot, bytes] : files) numbers.push_back(slot);
    return numbers;
  }
  Result<std::uint64_t> bytes_of(SlotNumber slot) override { return files.at(slot).size(); }
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override {
    files[slot].assign(bytes, std::byte{});
    return {};
  }
  Result<void> remove(SlotNumber slot) override {
    files.erase(slot);
    return {};
  }
  Result<bool> try_fence(SlotNumber) override { return true; }
  void release(SlotNumber) noexcept override {}

  /// As strict as O_DIRECT.
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override {
    const std::vector<std::byte>& file = files.at(slot);
    const auto address = reinterpret_cast<std::uintptr_t>(to.data());
    const bool aligned = offset % journal_unit == 0 && to.size() % journal_unit == 0 && address % journal_unit == 0;
    if (slot == broken_slot) return std::unexpected(Error(ErrorCode::system, "read failed"));
    if (!aligned || offset > file.size() || to.size() > file.size() - offset || to.empty()) {
      return std::unexpected(Error(ErrorCode::invalid_argument, "no such read"));
    }
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    bytes_read += to.size();
    return {};
  }
  Result<void> sync(SlotNumber) override { return {}; }

  Result<std::vector<std::span<std::byte>>> buffers(std::size_t, std::size_t) override {
    return std::unexpected(Error(ErrorCode::system, "this device takes no writes"));
  }
  void submit(SlotNumber, std::uint64_t, std::span<const std::byte>, std::uint64_t) override {}
  void collect(std::vector<WriteOutcome>&, std::chrono::nanoseconds) override {}
  void wake() noexcept override {}
};

}  // namespace ringmill::test
