// The parts of a participant, and the order in which they are used. Private to core.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/participant.h>

#include "core/instance/engine_core.h"
#include "core/participant/claiming.h"
#include "core/participant/consumer.h"
#include "core/participant/context.h"
#include "core/participant/held_lease.h"
#include "core/participant/linked_producer.h"
#include "core/participant/producer.h"
#include "core/participant/request_check.h"
#include "core/participant/settler.h"
#include "core/participant/tickets.h"
#include "core/participant/unique_producer.h"
#include "core/table/arena.h"
#include "core/table/free_cells.h"
#include "core/table/lease_book.h"
#include "core/table/settling.h"
#include "ipc/clock.h"
#include "ipc/fork_guard.h"

namespace ringmill {

class Participant::Implementation {
 public:
  /// `number` is an entry that this thread has entered; the implementation leaves it.
  Implementation(std::shared_ptr<EngineCore> engine, std::uint32_t number);
  ~Implementation();
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  ParticipantContext& context() noexcept { return context_; }
  /// Calls on a job start here: the participant that holds it, for a call by its own thread. Null: no_holder() says
  /// why.
  static Implementation* holder_of(const HeldLease& lease) noexcept;
  /// Errors: lease_lost (the job was settled before), and misuse().
  static Error no_holder(const HeldLease& lease) noexcept;

  // enqueueing.cc
  std::vector<JobId> parents_of(const HeldLease& lease) const;

  /// Ends an attempt that failed, by the job's holder. Errors: lease_lost, and those of misuse().
  static Result<Settled> fail_held(HeldLease& lease, std::string_view error, std::string_view said,
                                   std::optional<std::uint64_t> delay_ms, DeathCause cause = DeathCause::failed);
  Result<Cancelled> cancel(JobId id);
  bool should_stop(const HeldLease& lease) const noexcept;
  std::chrono::nanoseconds time_left(const HeldLease& lease) noexcept;
  std::chrono::milliseconds timeout(const HeldLease& lease) const noexcept;
  void report_progress(const HeldLease& lease, std::uint64_t number, std::string_view text) noexcept;

  DurabilityTickets& tickets() noexcept { return tickets_; }
  Producer& producer() noexcept { return producer_; }
  UniqueProducer& unique_producer() noexcept { return unique_producer_; }
  LinkedProducer& linked_producer() noexcept { return linked_producer_; }
  Consumer& consumer() noexcept { return consumer_; }
  Settler& settler() noexcept { return settler_; }
  const FollowUps& follow_ups() const noexcept { return follow_ups_; }

 private:
  /// False: it has moved on.
  bool ask_to_stop(JobId id, StateWord word) noexcept;

  ParticipantContext context_;
  DurabilityTickets tickets_;
  RequestCheck check_;
  Producer producer_;
  UniqueProducer unique_producer_;
  FollowUps follow_ups_;
  LinkedProducer linked_producer_;
  Claiming claiming_;
  Consumer consumer_;
  Settler settler_;
};

}  // namespace ringmill
