#include <ringmill/client.h>

#include <algorithm>

#include "core/base/exceptions.h"
#include "core/engine/client_entries.h"
#include "core/engine/core_of.h"
#include "core/participant/tickets.h"

namespace ringmill {

class Client::Implementation {
 public:
  Implementation(Engine& engine, std::uint32_t most)
      : engine_(&engine), core_(core_of(engine)), entries_(core_, most) {}
  ~Implementation() = default;

  ClientEntries& entries() noexcept { return entries_; }
  const Engine& engine() const noexcept { return *engine_; }

  /// Runs a call that enqueues. What is to be durable is enqueued as journaled; the device is waited for afterwards,
  /// without an entry.
  template <class Call>
  auto enqueue(bool to_device, std::chrono::nanoseconds wait, Call&& call)
      -> decltype(call(std::declval<Participant&>(), wait)) {
    if (!entries_.is_of_this_process()) return std::unexpected(after_fork());
    const std::uint64_t device_end = device_end_of(to_device, wait);
    auto done = entries_.use(wait, call);
    if (!done || device_end == 0) return done;
    if (auto reached = reach_device(device_end); !reached) return std::unexpected(reached.error());
    return done;
  }

  static std::uint64_t device_end_of(bool to_device, std::chrono::nanoseconds wait) noexcept {
    return device_end_ns(to_device, wait.count() <= 0 ? 0 : static_cast<std::uint64_t>(wait.count()));
  }
  /// Waits until the device has what this thread has enqueued.
  Result<void> reach_device(std::uint64_t end_ns) { return DurabilityTickets(core_->segment).reach_device(end_ns); }

  static Error after_fork() noexcept {
    return Error(ErrorCode::after_fork, "this client belongs to the parent process: attach another one after fork()");
  }

 private:
  Engine* engine_;
  std::shared_ptr<EngineCore> core_;
  ClientEntries entries_;
};

namespace {

/// Makes the request one that does not wait for the device. Returns whether it asked for that.
bool take_wait_out(JobRequest& request) noexcept {
  if (request.durability != Durability::durable) return false;
  request.durability = Durability::journaled;
  return true;
}

}  // namespace

Client::Client(std::unique_ptr<Implementation> implementation) noexcept : implementation_(std::move(implementation)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::attach(Engine& engine, const ClientOptions& options) try {
  if (options.participants < 1 || options.participants > 64) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a client has 1 to 64 participants"));
  }
  auto implementation = std::make_unique<Implementation>(engine, options.participants);
  if (auto begun = implementation->entries().begin(); !begun) return std::unexpected(begun.error());
  return Client(std::move(implementation));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<JobId> Client::enqueue(const JobRequest& given, std::chrono::nanoseconds wait) try {
  JobRequest request = given;
  const bool to_device = take_wait_out(request);
  return implementation_->enqueue(to_device, wait, [&](Participant& participant, std::chrono::nanoseconds left) {
    return participant.enqueue(request, left);
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<UniqueJob> Client::enqueue_unique(const JobRequest& given, std::string_view key,
                                         std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait) try {
  JobRequest request = given;
  const bool to_device = take_wait_out(request);
  return implementation_->enqueue(to_device, wait, [&](Participant& participant, std::chrono::nanoseconds left) {
    return participant.enqueue_unique(request, key, unique_for, left);
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::size_t> Client::enqueue_batch(std::span<const JobRequest> given, std::span<JobId> ids,
                                          std::chrono::nanoseconds wait) try {
  if (ids.size() < given.size()) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "there is room for fewer ids than there are jobs"));
  }
  std::vector<JobRequest> requests(given.begin(), given.end());
  bool to_device = false;
  for (JobRequest& request : requests) to_device |= take_wait_out(request);
  const std::uint64_t device_end = Implementation::device_end_of(to_device, wait);
  std::size_t done = 0;
  const auto in_pieces = [&](Participant& participant, std::chrono::nanoseconds left) -> Result<std::size_t> {
    while (done < requests.size()) {
      const std::size_t most = std::min<std::size_t>(requests.size() - done, Participant::most_in_batch);
      const auto more =
          participant.enqueue_batch(std::span(requests).subspan(done, most), ids.subspan(done, most), left);
      if (!more) return std::unexpected(more.error());
      done += *more;
    }
    return done;
  };
  const auto all = implementation_->enqueue(false, wait, in_pieces);
  const bool is_just_full = !all && is_lack_of_room(all.error());
  if (done == 0 || (!all && !is_just_full)) return all;
  if (device_end == 0) return done;
  if (auto reached = implementation_->reach_device(device_end); !reached) return std::unexpected(reached.error());
  return done;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Client::enqueue_together(std::span<const LinkedRequest> given, std::span<JobId> ids,
                                      std::chrono::nanoseconds wait) try {
  std::vector<LinkedRequest> jobs(given.begin(), given.end());
  bool to_device = false;
  for (LinkedRequest& job : jobs) to_device |= take_wait_out(job.request);
  return implementation_->enqueue(to_device, wait, [&](Participant& participant, std::chrono::nanoseconds left) {
    return participant.enqueue_together(jobs, ids, left);
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::vector<JobId>> Client::enqueue(const JobGraph& graph, std::chrono::nanoseconds wait) try {
  std::vector<JobId> ids(graph.size());
  if (auto done = enqueue_together(graph.requests(), ids, wait); !done) return std::unexpected(done.error());
  return ids;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Cancelled> Client::cancel(JobId id) try {
  ClientEntries& entries = implementation_->entries();
  if (!entries.is_of_this_process()) return std::unexpected(Implementation::after_fork());
  return entries.use([id](Participant& participant) { return participant.cancel(id); });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<JobInfo> Client::job(JobId id) const { return implementation_->engine().job(id); }

Result<JobInfo> Client::wait(JobId id, std::chrono::nanoseconds timeout) const {
  return implementation_->engine().wait(id, timeout);
}

std::uint32_t Client::participants() const noexcept { return implementation_->entries().attached(); }

}  // namespace ringmill
