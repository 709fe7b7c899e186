#include "core/journal/file_device.h"

namespace ringmill {

Result<std::unique_ptr<JournalDevice>> FileDevice::open(SlotFiles files) {
  auto bell = WakeBell::make();
  if (!bell) return std::unexpected(bell.error());
  return std::unique_ptr<JournalDevice>(new FileDevice(std::move(files), std::move(*bell)));
}

void FileDevice::submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) {
  done_.push_back({.token = token, .error = files_.write_durably(slot, offset, data)});
}

void FileDevice::collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) {
  // A call that does not wait leaves the bell rung: it ends the next wait.
  if (done_.empty() && wait.count() > 0) bell_.wait(wait);
  outcomes.insert(outcomes.end(), done_.begin(), done_.end());
  done_.clear();
}

}  // namespace ringmill
