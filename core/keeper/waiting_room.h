// Who waits for a place in the ring of a level made at run time. Such a ring is small; what does not fit is marked for
// the keeper (core/settling.h, O1 to O4), waits here in the order of arrival, and is fed in as the ring drains. Private
// memory of the keeper, 16 bytes per job and 2 per cell, however many levels there are; rebuilt by a scan of the table.
//
//   F1  the ring is half empty: the next ones get their hints, in order of arrival
//   F2  somebody still waits: the sign `overflow` stays up, and newcomers line up behind
//   F3  nobody waits: lower the sign, then look at the marks once more: whoever marked before he could see it comes in,
//       and the sign goes up again
//
// A keeper that dies leaves the signs up. The next one feeds nobody before its first scan has shown it all who wait.
//
// A sleeping worker of some kinds may be served by jobs that wait behind a full ring of others: F4 gives some of those
// a place; the front of the ring goes back to the waiting room, where it is first again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/settling.h"
#include "ipc/segment.h"

namespace ringmill {

class WaitingRoom {
 public:
  WaitingRoom(const Segment& segment, Settling& settling) noexcept : segment_(&segment), settling_(&settling) {}

  /// A marked cell whose job is queued: if its level's newcomers line up, it does.
  void take_in_marked(CellIndex index);
  /// A job without a hint, which a scan has found.
  void take_in(CellIndex index);
  /// A scan has seen the whole table since this keeper began.
  void note_scan_ended() noexcept { has_seen_all_ = true; }

  /// F1 to F4 for each level. `look_at_marks` ends in take_in_marked() for each marked cell.
  void turn(const std::function<void()>& look_at_marks);
  /// Somebody sleeps while others' jobs fill a ring: F4 may have something to do soon.
  bool is_needed_soon() const noexcept { return is_needed_soon_; }

 private:
  struct Entry {
    std::uint64_t enqueued_at_ns = 0;
    std::uint64_t hint = 0;
    auto operator<=>(const Entry&) const noexcept = default;
  };
  using Heap = std::vector<Entry>;  // the earliest in front

  void take_in(CellIndex index, std::uint32_t number);
  void put(std::uint32_t number, Entry entry);
  Entry pop(Heap& heap);
  void follow_levels();
  void feed(std::uint32_t number, Heap& heap);
  void serve_sleepers(std::uint32_t number, Heap& heap);
  std::uint64_t kinds_of_sleepers(std::uint32_t number) const noexcept;
  void step_over_the_dead(Ring& ring) const noexcept;
  Heap& heap_of(std::uint32_t number) noexcept { return heaps_[number - segment_->geometry().level_count]; }

  const Segment* segment_;
  Settling* settling_;
  bool has_seen_all_ = false;
  bool is_needed_soon_ = false;
  std::uint32_t lowering_ = 0;  // the number of the level whose sign is being lowered; 0: none, it is a first one's
  std::optional<std::uint32_t> levels_version_;  // that numbers_ are of
  std::uint64_t served_at_ns_ = 0;
  std::vector<std::uint32_t> numbers_;  // of the levels in use
  std::vector<Heap> heaps_;             // per number behind the first levels; empty until one is needed
  /// Per cell: 1 + the 12 bits of the generation that a hint carries, of a job that waits here.
  std::vector<std::uint16_t> notes_;
};

}  // namespace ringmill
