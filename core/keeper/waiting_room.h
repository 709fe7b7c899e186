// Who waits for a place in the ring of a level made at run time. Such a ring is small; what does not fit is marked for
// the keeper (core/settling.h, O1 to O4), waits here in the order of arrival, and is fed in as the ring drains. Private
// memory of the keeper, 16 bytes per job and 2 per cell, however many levels there are; rebuilt by a scan of the table.
//
//   F1  the ring is half empty: the next ones get their hints, in order of arrival
//   F2  somebody still waits: the sign stays up (ipc/line_sign.h), and newcomers line up behind
//   F3  nobody waits: say that the sign is being lowered, look at the marks once more, then lower it. Who comes in by
//       that look keeps it up, and so does who raises it meanwhile
//
// A look at the marks takes time. It may have passed by the cell that a producer marks now, and then find the one that
// he marks after it. So F1 feeds only those who are ripe: known before the last look began. That look has found all who
// were marked before them. Where only others wait there is one more look at once.
//
// A keeper that dies leaves the signs as they are. The next one feeds nobody before its first scan has shown it all who
// wait.
//
// A sleeping worker of some kinds may be served by jobs that wait behind a full ring of others: F4 gives some of those
// a place; the front of the ring goes back to the waiting room, where it is first again. The levels take turns in it.
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
  /// Before each look at the marks: who is known by now is ripe when that has ended.
  void begin_look() noexcept { ripe_until_ns_ = newest_ns_; }
  /// A scan has seen the whole table since this keeper began.
  void note_scan_ended() noexcept { has_seen_all_ = true; }

  /// F1 to F4 for each level. The caller has just looked at the marks; `look_at_marks` does it again: begin_look(),
  /// then take_in_marked() for each marked cell.
  void turn(const std::function<void()>& look_at_marks);
  /// Somebody sleeps while others' jobs fill a ring: F4 may have something to do soon.
  bool is_needed_soon() const noexcept { return is_needed_soon_; }
  /// There is room for some who are ripe after the next look.
  bool is_needed_now() const noexcept { return is_needed_now_; }

 private:
  struct Entry {
    std::uint64_t enqueued_at_ns = 0;
    std::uint64_t hint = 0;
    auto operator<=>(const Entry&) const noexcept = default;
  };
  using Heap = std::vector<Entry>;  // the earliest in front

  void take_in(CellIndex index, std::uint32_t number);
  /// The number in a cell, if it is of a level made at run time that there is.
  std::optional<std::uint32_t> level_of(CellIndex index) const noexcept;
  void put(std::uint32_t number, Entry entry);
  Entry pop(Heap& heap);
  void follow_levels();
  /// F1. True: there is room for some who are not ripe.
  bool feed(std::uint32_t number);
  /// F3 before and after the look.
  bool begin_lowering(std::uint32_t number) noexcept;
  void end_lowering(std::uint32_t number) noexcept;
  /// F4 for the levels whose turn it is.
  void serve_sleepers();
  void serve(std::uint32_t number, std::uint64_t kinds);
  /// Returns the bits of their levels.
  std::uint64_t note_sleepers();
  std::uint64_t kinds_of_sleepers(std::uint32_t number) const noexcept;
  void step_over_the_dead(Ring& ring) const noexcept;
  Heap& heap_of(std::uint32_t number) noexcept { return heaps_[number - segment_->geometry().level_count]; }
  bool is_empty(std::uint32_t number) noexcept { return heaps_.empty() || heap_of(number).empty(); }

  const Segment* segment_;
  Settling* settling_;
  bool has_seen_all_ = false;
  bool is_needed_soon_ = false;
  bool is_needed_now_ = false;
  std::uint64_t newest_ns_ = 0;                  // the latest enqueue of those who are known
  std::uint64_t ripe_until_ns_ = 0;              // newest_ns_ before the last look at the marks
  std::optional<std::uint32_t> levels_version_;  // that numbers_ are of
  std::vector<std::uint32_t> numbers_;           // of the levels in use
  std::vector<std::uint32_t> busy_;              // of those where somebody waits, in this turn
  struct Sleeper {
    std::uint64_t levels = 0;  // bits, as in ParticipantEntry
    std::uint64_t kinds = 0;
  };
  std::vector<Sleeper> sleepers_;  // who sleep, and claim some kinds only
  std::uint64_t served_at_ns_ = 0;
  std::uint32_t serve_next_ = 0;  // the number of the level whose turn it is in F4
  std::vector<Heap> heaps_;       // per number behind the first levels; empty until one is needed
  /// Per cell: 1 + the 12 bits of the generation that a hint carries, of a job that waits here.
  std::vector<std::uint16_t> notes_;
};

}  // namespace ringmill
