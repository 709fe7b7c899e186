// An engine of its own of a copy: what `ringmill recover` does first where the directory is one
// (core/instance/engine_identity.h).
//
//                                                            killed just after the step
//   adopt.A1  take the structure lock, look that none lives  the kernel drops the locks
//   adopt.A2  write engine.json whole: new id, journal_id, home an engine of its own, whose memory the next opening
//             makes
//
// The note `memory` names the former id and counts for nothing under the new one. The memory of the former id is not
// touched: it is the original's, or what is left of the engine that a backup was restored over.
#pragma once

#include <ringmill/error.h>

#include "core/instance/engine_files.h"
#include "ipc/file.h"

namespace ringmill {

/// A copy, or another directory's memory stands where its own should be.
bool needs_adoption(const EngineFiles& files);

/// Makes an engine of its own of a copy: a new id, and this place as its home. The memory that the old id names is left
/// alone. Errors: busy, permission_denied, no_space, system.
Result<void> adopt(EngineFiles& files, const File& locks);

}  // namespace ringmill
