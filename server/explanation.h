// Why a job does not run, in one sentence. It only reads. It takes at most one pass over a ring and the registry or,
// for a limited job, over the table.
#pragma once

#include <string>

#include "core/dead_letters/dead_letter.h"
#include "core/inspect/engine_view.h"
#include "core/inspect/job_view.h"

namespace ringmill {

/// Returns what is to be said of a job, without its name: "is queued at level high, ...".
std::string explanation_of(const EngineView& view, const JobView& job);
std::string explanation_of(const DeadLetter& letter);

inline constexpr const char* explanation_of_ended = "is over, and nothing was kept of it";

}  // namespace ringmill
