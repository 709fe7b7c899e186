#include <ringmill/graph.h>

#include "core/base/exceptions.h"

namespace ringmill {

JobGraph::Node JobGraph::add(const JobRequest& request, std::span<const Node> after, OnParentDead on_parent_dead) {
  Entry entry;
  entry.request = request;
  entry.payload.assign(request.payload.begin(), request.payload.end());
  entry.tag = request.tag;
  entry.trace_parent = request.trace_parent;
  entry.after.assign(after.begin(), after.end());
  entry.on_parent_dead = on_parent_dead;
  jobs_.push_back(std::move(entry));
  return static_cast<Node>(jobs_.size() - 1);
}

void JobGraph::wait_for(Node node, std::span<const JobId> jobs) {
  jobs_[node].after_others.insert(jobs_[node].after_others.end(), jobs.begin(), jobs.end());
}

JobGraph JobGraph::chain(std::span<const JobRequest> requests) {
  JobGraph graph;
  for (const JobRequest& request : requests) {
    if (graph.jobs_.empty()) {
      graph.add(request);
    } else {
      graph.add(request, {static_cast<Node>(graph.size() - 1)});
    }
  }
  return graph;
}

JobGraph JobGraph::group(std::span<const JobRequest> requests, const JobRequest& callback,
                         OnParentDead on_parent_dead) {
  JobGraph graph;
  std::vector<Node> members;
  for (const JobRequest& request : requests) members.push_back(graph.add(request));
  graph.add(callback, members, on_parent_dead);
  return graph;
}

LinkedRequest JobGraph::linked(const Entry& entry) const {
  LinkedRequest linked;
  linked.request = entry.request;
  linked.request.payload = entry.payload;
  linked.request.tag = entry.tag;
  linked.request.trace_parent = entry.trace_parent;
  linked.after = entry.after_others;
  linked.after_earlier = entry.after;
  linked.on_parent_dead = entry.on_parent_dead;
  return linked;
}

std::vector<LinkedRequest> JobGraph::requests() const {
  std::vector<LinkedRequest> requests;
  requests.reserve(jobs_.size());
  for (const Entry& entry : jobs_) requests.push_back(linked(entry));
  return requests;
}

Result<std::vector<JobId>> JobGraph::enqueue(Participant& participant, std::chrono::nanoseconds wait) const try {
  std::vector<JobId> ids(jobs_.size());
  if (auto done = participant.enqueue_together(requests(), ids, wait); !done) return std::unexpected(done.error());
  return ids;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::vector<JobId>> JobGraph::follow(Job& job, std::chrono::nanoseconds wait) const try {
  std::vector<JobId> ids;
  const std::uint32_t before = job.follow_ups();
  for (const Entry& entry : jobs_) {
    std::vector<std::uint32_t> after;
    for (const Node node : entry.after) after.push_back(before + node);
    LinkedRequest request = linked(entry);
    request.after_earlier = after;
    const auto id = job.follow_up(request, wait);
    if (!id) return std::unexpected(id.error());
    ids.push_back(*id);
  }
  return ids;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

}  // namespace ringmill
