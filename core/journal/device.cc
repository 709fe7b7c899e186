#include "core/journal/device.h"

#include "core/base/log.h"
#include "core/journal/file_device.h"
#include "core/journal/slot_files.h"
#include "core/journal/uring_device.h"

namespace ringmill {

Result<std::unique_ptr<JournalDevice>> open_journal_device(const Directory& directory, DeviceChoice choice,
                                                           std::uint32_t file_mode) {
  auto files = SlotFiles::open(directory, file_mode);
  if (!files) return std::unexpected(files.error());
  if (!files->abilities().direct) {
    log().info("the file system of {} refuses O_DIRECT: the journal is written through the page cache",
               directory.path().string());
  }
  if (choice != DeviceChoice::pwritev2) {
    auto made = UringDevice::open(*files);
    if (made || choice == DeviceChoice::io_uring) return made;
    log().info("the journal in {} is written with pwritev2, one block at a time: {}", directory.path().string(),
               made.error().message());
  }
  return FileDevice::open(std::move(*files));
}

}  // namespace ringmill
