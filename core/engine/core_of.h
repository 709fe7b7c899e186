// The way from an Engine to what its users share, for the other public classes.
#pragma once

#include <memory>

#include <ringmill/engine.h>

#include "core/instance/engine_core.h"

namespace ringmill {

std::shared_ptr<EngineCore> core_of(const Engine& engine) noexcept;

}  // namespace ringmill
