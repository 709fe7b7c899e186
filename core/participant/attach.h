// How a thread, or a process, gets its participant.
#pragma once

#include <memory>

#include <ringmill/error.h>
#include <ringmill/participant.h>

#include "core/instance/engine_core.h"

namespace ringmill {

/// Gives the calling thread, or its process, a participant of an engine that is open. Costs a few system calls. Errors:
/// not_found (the engine was removed), too_many_participants. Throws std::bad_alloc, and has entered nothing then.
Result<std::unique_ptr<Participant>> attach(const std::shared_ptr<EngineCore>& engine, Role role,
                                            Binding binding = Binding::thread);

}  // namespace ringmill
