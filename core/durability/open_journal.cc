#include "core/durability/open_journal.h"

#include "ipc/file_modes.h"

namespace ringmill {

Result<std::unique_ptr<JournalWriter>> open_journal(const EngineFiles& files, std::uint64_t least_epoch,
                                                    DeviceChoice choice, const DeviceOpener& open_device) {
  const auto folder = files.open_journal_folder();
  if (!folder) return std::unexpected(folder.error());
  auto device = open_device(*folder, choice, mode_with_locks(files.config().mode));
  if (!device) return std::unexpected(device.error());
  return JournalWriter::open(std::move(*device), files.journal_id(), files.journal_geometry(), least_epoch);
}

}  // namespace ringmill
