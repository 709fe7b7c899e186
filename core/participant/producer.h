// Enqueueing: from a request to a hint in a ring.
//
//                                                                killed just after the step
//   enq.N1  CAS a free cell to filling(me)                       the scan after our death frees it
//   enq.N2  write payload and header; a payload that does not    as N1
//           fit goes to an extent (core/table/arena.h, arena.A1 to arena.A3)
//   enq.N3  ids into the own placing list, then its length       the list names cells that are not queued: ignored
//   enq.N4  store the cell's word: queued, or delayed            the reaper marks, and pushes the hints of, those that
//   enq.M   mark the cell for the journal                        got here
//   enq.N5  push the hint, wake sleepers; what finds no room in  pushed again by the reaper, which wakes all: a
//           the ring is left to the keeper. A delayed job is     doubled hint is harmless, and so is a mark
//           marked for the keeper instead
//   enq.N6  clear the placing list                               nothing is left
//
// A job is marked before it can be claimed, so its end is marked after it: the journal never misses a job that it
// should know.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <ringmill/participant.h>

#include "core/participant/cell_writer.h"
#include "core/participant/context.h"
#include "core/participant/counted_in.h"
#include "core/participant/request_check.h"
#include "core/participant/ring_pressure.h"
#include "core/participant/tickets.h"

namespace ringmill {

class Producer {
 public:
  Producer(ParticipantContext& context, const RequestCheck& check, DurabilityTickets& tickets) noexcept
      : context_(context),
        check_(check),
        tickets_(tickets),
        writer_(context, check),
        table_(context.settling.table()) {}

  Result<JobId> enqueue(const JobRequest& request, std::uint64_t wait_ns);
  Result<std::size_t> enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids, std::uint64_t wait_ns);

  /// Takes and fills a cell: enq.N1 and enq.N2. Waits for the journal and for room; a payload longer than `inline_room`
  /// goes to the arena.
  /// Counts the job in if its level is bounded; the caller says in `counted` when it is published.
  Result<FreeCells::Filling> take_filled(const JobRequest& request, const Checked& checked, std::uint32_t inline_room,
                                         std::uint64_t wait_ns, CountedIn& counted);
  /// Waits until a bounded level may hold `count` more. `end_ns` and errors as in wait_for_space().
  Result<void> wait_for_level(const LevelCount& level, std::uint32_t count, std::uint32_t named, std::uint64_t end_ns);
  /// Pushes the hint of a job that has its word: enq.N5 and enq.N6.
  void place(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked, JobId id) noexcept;
  /// As DurabilityTickets::reach_device(), without a look at cells meanwhile.
  Result<void> reach_device(std::uint64_t end_ns);
  /// Waits until a free cell is listed that jobs of this level may take. `end_ns` is of the steady clock; zero: does
  /// not wait. Errors: would_block (no wait was asked for, or wake() was called), timed_out, not_found (the engine was
  /// removed).
  Result<void> wait_for_space(std::uint32_t level, std::uint64_t end_ns,
                              FreeCells::Taker taker = FreeCells::Taker::producer);
  /// Says which level has no room, about how many of its jobs wait, and what bounds them.
  Error no_room(std::uint32_t level, FreeCells::Taker taker, ErrorCode code) const;

 private:
  /// enqueue() and enqueue_batch() where a level is bounded: the way of take_filled(), one by one.
  [[gnu::noinline]] Result<JobId> enqueue_bounded(const JobRequest& request, const Checked& checked,
                                                  std::uint64_t wait_ns);
  [[gnu::noinline]] Result<std::size_t> enqueue_batch_bounded(std::span<const JobRequest> requests,
                                                              std::span<JobId> ids, std::uint64_t end_ns,
                                                              std::uint64_t device_end);
  Result<FreeCells::Filling> take_counted(const JobRequest& request, const Checked& checked, std::uint32_t inline_room,
                                          std::uint64_t wait_ns, CountedIn& counted);
  /// Takes and fills a cell, without a look at the level's bound.
  Result<FreeCells::Filling> take_and_fill(const JobRequest& request, const Checked& checked, std::uint32_t inline_room,
                                           std::uint64_t wait_ns);
  /// What the jobs of a batch need together.
  struct BatchNeeds {
    std::uint32_t durabilities = 0;  // bit per Durability
    bool has_bounded = false;        // a level that is

    static constexpr std::uint32_t bit(Durability durability) noexcept {
      return 1U << static_cast<std::uint32_t>(durability);
    }
    bool to_journal() const noexcept { return (durabilities & ~bit(Durability::memory)) != 0; }
    bool to_device() const noexcept { return (durabilities & bit(Durability::durable)) != 0; }
  };
  /// Checks the jobs of a batch. Returns the first one that is refused.
  const JobRequest* first_refused(std::span<const JobRequest> requests, Checked* checked, BatchNeeds& needs) const;
  /// Publishes cells that are filled: enq.N3 to enq.N6. Returns how many.
  /// `requests`, `checked` and `ids` are as many. (Four spans are more than there are registers for arguments.)
  std::size_t publish(std::span<const FreeCells::Filling> filled, const JobRequest* requests, const Checked* checked,
                      JobId* ids) noexcept;
  /// Does what place() says, for a run of jobs.
  void place_filled(std::span<const FreeCells::Filling> filled, const JobRequest* requests, const Checked* checked,
                    const JobId* ids) noexcept;
  /// Counts jobs of one level. `differ`: their kinds do.
  void count_enqueued(std::span<const Checked> jobs, bool differ) noexcept;
  /// The participant is a worker in the middle of its work: it does not wait for workers.
  bool holds_jobs() const noexcept { return context_.lease_book.held() != 0; }
  /// The ring is full: pushes at `position` or after it when the workers have made room soon. Returns the position
  /// behind; none: the job has to go to the overflow queue.
  [[gnu::noinline]] std::optional<std::uint64_t> push_under_pressure(std::uint32_t level, Ring& ring,
                                                                     std::uint64_t position,
                                                                     std::uint64_t hint) noexcept;
  /// Holds the caller back where that lets the level's overflow queue empty.
  [[gnu::noinline]] void ease_queue(std::uint32_t level, const Ring& ring) noexcept;
  /// Waits until the arena has an extent for `bytes`. `end_ns` and errors as in wait_for_space().
  [[gnu::noinline]] Result<void> wait_for_extent(std::size_t bytes, std::uint64_t end_ns);
  /// Waits until `has_room()`: wake.S1 to wake.S5. `refusal` makes the errors would_block and timed_out.
  template <class HasRoom, class Refusal>
  Result<void> wait_for_room(std::uint64_t end_ns, Refusal&& refusal, HasRoom&& has_room);

  ParticipantContext& context_;
  const RequestCheck& check_;
  DurabilityTickets& tickets_;
  CellWriter writer_;
  const JobTable table_;
  RingPressure pressure_;
};

}  // namespace ringmill
