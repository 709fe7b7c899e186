// The journal's device without io_uring: each write is one pwritev2 with RWF_DSYNC, done before submit() returns.
#pragma once

#include <memory>
#include <string>

#include "core/journal/slot_files.h"

namespace ringmill {

class FileDevice final : public JournalDevice {
 public:
  static Result<std::unique_ptr<JournalDevice>> open(SlotFiles files);

  std::string_view mode() const noexcept override { return "pwritev2"; }
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
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override;
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override;
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override;
  void wake() noexcept override { bell_.ring(); }

 private:
  FileDevice(SlotFiles files, WakeBell bell) noexcept : files_(std::move(files)), bell_(std::move(bell)) {}
  /// 0, or the errno.
  int write_durably(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data);

  SlotFiles files_;
  WakeBell bell_;
  WriteBuffers buffers_;
  std::vector<WriteOutcome> done_;
};

}  // namespace ringmill
