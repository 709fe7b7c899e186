// Participants as Python sees them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "clients/python/native/handles.h"

namespace ringmill::python {

std::shared_ptr<ParticipantHandle> attach(const std::shared_ptr<EngineHandle>& engine, std::string_view role,
                                          bool process_bound);
/// Claims; waits for the first one without the interpreter's lock. Returns how many; 0: the wait is over, or woken.
std::uint32_t claim_some(ParticipantHandle& self, rm_claimed* jobs, std::uint32_t room, std::optional<double> wait);
/// Values by key.
void bind_values(nb::class_<ParticipantHandle>& participant);

}  // namespace ringmill::python
