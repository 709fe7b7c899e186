// The file of the schedules: its access rights, and how it is opened.
#pragma once

#include <chrono>

#include <ringmill/error.h>

#include "core/base/sqlite.h"

namespace ringmill {

/// `busy_wait`: how long a call may wait for other processes. Error not_found: there is no such file, and `make` is
/// false. A file that is made gets the owner, group and mode of its directory (without execution).
Result<SqlConnection> open_schedules(const Directory& directory, bool make, std::chrono::milliseconds busy_wait);

}  // namespace ringmill
