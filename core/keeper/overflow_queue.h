// The overflow queue: jobs that the rings of their levels have no room for. A producer marks such a job for the keeper
// (core/table/settling.h, settle.O1 to settle.O4); here it waits in the order of arrival, and enters the ring as that
// drains. So a ring has the size that suits the caches, whatever the engine's capacity is. Private memory of the
// keeper, 16 bytes per job that waits here and 2 per cell; rebuilt by a scan of the table.
//
// Each turn, for each level whose spill state (ipc/spill_state.h) is not `direct`:
//
//   over.F1  the ring is at most half full: refill it from the queue, in order of arrival
//   over.F2  the queue is not empty: the state stays `spilled`, or becomes it again
//   over.F3  the queue is empty: `draining`; take the marks once more; then `direct`, unless a mark has filled the
//            queue, or a producer has set `spilled`
//   over.F4  a participant sleeps that claims some kinds only, and the ring is full of others: its kinds get up to a
//            quarter of the slots. The jobs at the front of the ring return to the queue, where they are first again.
//            One level after the other has its turn. Such a participant calls the keeper before it sleeps.
//   over.F5  the ring looks full, but most of its hints are dead: a job that no worker claims stands in front of them.
//            The few that live return to the queue, the head is raised over all, and F1 refills: so such a job costs
//            its level a walk over the ring for each lap, and nothing else
//
// A pass over the marks is not atomic: it can miss a cell and still see one that was marked later. To keep the order of
// arrival, F1 refills with settled entries only: those known before the latest pass began. That pass has found every
// job that was marked before them. If only others are queued, another pass is made at once.
//
// A keeper that dies leaves the spill states as they are. The next one refills nothing before its first scan has ended,
// because only then does its queue hold every job.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/base/zeroed_array.h"
#include "core/keeper/arrival_order.h"
#include "core/table/settling.h"
#include "ipc/segment.h"

namespace ringmill {

class OverflowQueue {
 public:
  OverflowQueue(const Segment& segment, Settling& settling) noexcept : segment_(&segment), settling_(&settling) {}

  /// The notes of this cell, a multiple of 64, and of the 63 behind it come into the cache.
  void prefetch(CellIndex first) const noexcept;
  /// Adds the queued job of a marked cell, unless its level is `direct`.
  void add_marked(CellIndex index);
  /// Adds a job without a hint that a scan has found.
  void add(CellIndex index);
  /// Begins a pass over the marks: what is queued now is settled when the pass has ended.
  void begin_pass() noexcept { settled_until_ = newest_; }
  /// Notes that a scan has seen the whole table since this keeper began.
  void note_scan_ended() noexcept { has_seen_all_ = true; }

  /// F1 to F4 for each level. The caller has just made a pass over the marks; `pass_over_marks` makes another one:
  /// begin_pass(), then add_marked() for each marked cell.
  void turn(const std::function<void()>& pass_over_marks);
  /// True if jobs are queued for which a participant sleeps: F4 has work again after a pause.
  bool is_needed_soon() const noexcept { return is_needed_soon_; }
  /// True if a ring has room for entries that are settled after the next pass.
  bool is_needed_now() const noexcept { return is_needed_now_; }

 private:
  /// `order`: Arrived::by_cell() or by_position().
  void add(CellIndex index, std::uint32_t number, std::uint32_t order);
  /// Returns the level's number in a cell, if that level is in use.
  std::optional<std::uint32_t> level_of(CellIndex index) const noexcept;
  Arrived pop(ArrivalRow& row);
  void follow_levels();
  /// F1. Returns true if the ring has room for entries that are not settled yet.
  bool refill(std::uint32_t number);
  /// F3 before and after the pass.
  bool begin_draining(std::uint32_t number) noexcept;
  void end_draining(std::uint32_t number) noexcept;
  /// F4 for the levels whose turn it is.
  void refill_for_sleepers(const std::function<void()>& pass_over_marks);
  /// Returns how many jobs have got a place.
  std::uint32_t refill_for_kinds(std::uint32_t number, std::uint64_t kinds);
  /// Collects the sleepers that claim some kinds only. Returns the bits of their levels.
  std::uint64_t note_sleepers();
  std::uint64_t kinds_of_sleepers(std::uint32_t number) const noexcept;
  void step_over_dead_hints(Ring& ring) const noexcept;
  /// F5. Returns true if the ring has room now.
  bool take_back_living(std::uint32_t number, Ring& ring);
  bool is_empty(std::uint32_t number) const noexcept { return queues_.empty() || queues_[number].is_empty(); }

  const Segment* segment_;
  Settling* settling_;
  bool has_seen_all_ = false;
  bool is_needed_soon_ = false;
  bool is_needed_now_ = false;
  Arrived newest_;                               // of all entries that were ever added, the last in order
  Arrived settled_until_;                        // newest_ before the latest pass over the marks
  std::optional<std::uint32_t> levels_version_;  // of numbers_
  std::vector<std::uint32_t> numbers_;           // of the levels in use
  std::vector<std::uint32_t> busy_;              // of those that are not `direct`, or have entries, in this turn
  struct Sleeper {
    std::uint64_t levels = 0;  // bits, as in ParticipantEntry
    std::uint64_t kinds = 0;
  };
  std::vector<Sleeper> sleepers_;  // those that claim some kinds only
  std::uint64_t looked_for_dead_at_ns_ = 0;
  std::uint64_t serve_next_at_ns_ = 0;
  std::uint32_t serve_next_ = 0;      // the number of the level whose turn it is in over.F4
  std::vector<ArrivalOrder> queues_;  // per number of a level; empty until one is needed
  /// Per cell: 1 + the 12 bits of the generation that a hint carries, of a job that is queued here.
  ZeroedArray<std::uint16_t> notes_;
};

}  // namespace ringmill
