// Tickets: a waiter learns that the disk has what its participant has done. The journal thread's side is
// core/durability/rounds.h; ipc/journal_marks.h says why a ticket is right.
//
//   waiter                                           the journal thread
//   dur.W1  raise round_wanted, ring if it rests     dur.R1  publish round_durable
//   dur.W2  read durable_sequence                    dur.R2  somebody_waits? clear it, change durable_sequence, wake
//   dur.W3  raise somebody_waits
//   dur.W4  check again; sleep while that is unchanged
//
// All are seq_cst: either W4 sees what R1 published, or R2 sees somebody_waits. A flag that a dead waiter left costs
// one wake. W1 is seen in the same way: the journal thread looks at round_wanted after it has said that it rests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <ringmill/participant.h>

#include "ipc/clock.h"
#include "ipc/segment.h"

namespace ringmill {

/// How long a durable job waits for the device if its caller names no time.
inline constexpr std::uint64_t device_wait_ns = 10'000'000'000;

/// When a call that waits for the device ends at the latest, on the steady clock; 0: it does not wait for that.
inline std::uint64_t device_end_ns(bool to_device, std::uint64_t wait_ns) noexcept {
  if (!to_device) [[likely]]
    return 0;
  return later_by(steady_clock_ns(), wait_ns == 0 ? device_wait_ns : wait_ns);
}

/// Returns false while the journal takes no new jobs. DurabilityTickets::wait_for_journal() says why.
inline bool journal_accepts(const Segment& segment) noexcept {
  return segment.journal().condition.load() <= static_cast<std::uint32_t>(JournalCondition::working);
}

class DurabilityTickets {
 public:
  explicit DurabilityTickets(Segment& segment) noexcept : segment_(segment) {}

  /// Returns the ticket of the round after the one that runs.
  DurabilityTicket ticket() const noexcept;
  /// Waits until the ticket's round is on the disk. Errors: timed_out, not_found (the engine was removed),
  /// journal_failed, no_space.
  Result<void> wait_durable(DurabilityTicket ticket, std::uint64_t wait_ns);
  /// Waits until the disk has what was enqueued last; the caller's job is in. Errors: not_durable, journal_failed,
  /// no_space, not_found (the engine was removed).
  Result<void> reach_device(std::uint64_t end_ns);
  /// Returns whether the ticket's round is on the disk. Errors: journal_failed, no_space.
  Result<bool> is_durable(DurabilityTicket ticket) const;
  /// What may hold a round up: the keeper stands still, none lives, the disk is slow. For people.
  std::string why_not_durable() const;
  /// Keeps `done` until poll_durable() finds that the ticket is durable, or can not become so.
  void when_durable(DurabilityTicket ticket, std::function<void(Result<void>)> done);
  /// Makes the calls that are due. Returns how many are left.
  std::size_t poll_durable();

  /// Waits until the journal takes jobs again. Errors: would_block, timed_out (the disk is slower than the producers),
  /// no_space, journal_failed, not_found (the engine was removed).
  Result<void> wait_for_journal(std::uint64_t wait_ns);

 private:
  /// Makes the journal thread begin the ticket's round at once.
  void ask_for(DurabilityTicket ticket) noexcept;

  Segment& segment_;
  std::vector<std::pair<DurabilityTicket, std::function<void(Result<void>)>>> promised_;
};

}  // namespace ringmill
