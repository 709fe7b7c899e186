// What can be asked of a job from outside of its end: cancelling, time left, progress, parents, notes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include <ringmill/participant.h>

#include "core/participant/context.h"
#include "core/participant/held_lease.h"
#include "core/table/notes.h"

namespace ringmill {

class JobControl {
 public:
  explicit JobControl(ParticipantContext& context) noexcept : context_(context), table_(context.settling.table()) {}

  /// Cancels a job that waits, or asks a job that runs to stop. Errors: not_found, corrupt.
  Result<Cancelled> cancel(JobId id);
  /// Returns whether a participant has asked this run to stop.
  bool should_stop(const HeldLease& lease) const noexcept;
  /// Returns how long the lease still holds.
  std::chrono::nanoseconds time_left(const HeldLease& lease) noexcept;
  /// Returns JobRequest::lease of a held job.
  std::chrono::milliseconds asked_lease(const HeldLease& lease) const noexcept;
  /// Shows a held job's progress in the participant's entry.
  void report_progress(const HeldLease& lease, std::uint64_t number, std::string_view text) noexcept;
  /// Returns the jobs that a held job has waited for. Returns none if the lease was lost.
  std::vector<JobId> parents_of(const HeldLease& lease) const;
  /// Returns what a held job carries beside its payload. Returns nothing if the lease was lost and the job is over.
  Notes notes_of(const HeldLease& lease) const noexcept { return ringmill::notes_of(table_, lease.id); }

 private:
  /// Asks the holder of a running job to stop. Returns false if no lease names the job: it has moved on.
  bool ask_to_stop(JobId id, StateWord word) noexcept;

  ParticipantContext& context_;
  const JobTable table_;
};

}  // namespace ringmill
