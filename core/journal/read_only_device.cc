#include "core/journal/read_only_device.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "core/journal/file_names.h"
#include "core/journal/slot_files.h"

namespace ringmill {

namespace {

Error read_only() { return Error(ErrorCode::permission_denied, "this journal was opened to be read only"); }

}  // namespace

Result<ReadOnlyDevice> ReadOnlyDevice::open(const Directory& directory) { return ReadOnlyDevice(directory); }

std::filesystem::path ReadOnlyDevice::path_of(SlotNumber slot) const { return directory_.path_of(file_name_of(slot)); }

Result<std::vector<SlotNumber>> ReadOnlyDevice::slots() { return slots_in(directory_); }

Result<int> ReadOnlyDevice::descriptor_of(SlotNumber slot) {
  auto found = open_.find(slot);
  if (found == open_.end()) {
    auto file = directory_.open_file(file_name_of(slot), O_RDONLY, Directory::Owners::let_in);
    if (!file) return std::unexpected(file.error());
    found = open_.emplace(slot, *std::move(file)).first;
  }
  return found->second.descriptor();
}

Result<std::uint64_t> ReadOnlyDevice::bytes_of(SlotNumber slot) {
  const auto descriptor = descriptor_of(slot);
  if (!descriptor) return std::unexpected(descriptor.error());
  struct stat status {};
  if (::fstat(*descriptor, &status) != 0) return std::unexpected(system_error("fstat", path_of(slot)));
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> ReadOnlyDevice::read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) {
  const auto descriptor = descriptor_of(slot);
  if (!descriptor) return std::unexpected(descriptor.error());
  const auto got = read_at(*descriptor, offset, to, path_of(slot));
  if (!got) return std::unexpected(got.error());
  if (*got == to.size()) return {};
  return std::unexpected(
      Error(ErrorCode::system, "a segment became shorter while it was read", path_of(slot).string()));
}

Result<void> ReadOnlyDevice::prepare(SlotNumber, std::uint64_t) { return std::unexpected(read_only()); }
Result<void> ReadOnlyDevice::remove(SlotNumber) { return std::unexpected(read_only()); }
Result<bool> ReadOnlyDevice::try_fence(SlotNumber) { return std::unexpected(read_only()); }
Result<void> ReadOnlyDevice::sync(SlotNumber) { return std::unexpected(read_only()); }
Result<std::vector<std::span<std::byte>>> ReadOnlyDevice::buffers(std::size_t, std::size_t) {
  return std::unexpected(read_only());
}
void ReadOnlyDevice::submit(SlotNumber, std::uint64_t, std::span<const std::byte>, std::uint64_t token) {
  refused_.push_back({.token = token, .error = EROFS});
}
void ReadOnlyDevice::collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds) {
  outcomes.insert(outcomes.end(), refused_.begin(), refused_.end());
  refused_.clear();
}

}  // namespace ringmill
