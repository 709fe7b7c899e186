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

  // claiming and settling: participant.cc
  bool complete(HeldLease& lease, std::span<const std::byte> result) noexcept;
  std::size_t complete_batch(std::span<Job> jobs) noexcept;
  bool extend(HeldLease& lease, std::uint64_t lease_ns) noexcept;

  // other ends than the plain one: participant_settling.cc. False: the lease was lost.
  bool release(HeldLease& lease) noexcept;
  bool snooze(HeldLease& lease, std::uint64_t delay_ms) noexcept;
  /// Nothing as the delay: as the job's retry policy says. Nothing comes back: the lease was lost.
  std::optional<Settled> fail(HeldLease& lease, std::string_view error, std::string_view said,
                              std::optional<std::uint64_t> delay_ms, DeathCause cause = DeathCause::failed);
  /// The same by the job's holder, as its calls return it.
  static Result<Settled> fail_held(HeldLease& lease, std::string_view error, std::string_view said,
                                   std::optional<std::uint64_t> delay_ms, DeathCause cause = DeathCause::failed);
  bool reject(HeldLease& lease, std::string_view error, std::string_view said) noexcept;
  bool end_as_cancelled(HeldLease& lease) noexcept;
  /// How long a result of this job may be; any length if it is not kept.
  std::size_t room_for_result(const HeldLease& lease) const noexcept;
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
  const FollowUps& follow_ups() const noexcept { return follow_ups_; }

 private:
  /// A run is over whose kind is limited: another one may begin.
  void leave_slot(const HeldLease& lease) noexcept;
  /// Drops the follow-ups that the job was not completed with; settle.E7.
  void settled(HeldLease& lease) noexcept;
  /// The same for a job that is known to have no extent of the arena.
  void settled_plain(HeldLease& lease) noexcept;
  /// All of it, for a job that we hold. False: the lease was lost.
  bool settle(HeldLease& lease, Ending ending) noexcept;
  /// False: it has moved on.
  bool ask_to_stop(JobId id, StateWord word) noexcept;
  /// What the end of a plain run has won: nothing (the lease was lost); a job that is kept, because the keeper has to
  /// see its end; its cell; or its cell, of whose end the journal has to be told.
  enum class Won : std::uint8_t { nothing, kept_cell, cell, cell_to_mark };
  /// settle.E2 and settle.E5 of a completion.
  Won win_end(const HeldLease& lease) noexcept;
  /// A completion that is more than the plain one: with options, a result or follow-ups.
  [[gnu::noinline]] bool complete_with(HeldLease& lease, std::span<const std::byte> result);
  /// settle.E2 to settle.E7 of a completion; the freed cell is kept back.
  bool end(HeldLease& lease) noexcept;
  std::size_t end_run(std::span<Job> jobs) noexcept;

  ParticipantContext context_;
  DurabilityTickets tickets_;
  RequestCheck check_;
  Producer producer_;
  UniqueProducer unique_producer_;
  FollowUps follow_ups_;
  LinkedProducer linked_producer_;
  Claiming claiming_;
  Consumer consumer_;
};

}  // namespace ringmill
