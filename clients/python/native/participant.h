// Participants as Python sees them.
#pragma once

#include <string_view>

#include "clients/python/native/handles.h"

namespace ringmill::python {

std::shared_ptr<ParticipantHandle> attach(const std::shared_ptr<EngineHandle>& engine, std::string_view role,
                                          bool process_bound);
/// Values by key.
void bind_values(nb::class_<ParticipantHandle>& participant);

}  // namespace ringmill::python
