// Waiting for the end of a job, from any process.
//
//   waiter                                              the participant that ends the job (core/table/settling.h)
//   wait.W1  read the sequence of the job's group       settle.E2 CAS the cell: -> completing
//   wait.W2  set the group's bit in waited_for          settle.E5 store what it is now
//   wait.W3  look at the cell: over? clear nothing, go  W   the group's bit is set: clear it, change the sequence,
//   wait.W4  sleep while the sequence is what W1 read       wake all of the group; they look again
//
// settle.E2, the look at the bit, W2 and W3 are all seq_cst: so either the bit is seen, or W3 sees `completing` or what
// comes after it. A job that is completing is over in a moment: W4 sleeps for no longer than that then. A group is 1/64
// of all cells, so some wake in vain; other ends pay one load of a word that seldom changes. A waiter that dies leaves
// its bit, which the next end of the group clears.
#pragma once

#include <cstdint>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "ipc/segment.h"

namespace ringmill {

/// A waiter checks again after this long without a wake: the participant that ends the job may have died before it.
/// No other wake-up relies on it; the tests switch it off.
inline std::uint64_t longest_sleep_for_end_ns = 1'000'000'000;

/// Error timed_out, not_found.
Result<JobInfo> wait_for_end(const Segment& segment, JobId id, std::uint64_t wait_ns);

}  // namespace ringmill
