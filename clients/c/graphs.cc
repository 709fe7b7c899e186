// Jobs that depend on each other.
#include <algorithm>
#include <memory>

#include "clients/c/handles.h"
#include "clients/c/requests.h"

using ringmill::JobId;
using ringmill::OnParentDead;
using ringmill::Result;
using ringmill::c::guarded;
using ringmill::c::report;
using ringmill::c::wait_of;

namespace {

rm_code hand_out(const Result<std::vector<JobId>>& made, rm_id* ids, rm_error* error) noexcept {
  if (!made) return report(error, made.error());
  std::transform(made->begin(), made->end(), ids, [](JobId id) { return id.value(); });
  return RM_OK;
}

}  // namespace

rm_code rm_graph_create(rm_graph** graph, rm_error* error) {
  return guarded(error, [&] {
    *graph = new rm_graph;
    return rm_code{RM_OK};
  });
}

rm_code rm_graph_add(rm_graph* graph, const rm_request* request, const uint32_t* after, uint32_t after_count,
                     uint32_t on_parent_dead, uint32_t* node, rm_error* error) {
  return guarded(error, [&] {
    if (request == nullptr) return report(error, RM_INVALID_ARGUMENT, "the request is NULL");
    ringmill::JobRequest job;
    if (const auto why = ringmill::c::take_request(request, request->size, job); !why.empty()) {
      return report(error, RM_INVALID_ARGUMENT, why);
    }
    if (on_parent_dead > RM_RUN_CHILD) {
      return report(error, RM_INVALID_ARGUMENT, "on_parent_dead is neither RM_CANCEL_CHILD nor RM_RUN_CHILD");
    }
    const std::span<const std::uint32_t> parents(after, after == nullptr ? 0 : after_count);
    const bool are_known = std::all_of(parents.begin(), parents.end(),
                                       [graph](std::uint32_t parent) { return parent < graph->graph.size(); });
    if (!are_known) return report(error, RM_INVALID_ARGUMENT, "a node waits for nodes that were added before it");
    const auto added = graph->graph.add(job, parents, static_cast<OnParentDead>(on_parent_dead));
    if (node != nullptr) *node = added;
    return rm_code{RM_OK};
  });
}

rm_code rm_graph_wait_for(rm_graph* graph, uint32_t node, const rm_id* jobs, uint32_t count, rm_error* error) {
  return guarded(error, [&] {
    if (node >= graph->graph.size()) return report(error, RM_INVALID_ARGUMENT, "the graph has no such node");
    std::vector<JobId> ids;
    for (std::uint32_t n = 0; n < count; ++n) ids.emplace_back(jobs[n]);
    graph->graph.wait_for(node, ids);
    return rm_code{RM_OK};
  });
}

rm_code rm_graph_enqueue(const rm_graph* graph, rm_participant* participant, rm_id* ids, int64_t wait_ns,
                         rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    return hand_out(graph->graph.enqueue(*participant->get(), wait_of(wait_ns)), ids, error);
  });
}

rm_code rm_graph_follow(const rm_graph* graph, rm_participant* participant, rm_lease lease, rm_id* ids, int64_t wait_ns,
                        rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    ringmill::Job* const job = participant->leases->find(lease);
    if (job == nullptr) return report(error, RM_NOT_HELD, "no lease of this participant");
    return hand_out(graph->graph.follow(*job, wait_of(wait_ns)), ids, error);
  });
}

void rm_graph_free(rm_graph* graph) { delete graph; }
