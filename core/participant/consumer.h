// Claiming with a wait, and handing jobs out: claim.K6 of core/participant/claiming.h, and what comes before a claim
// and after one that cannot be handed out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <ringmill/participant.h>

#include "core/participant/claiming.h"
#include "core/participant/context.h"
#include "core/participant/held_lease.h"
#include "core/participant/prefetch_window.h"
#include "core/participant/subscription.h"
#include "core/table/damage.h"

namespace ringmill {

class Consumer {
 public:
  Consumer(ParticipantContext& context, const RequestCheck& check, Claiming& claiming) noexcept
      : context_(context),
        claiming_(claiming),
        table_(context.settling.table()),
        level_count_(context.level_count),
        subscription_(context, check, claiming) {}

  Result<void> subscribe(const ClaimOptions& options);
  /// Claims one job, for which `self` is the holder.
  Result<Job> claim(Participant& self, std::uint64_t wait_ns);
  Result<std::size_t> claim_batch(Participant& self, std::span<Job> out, std::uint64_t wait_ns);
  /// wake.S1 to wake.S3 of a wait that is slept through elsewhere. Returns nothing if there may be a job to claim.
  Result<std::optional<BegunWait>> begin_wait();
  /// wake.S5 of it, and what a wake-up that no claim follows needs.
  void end_wait(bool claims) noexcept;
  /// Gives back the jobs that are claimed in advance.
  void release_prefetched() noexcept;
  /// Gives back the jobs whose Job objects outlive the participant: nothing else could end them.
  void release_forgotten() noexcept;

 private:
  /// How long a claim goes on when what it gets cannot be handed out.
  struct Patience {
    std::uint64_t wait_ns = 0;   // what is left
    std::uint64_t begin_ns = 0;  // lease clock; 0: not read yet
    std::uint64_t end_ns = 0;
    std::uint32_t failures = 0;
  };
  /// Fills the window with the next claims for claim().
  [[gnu::noinline]] Result<void> claim_in_advance(Patience& patience);
  /// Claims up to `most` jobs, waiting until `wait_ns` from `now_ns`. Returns how many claims it wrote to `out`.
  Result<std::uint32_t> claim_some(Claim* out, std::uint32_t most, std::uint64_t now_ns, std::uint64_t wait_ns);
  /// Spins, then sleeps, until there may be something to claim or the time is over: wake.S1 to wake.S5.
  void wait_for_jobs(std::uint64_t now_ns, std::uint64_t end_ns) noexcept;
  /// Decides whether a claim goes on when one was not handed out. Errors as those of claim_some(): whatever the memory
  /// says, a claim ends with its wait, with wake() and with the engine.
  [[gnu::noinline]] Result<void> go_on_claiming(Patience& patience) noexcept;

  /// Copies a claimed job out and looks at its word again: claim.K6. Returns false if the job is not handed out: its
  /// lease was revoked, or the job was expired or damaged. The claim is over then.
  bool hand_out(Participant& self, const Claim& claim, HeldLease& lease) noexcept;
  /// Times the run that is handed out, and counts how long the job has waited.
  [[gnu::noinline]] void begin_timing(HeldLease& lease) noexcept;
  /// Returns how long a job has waited to begin; nothing if that is not known.
  std::optional<std::int64_t> wait_of(const HeldLease& lease, std::uint64_t now_ns) const noexcept;
  /// Counts the time since the last claim that found jobs.
  void count_busy(std::uint64_t now_ns) noexcept;
  /// Buries a job whose time to begin is over. Returns false if it is not.
  [[gnu::noinline]] bool buried_as_expired(const Claim& claim) noexcept;
  /// Buries a job of which the arena or the cell is corrupted.
  [[gnu::noinline]] void bury_as_damaged(const Claim& claim, Damage damage) noexcept;
  /// Releases a job of a level that is not subscribed: its hint stood in the wrong ring, or is corrupted.
  [[gnu::noinline]] void give_on(const Claim& claim, std::uint32_t level) noexcept;
  /// Puts a claimed job back into its level: the attempt does not count.
  void release_claim(const Claim& claim) noexcept;
  /// visit.V2: makes sure of what is claimed in advance, by a swap for each. What the keeper has taken back is gone.
  [[gnu::noinline]] void secure_window() noexcept;
  bool secure(Claim& claim) noexcept;
  /// Clears the lease slot of a claim that was not handed out: settle.E7.
  void give_back(const Claim& claim) noexcept;

  ParticipantContext& context_;
  Claiming& claiming_;
  const JobTable table_;
  const std::uint32_t level_count_;
  Subscription subscription_;
  PrefetchWindow window_;
  std::uint64_t claimed_at_wall_ns_ = 0;  // of the last claims
  std::uint64_t busy_since_ns_ = 0;       // lease clock of the last claim that found jobs; 0: the time is counted
  bool subscribed_ = false;
  bool wait_is_begun_ = false;  // by begin_wait()
};

}  // namespace ringmill
