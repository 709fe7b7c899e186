// Kinds of jobs by their names.
#pragma once

#include <string_view>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "ipc/segment.h"

namespace ringmill {

/// The number of a kind in this engine's shared memory; it is taken where there is none. Errors: invalid_argument (no
/// valid name), no_space (all numbers are taken).
Result<Kind> intern_kind(const Segment& segment, std::string_view name);

}  // namespace ringmill
