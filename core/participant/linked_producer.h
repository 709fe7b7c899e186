// Jobs that are linked: they wait for others, or become visible together. The steps are those of core/table/bundles.h.
#pragma once

#include <chrono>
#include <span>
#include <string_view>

#include <ringmill/participant.h>

#include "core/participant/follow_ups.h"
#include "core/participant/held_lease.h"
#include "core/participant/levels_counted_in.h"
#include "core/participant/producer.h"
#include "core/participant/unique_producer.h"
#include "core/table/bundles.h"

namespace ringmill {

class LinkedProducer {
 public:
  LinkedProducer(ParticipantContext& context, const RequestCheck& check, DurabilityTickets& tickets, Producer& producer,
                 FollowUps& follow_ups) noexcept
      : context_(context),
        check_(check),
        tickets_(tickets),
        producer_(producer),
        follow_ups_(follow_ups),
        writer_(context, check),
        table_(context.settling.table()) {}

  /// Enqueues all jobs or none: lead.L1 to lead.L4.
  Result<void> enqueue_together(std::span<const LinkedRequest> asked, std::span<JobId> ids, std::uint64_t wait_ns);
  /// Fills a cell that becomes visible when the held job completes: lead.L1.
  Result<JobId> follow_up(const HeldLease& lease, const LinkedRequest& request, std::uint64_t wait_ns);
  /// Enqueues a job that waits for the held one, unless another has its key: uniq.U1 to uniq.U5, where lead.L2 to
  /// lead.L4 stand for enq.N3 to enq.N6.
  Result<UniqueJob> follow_up_unique(const HeldLease& lease, const JobRequest& request, std::string_view key,
                                     std::chrono::milliseconds unique_for, std::uint64_t wait_ns);

 private:
  /// Returns how many cells jobs of these levels may take, if no others do.
  std::uint32_t room_for(std::span<const Checked> jobs) const;
  /// Checks that the engine can ever hold all of them. Error no_space.
  Result<void> check_room(std::span<const LinkedRequest> jobs, std::span<const Checked> checked) const;
  /// Takes a cell, and an extent where the body does not fit the cell: enq.N1, arena.A1 and arena.A2. Returns false if
  /// there is no room: nothing is taken.
  bool take_linked(const LinkedRequest& job, const Checked& checked, FreeCells::Taker taker,
                   FreeCells::Filling& filling);
  /// Takes all cells or none: two producers that each hold a part could deadlock.
  Result<void> take_all(std::span<const LinkedRequest> jobs, std::span<const Checked> checked,
                        std::span<FreeCells::Filling> filled, FreeCells::Taker taker, std::uint64_t end_ns);
  /// Publishes a filled job that waits for others. Returns false if another participant has freed the cell.
  bool publish_linked(const FreeCells::Filling& filling) noexcept;
  /// Counts all jobs into their bounded levels, or none. Waits as take_all() does.
  Result<void> count_in(std::span<const Checked> jobs, LevelsCountedIn& counted, std::uint64_t end_ns);
  /// Whether the job's ids and payload, so many bytes, do not fit its cell.
  bool is_large_body(const LinkedRequest& job, std::size_t bytes) const noexcept {
    return bytes > check_.linked_room(job.request);
  }
  /// The links of a cell that was filled.
  CellLinks& links_of(CellIndex index) const noexcept {
    // ORDER relaxed: the cell is ours.
    return table_.links_place(index, table_.header(index).flags.load(std::memory_order_relaxed));
  }

  ParticipantContext& context_;
  const RequestCheck& check_;
  DurabilityTickets& tickets_;
  Producer& producer_;
  FollowUps& follow_ups_;
  CellWriter writer_;
  const JobTable table_;
};

}  // namespace ringmill
