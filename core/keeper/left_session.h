// The commands that a dead worker has left running.
#pragma once

#include <cstdint>

#include "core/table/lease_slots.h"
#include "ipc/layout.h"
#include "ipc/process_end.h"
#include "ipc/session_end.h"

namespace ringmill {

/// Kills what is left of the session that a dead participant ran for a job (ParticipantEntry::session). Shared memory
/// is only a hint: a session is touched if one of its processes was started with the environment of a command of this
/// job. A participant of another pid namespace is left to the operator.
inline void end_left_session(ParticipantEntry& entry) noexcept {
  const std::uint64_t session = entry.session.exchange(0);
  if (session == 0 || entry.pid_namespace.load() != own_pid_namespace()) return;
  for (const LeaseSlot& slot : entry.leases) {
    const JobId id(slot.job_id.load());
    if (!id || slot.started_at_ns.load() == 0) continue;
    try {
      end_session(static_cast<pid_t>(session & 0x7fffffff), "RINGMILL_JOB_ID=" + id.to_string());
    } catch (const std::exception&) {  // no memory for the text
      return;
    }
  }
}

}  // namespace ringmill
