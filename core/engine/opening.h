// Opening an engine.
#pragma once

#include <filesystem>
#include <memory>

#include <ringmill/error.h>

#include "core/instance/engine_core.h"

namespace ringmill {

/// Opens the engine of a directory; makes its shared memory anew where that is gone. Errors: those of Engine::open().
Result<std::shared_ptr<EngineCore>> open_engine(const std::filesystem::path& path, bool dump_in_core);

}  // namespace ringmill
