// The journal's device without io_uring: each write is one pwritev2 with RWF_DSYNC, done before submit() returns.
#pragma once

#include <memory>

#include "core/journal/slot_device.h"

namespace ringmill {

class FileDevice final : public SlotDevice {
 public:
  static Result<std::unique_ptr<JournalDevice>> open(SlotFiles files);

  std::string_view mode() const noexcept override { return "pwritev2"; }
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override;
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override;

 private:
  using SlotDevice::SlotDevice;
  std::vector<WriteOutcome> done_;
};

}  // namespace ringmill
