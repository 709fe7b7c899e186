#include "core/participant/inherited_traces.h"

namespace ringmill {

FollowedTrace::FollowedTrace(const JobTable& table, JobId followed, JobRequest& request) noexcept {
  if (!request.trace_parent.empty()) return;
  const TraceParent trace = notes_of(table, followed).trace;
  if (!trace) return;
  text_ = trace.characters();
  request.trace_parent = std::string_view(text_.data(), text_.size());
}

InheritedTraces::InheritedTraces(const JobTable& table, std::span<const LinkedRequest> jobs) : given_(jobs) {
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    if (!jobs[n].request.trace_parent.empty()) continue;
    const std::string_view trace = trace_of_parent(table, jobs[n], n);
    if (trace.empty()) continue;
    if (with_traces_.empty()) with_traces_.assign(jobs.begin(), jobs.end());
    with_traces_[n].request.trace_parent = trace;
  }
}

std::string_view InheritedTraces::trace_of_parent(const JobTable& table, const LinkedRequest& job, std::size_t place) {
  if (!job.after.empty()) {
    std::string text = notes_of(table, job.after.front()).trace.text();
    return text.empty() ? std::string_view() : texts_.emplace_back(std::move(text));
  }
  if (job.after_earlier.empty() || job.after_earlier.front() >= place) return {};  // the check says what is wrong
  return jobs()[job.after_earlier.front()].request.trace_parent;
}

}  // namespace ringmill
