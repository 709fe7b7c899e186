// Shared memory made anew from the journal: by a process that opens an engine whose segment is gone, or on demand.
//
// The structure lock is held all the while, and no keeper lives: no process writes the journal. The segment is made
// under another name and put in place whole (ipc/segment.h), so a kill here leaves nothing that the next one minds.
#pragma once

#include <cstdint>
#include <optional>

#include <ringmill/error.h>

#include "core/instance/engine_files.h"
#include "core/journal/recovery_report.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

/// The segment; where it is gone or was left by an earlier boot it is made anew from the journal, and `recovered` tells
/// how. Errors: corrupt (says how to make it anew), busy, permission_denied, no_space, incompatible, system.
Result<Segment> open_segment(const EngineFiles& files, const File& locks, bool dump_in_core,
                             std::optional<RecoveryReport>* recovered = nullptr);

/// What is made anew has all it needs: the engine stands there, is this user's, and has its journal. The caller has the
/// structure lock. Errors: not_found, permission_denied.
Result<void> check_makeable(const EngineFiles& files, const File& locks);
/// Makes it durable that generations up to a step above `floor` may be given. Error no_space: there are none left.
Result<void> reserve_generations(const EngineFiles& files, std::uint64_t floor);

/// Makes the segment anew from the journal, whatever stands there. Errors: busy (participants live), and as above.
Result<RecoveryReport> rebuild_segment(const EngineFiles& files, const File& locks);

}  // namespace ringmill
