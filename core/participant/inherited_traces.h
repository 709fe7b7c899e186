// The trace of a job that names none: that of the job that it follows, or of the first one that it waits for.
#pragma once

#include <array>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/job.h>

#include "core/table/job_table.h"
#include "core/table/notes.h"

namespace ringmill {

/// The trace of a follow-up that names none: that of the job that it follows. The request refers to this object.
class FollowedTrace {
 public:
  FollowedTrace(const JobTable& table, JobId followed, JobRequest& request) noexcept;
  FollowedTrace(const FollowedTrace&) = delete;
  FollowedTrace& operator=(const FollowedTrace&) = delete;

 private:
  std::array<char, 55> text_{};
};

/// The jobs of one call, each with its trace.
class InheritedTraces {
 public:
  /// The jobs stay where they are while this lives. Allocates if any of them inherits a trace.
  InheritedTraces(const JobTable& table, std::span<const LinkedRequest> jobs);
  InheritedTraces(const InheritedTraces&) = delete;
  InheritedTraces& operator=(const InheritedTraces&) = delete;

  std::span<const LinkedRequest> jobs() const noexcept {
    return with_traces_.empty() ? given_ : std::span<const LinkedRequest>(with_traces_);
  }

 private:
  /// Of the first job that this one waits for; empty: there is none, or it has none.
  std::string_view trace_of_parent(const JobTable& table, const LinkedRequest& job, std::size_t place);

  std::span<const LinkedRequest> given_;
  std::vector<LinkedRequest> with_traces_;
  std::deque<std::string> texts_;  // of jobs of the engine
};

}  // namespace ringmill
