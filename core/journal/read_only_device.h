// A journal's directory to look at: nothing is made, written or locked, so a living engine's can be read, or a copy.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/journal/device.h"
#include "ipc/directory.h"
#include "ipc/file.h"

namespace ringmill {

class ReadOnlyDevice final : public JournalDevice {
 public:
  static Result<ReadOnlyDevice> open(const Directory& directory);

  std::string_view mode() const noexcept override { return "read only"; }
  Result<std::vector<SlotNumber>> slots() override;
  Result<std::uint64_t> bytes_of(SlotNumber slot) override;
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override;

  // What changes anything is refused: error permission_denied.
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override;
  Result<void> remove(SlotNumber slot) override;
  Result<bool> try_fence(SlotNumber slot) override;
  void release(SlotNumber) noexcept override {}
  Result<void> sync(SlotNumber slot) override;
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override;
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override;
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override;
  void wake() noexcept override {}

 private:
  explicit ReadOnlyDevice(Directory directory) noexcept : directory_(std::move(directory)) {}
  std::filesystem::path path_of(SlotNumber slot) const;
  Result<int> descriptor_of(SlotNumber slot);

  Directory directory_;
  std::map<SlotNumber, File> open_;
  std::vector<WriteOutcome> refused_;
};

}  // namespace ringmill
