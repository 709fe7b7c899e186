// A client: the calls of a producer for all threads of a program, over a few registry entries.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/error.h>
#include <ringmill/graph.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>

namespace ringmill {

struct ClientOptions {
  /// How many registry entries the client uses at most, 1 to 64: so many threads can be inside a call at a time, and
  /// others wait their turn, which takes microseconds. An entry is taken when it is first needed. One more is taken
  /// when a thread waits for room.
  std::uint32_t participants = 4;
};

/// Enqueues, cancels and looks, from any thread, any number at a time. A thread that waits (for room, for the disk, for
/// the end of a job) holds no entry that others need. A call costs an uncontended mutex more than the same call of a
/// Participant. In the child of a fork each call returns after_fork; attach another there. Not for signal handlers.
class Client {
 public:
  /// Takes the first registry entry: a few system calls. The engine must outlive the client, and not move. Errors:
  /// invalid_argument (ClientOptions), and those of Engine::attach().
  [[nodiscard]] static Result<Client> attach(Engine& engine, const ClientOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  /// Leaves the registry. No other thread may be inside a call.
  ~Client();

  /// As Participant::enqueue(). With a `wait`, threads that wait for room take turns.
  [[nodiscard]] Result<JobId> enqueue(const JobRequest& request,
                                      std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// As Participant::enqueue_unique().
  [[nodiscard]] Result<UniqueJob> enqueue_unique(const JobRequest& request, std::string_view key,
                                                 std::chrono::milliseconds unique_for = {},
                                                 std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// As Participant::enqueue_batch(), for any number of jobs: in their order, with jobs of other threads between them.
  [[nodiscard]] Result<std::size_t> enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids,
                                                  std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// As Participant::enqueue_together().
  [[nodiscard]] Result<void> enqueue_together(std::span<const LinkedRequest> jobs, std::span<JobId> ids,
                                              std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// As JobGraph::enqueue().
  [[nodiscard]] Result<std::vector<JobId>> enqueue(const JobGraph& graph,
                                                   std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// As Participant::cancel().
  [[nodiscard]] Result<Cancelled> cancel(JobId id);

  /// As Engine::job() and Engine::wait(), which use no entry.
  [[nodiscard]] Result<JobInfo> job(JobId id) const;
  [[nodiscard]] Result<JobInfo> wait(JobId id, std::chrono::nanoseconds timeout) const;

  /// Returns how many registry entries the client has taken.
  std::uint32_t participants() const noexcept;

 private:
  class Implementation;
  explicit Client(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
