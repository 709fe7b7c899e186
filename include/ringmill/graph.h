// Jobs that depend on each other, put together before they are enqueued: chains, groups, and what comes after a group.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>

namespace ringmill {

/// A set of jobs and their dependencies. It keeps copies of payloads and options, so nothing that was given to it has
/// to last. One thread at a time; allocates. Costs nothing in the engine until enqueue().
class JobGraph {
 public:
  /// Names a job of this graph.
  using Node = std::uint32_t;

  /// Adds a job that waits for these, which were added before.
  Node add(const JobRequest& request, std::span<const Node> after = {},
           OnParentDead on_parent_dead = OnParentDead::cancel);
  Node add(const JobRequest& request, std::initializer_list<Node> after,
           OnParentDead on_parent_dead = OnParentDead::cancel) {
    return add(request, std::span<const Node>(after.begin(), after.size()), on_parent_dead);
  }
  /// The job waits for these as well, which are in the engine already.
  void wait_for(Node node, std::span<const JobId> jobs);

  /// Each job after the one before it.
  static JobGraph chain(std::span<const JobRequest> requests);
  /// All of them side by side, then `callback`, which sees their results (Job::parents()). What Celery calls a chord.
  static JobGraph group(std::span<const JobRequest> requests, const JobRequest& callback,
                        OnParentDead on_parent_dead = OnParentDead::cancel);

  std::size_t size() const noexcept { return jobs_.size(); }

  /// Participant::enqueue_together(): all or none. The ids in the order of the nodes.
  Result<std::vector<JobId>> enqueue(Participant& participant,
                                     std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero()) const;
  /// Job::follow_up() for each: they become visible with the job's completion. After an error some of them are
  /// follow-ups already: fail the job.
  Result<std::vector<JobId>> follow(Job& job, std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero()) const;

 private:
  struct Entry {
    JobRequest request{};
    std::vector<std::byte> payload{};
    JobOptions options{};
    bool has_options = false;
    std::vector<Node> after{};
    std::vector<JobId> after_others{};
    OnParentDead on_parent_dead = OnParentDead::cancel;
  };
  LinkedRequest linked(const Entry& entry) const;

  std::vector<Entry> jobs_;
};

}  // namespace ringmill
