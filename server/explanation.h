// Why a job does not run, in one sentence. It only reads. It takes at most one pass over a ring and the registry or,
// for a limited job, over the table.
#pragma once

#include <string>
#include <string_view>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/dead_letters/dead_letter.h"
#include "core/inspect/engine_view.h"
#include "core/inspect/job_view.h"

namespace ringmill {

/// Returns what is to be said of a job, without its name: "is queued at level high, ...".
std::string explanation_of(const EngineView& view, const JobView& job);
std::string explanation_of(const DeadLetter& letter);

/// Of a job that is over, and in neither the table nor the dead letters.
std::string explanation_of_ended(const JobInfo& info);

/// Returns whether a plain job of this level would be taken at this moment, and which bound says so: "takes jobs: ...",
/// "refuses jobs: ...". Error not_found: there is no such level.
Result<std::string> explanation_of_level(const EngineView& view, std::string_view name);

}  // namespace ringmill
