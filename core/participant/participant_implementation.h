// The parts of a participant, each after those that it needs.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <ringmill/participant.h>

#include "core/participant/claiming.h"
#include "core/participant/consumer.h"
#include "core/participant/context.h"
#include "core/participant/follow_ups.h"
#include "core/participant/held_lease.h"
#include "core/participant/job_control.h"
#include "core/participant/linked_producer.h"
#include "core/participant/producer.h"
#include "core/participant/request_check.h"
#include "core/participant/settler.h"
#include "core/participant/tickets.h"
#include "core/participant/unique_producer.h"
#include "core/participant/value_store.h"

namespace ringmill {

class Participant::Implementation {
 public:
  /// `number` is an entry that was entered with this binding. The destructor leaves it.
  Implementation(std::shared_ptr<EngineCore> engine, std::uint32_t number, Binding binding);
  ~Implementation();
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  ParticipantContext& context() noexcept { return context_; }
  /// Returns the participant that holds a job, if this is its thread. Each call on a job asks first. Null: no_holder()
  /// says why.
  static Implementation* holder_of(const HeldLease& lease) noexcept;
  /// Errors: not_held, lease_lost (an earlier call found that), and misuse().
  static Error no_holder(const HeldLease& lease) noexcept;

  /// Ends an attempt that failed, by the job's holder. Errors: lease_lost, and those of no_holder().
  static Result<Settled> fail_held(HeldLease& lease, std::string_view error, std::string_view said,
                                   std::optional<std::uint64_t> delay_ms, DeathCause cause = DeathCause::failed);

  DurabilityTickets& tickets() noexcept { return tickets_; }
  Producer& producer() noexcept { return producer_; }
  UniqueProducer& unique_producer() noexcept { return unique_producer_; }
  LinkedProducer& linked_producer() noexcept { return linked_producer_; }
  Consumer& consumer() noexcept { return consumer_; }
  Settler& settler() noexcept { return settler_; }
  JobControl& job_control() noexcept { return job_control_; }
  ValueStore& values() noexcept { return values_; }
  const FollowUps& follow_ups() const noexcept { return follow_ups_; }

 private:
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
  JobControl job_control_;
  ValueStore values_;
};

}  // namespace ringmill
