// What engine.json says: the options of an engine's creation, checked, and back.
#pragma once

#include <filesystem>
#include <string>

#include <ringmill/engine.h>
#include <ringmill/error.h>

#include "ipc/segment.h"

namespace ringmill {

/// The options within their bounds, with defaults filled in and a new engine id. Error invalid_argument.
Result<SegmentConfig> checked_config(const CreateOptions& options);

std::string to_json(const SegmentConfig& config, const std::filesystem::path& shm_dir);

/// Reads what to_json() writes; `path` is for messages. Errors: corrupt, incompatible.
Result<SegmentConfig> from_json(const std::string& text, const std::filesystem::path& path,
                                std::filesystem::path& shm_dir);

}  // namespace ringmill
