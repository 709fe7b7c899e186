// Jobs that depend on each other, built before they are enqueued: chains, groups, and a callback after a group.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>

namespace ringmill {

/// A set of jobs and their dependencies. It copies payloads, texts and options. One thread at a time; allocates. It
/// takes no room in the engine before enqueue().
class JobGraph {
 public:
  /// Names a job of this graph.
  using Node = std::uint32_t;

  /// Adds a job that waits for the nodes `after`, which were added before.
  Node add(const JobRequest& request, std::span<const Node> after = {},
           OnParentDead on_parent_dead = OnParentDead::cancel);
  Node add(const JobRequest& request, std::initializer_list<Node> after,
           OnParentDead on_parent_dead = OnParentDead::cancel) {
    return add(request, std::span<const Node>(after.begin(), after.size()), on_parent_dead);
  }
  /// Makes the node wait for `jobs` of the engine, too.
  void wait_for(Node node, std::span<const JobId> jobs);

  /// Makes a graph in which each job waits for the one before it.
  [[nodiscard]] static JobGraph chain(std::span<const JobRequest> requests);
  [[nodiscard]] static JobGraph chain(std::initializer_list<JobRequest> requests) {
    return chain(std::span<const JobRequest>(requests.begin(), requests.size()));
  }
  /// Makes a graph in which the requests run in parallel, then `callback`, which can read their results
  /// (Job::parents()). Celery calls this a chord.
  [[nodiscard]] static JobGraph group(std::span<const JobRequest> requests, const JobRequest& callback,
                                      OnParentDead on_parent_dead = OnParentDead::cancel);
  [[nodiscard]] static JobGraph group(std::initializer_list<JobRequest> requests, const JobRequest& callback,
                                      OnParentDead on_parent_dead = OnParentDead::cancel) {
    return group(std::span<const JobRequest>(requests.begin(), requests.size()), callback, on_parent_dead);
  }

  std::size_t size() const noexcept { return jobs_.size(); }

  /// Returns the jobs as Participant::enqueue_together() takes them. They refer to this graph. Allocates.
  std::vector<LinkedRequest> requests() const;
  /// Enqueues all jobs or none (Participant::enqueue_together()). Returns the ids in the order of the nodes.
  [[nodiscard]] Result<std::vector<JobId>> enqueue(
      Participant& participant, std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero()) const;
  /// Makes each node a follow-up of `job` (Job::follow_up()): they become visible with its completion. After an error
  /// some of them are follow-ups already: fail the job.
  [[nodiscard]] Result<std::vector<JobId>> follow(
      Job& job, std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero()) const;

 private:
  struct Entry {
    JobRequest request{};
    std::vector<std::byte> payload{};
    std::string tag{};
    std::string trace_parent{};
    std::vector<Node> after{};
    std::vector<JobId> after_others{};
    OnParentDead on_parent_dead = OnParentDead::cancel;
  };
  LinkedRequest linked(const Entry& entry) const;

  std::vector<Entry> jobs_;
};

}  // namespace ringmill
