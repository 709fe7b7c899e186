#include "core/journal/file_device.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace ringmill {

Result<std::unique_ptr<JournalDevice>> FileDevice::open(SlotFiles files) {
  auto bell = WakeBell::make();
  if (!bell) return std::unexpected(bell.error());
  return std::unique_ptr<JournalDevice>(new FileDevice(std::move(files), std::move(*bell)));
}

void FileDevice::submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) {
  done_.push_back({.token = token, .error = write_durably(slot, offset, data)});
}

int FileDevice::write_durably(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data) {
  const auto descriptor = files_.descriptor_of(slot);
  if (!descriptor) return EIO;
  const bool durable = files_.abilities().durable;
  while (!data.empty()) {
    const iovec part{.iov_base = const_cast<std::byte*>(data.data()), .iov_len = data.size()};
    const ssize_t written = ::pwritev2(*descriptor, &part, 1, static_cast<off_t>(offset), durable ? RWF_DSYNC : 0);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    offset += static_cast<std::uint64_t>(written);
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return durable || ::fdatasync(*descriptor) == 0 ? 0 : errno;
}

void FileDevice::collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) {
  // Who does not wait leaves the bell rung: it ends the next wait.
  if (done_.empty() && wait.count() > 0) bell_.wait(wait);
  outcomes.insert(outcomes.end(), done_.begin(), done_.end());
  done_.clear();
}

}  // namespace ringmill
