// The common part of devices that write to files: the files, a bell, buffers.
#pragma once

#include <utility>

#include "core/journal/slot_files.h"

namespace ringmill {

class SlotDevice : public JournalDevice {
 public:
  Result<std::vector<SlotNumber>> slots() override { return files_.slots(); }
  Result<std::uint64_t> bytes_of(SlotNumber slot) override { return files_.bytes_of(slot); }
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override { return files_.prepare(slot, bytes); }
  Result<void> remove(SlotNumber slot) override { return files_.remove(slot); }
  Result<bool> try_fence(SlotNumber slot) override { return files_.try_fence(slot); }
  void release(SlotNumber slot) noexcept override { files_.release(slot); }
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override {
    return files_.read(slot, offset, to);
  }
  Result<void> sync(SlotNumber slot) override { return files_.sync(slot); }
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override {
    auto made = WriteBuffers::make(count, bytes);
    if (!made) return std::unexpected(made.error());
    buffers_ = std::move(*made);
    return buffers_.spans();
  }
  void wake() noexcept override { bell_.ring(); }

 protected:
  SlotDevice(SlotFiles files, WakeBell bell) noexcept : files_(std::move(files)), bell_(std::move(bell)) {}

  SlotFiles files_;
  WakeBell bell_;
  WriteBuffers buffers_;
};

}  // namespace ringmill
