// The journal of an engine, opened for writing.
#pragma once

#include <cstdint>
#include <memory>

#include <ringmill/error.h>

#include "core/instance/engine_files.h"
#include "core/journal/device.h"
#include "core/journal/writer.h"

namespace ringmill {

/// The journal, taken over for writing. Only for the holder of the keeper's lock.
Result<std::unique_ptr<JournalWriter>> open_journal(const EngineFiles& files, std::uint64_t least_epoch,
                                                    DeviceChoice choice,
                                                    const DeviceOpener& open_device = open_journal_device);

}  // namespace ringmill
