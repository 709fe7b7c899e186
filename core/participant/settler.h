// Ending the runs of jobs that the participant holds, by the steps settle.E1 to settle.E7 of core/table/settling.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <ringmill/participant.h>

#include "core/participant/claiming.h"
#include "core/participant/context.h"
#include "core/participant/follow_ups.h"
#include "core/participant/held_lease.h"

namespace ringmill {

/// Each call that ends a run empties the lease, and returns false, or nothing, if the lease was lost before.
class Settler {
 public:
  Settler(ParticipantContext& context, Claiming& claiming, FollowUps& follow_ups) noexcept
      : context_(context), claiming_(claiming), follow_ups_(follow_ups), table_(context.settling.table()) {}

  bool complete(HeldLease& lease, std::span<const std::byte> result) noexcept;
  /// The same with the beginning of a result.
  bool complete_cut(HeldLease& lease, std::span<const std::byte> beginning) noexcept;
  /// Completes the jobs that are held. Returns how many.
  std::size_t complete_batch(std::span<Job> jobs) noexcept;
  /// Ends an attempt that failed. Without `delay_ms` the job's retry policy says how long it waits.
  std::optional<Settled> fail(HeldLease& lease, std::string_view error, std::string_view said,
                              std::optional<std::uint64_t> delay_ms, DeathCause cause);
  bool reject(HeldLease& lease, std::string_view error, std::string_view said) noexcept;
  bool end_as_cancelled(HeldLease& lease) noexcept;
  bool release(HeldLease& lease) noexcept;
  bool snooze(HeldLease& lease, std::uint64_t delay_ms) noexcept;
  /// Moves the lease's deadline. Does not end the run, unless the lease was lost.
  bool extend(HeldLease& lease, std::uint64_t lease_ns) noexcept;
  /// Returns how many bytes of a result are kept; all of any length if the result is not kept.
  std::size_t room_for_result(const HeldLease& lease) const noexcept;

  /// What becomes of a result that the cell has no room for. Fills `carrier` if it goes to the arena: result.R1 and
  /// result.R2.
  ResultNote carry(std::uint32_t level, std::span<const std::byte> result, FreeCells::Filling& carrier) noexcept;
  /// The most bytes of a result that stand in the job's cell.
  std::size_t room_in_cell(CellIndex index) const noexcept;

 private:
  /// Whether a result of the job is kept.
  bool is_result_kept(CellIndex index) const noexcept;
  /// What the completion of a plain job has won: nothing (the lease was lost); a job that is kept, because the keeper
  /// has to see its end; its cell; or its cell, of whose end the journal has to be told.
  enum class Won : std::uint8_t { nothing, kept_cell, cell, cell_to_mark };
  /// Wins the end of a completion, and frees the cell: settle.E2 and settle.E5.
  Won win_end(const HeldLease& lease) noexcept;
  /// Completes a plain job: settle.E2 to settle.E7. The freed cell is kept back.
  bool end(HeldLease& lease) noexcept;
  /// Completes a run of plain jobs. Those of one word of the marks are marked together, and no slot is cleared before
  /// its job is marked. `differ`: levels or kinds do, and they are counted here. Returns how many.
  std::size_t end_run(std::span<Job> jobs, bool differ) noexcept;
  /// Counts the jobs of a run that were won, by levels and kinds that differ.
  [[gnu::noinline]] void count_completed(std::span<Job> jobs, std::span<const Won> won) noexcept;
  /// Counts an attempt that ended without completing or failing, if its end was won.
  void count_left(JobPair pair, bool won) noexcept;
  /// Completes a plain job, and counts it.
  bool complete_plain(HeldLease& lease) noexcept;
  /// Counts how long a run took that is timed.
  [[gnu::noinline]] void end_timing(HeldLease& lease) noexcept;
  /// Completes a job that is timed, or has options, a result or follow-ups.
  [[gnu::noinline]] bool complete_with(HeldLease& lease, std::span<const std::byte> result, bool is_cut);
  /// Completes with a result that is kept, if the cell may keep one: result.R1 to result.R6.
  bool complete_kept(HeldLease& lease, std::span<const std::byte> result, bool is_cut, bool leads) noexcept;
  /// Ends a run as `ending` says: settle.E1 to settle.E7.
  bool settle(HeldLease& lease, Ending ending) noexcept;
  /// Drops the follow-ups that the job was not completed with, and empties the lease: settle.E7.
  void settled(HeldLease& lease) noexcept;
  /// Does the same for a job that is known to have no extent of the arena.
  void settled_plain(HeldLease& lease) noexcept;
  /// Gives the permit of a run back.
  void leave_slot(const HeldLease& lease) noexcept;

  ParticipantContext& context_;
  Claiming& claiming_;
  FollowUps& follow_ups_;
  const JobTable table_;
};

}  // namespace ringmill
