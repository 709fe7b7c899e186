// A wish to the scheduler.
#pragma once

namespace ringmill {

/// Asks for short time slices for the calling thread: when it wakes, the scheduler (Linux 6.12 or later) lets it come
/// before a thread that has longer ones, instead of after the rest of that one's slice. Its share of the CPU stays the
/// same. Needs no privilege; earlier kernels, and threads under another policy than the default, ignore it.
void ask_for_short_time_slices() noexcept;

}  // namespace ringmill
