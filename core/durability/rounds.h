// The flush of a round: from marks to records, and what of them may be called durable.
//
// A round takes all marks, visits each marked cell once, and writes what the cell says by then. It consists of:
//
//   round_cells.h   the cells whose marks were taken
//   cell_visits.h   which record a cell gets, by what it says and what the journal knows of it
//   cell_records.h  that record, read from a cell that goes on meanwhile
//   batch_order.h   when a job is written that counts only together with others
//   in_flight.h     which records are in which block
//   compaction.h    live records of the oldest segment, between rounds or when no segment is free
//
// Its steps are marks.J1 to marks.J5 of ipc/journal_marks.h:
//
//   call, with its steps           killed just after it
//   begin(): marks.J1              the next journal thread sees a round that is not durable, and begins one itself
//   begin(): marks.J2, marks.J3    the cells are pending: the next journal thread begins with them, and does not
//                                  believe their notes
//   go_on(): marks.J4              the same: a block that is not durable counts for nothing
//   publish(): marks.J5            the same, for the cells that are still pending
//
// A round is published when all that its first marks stood for is written: as it was then, or as it is by now. Blocks
// become durable in order, so rounds do.
#pragma once

#include <cstdint>
#include <deque>

#include "core/durability/batch_order.h"
#include "core/durability/cell_records.h"
#include "core/durability/cell_visits.h"
#include "core/durability/compaction.h"
#include "core/durability/in_flight.h"
#include "core/durability/round_cells.h"
#include "core/journal/writer.h"
#include "ipc/segment.h"

namespace ringmill {

class JournalRounds {
 public:
  /// `writer` has just taken over: the first round visits everything that is pending.
  JournalRounds(const Segment& segment, JournalWriter& writer);
  JournalRounds(const JournalRounds&) = delete;  // its parts point at each other
  JournalRounds& operator=(const JournalRounds&) = delete;

  enum class Begin {
    under_way,  // a round is: marks.J1 to marks.J3 for all marks, unless there was one before
    nothing,    // nothing is marked, and no round is wanted
  };
  Begin begin(std::uint64_t now_ns);
  bool is_under_way() const noexcept { return under_way_; }
  /// The last round that has begun, and the last one that is durable, by our own count: any process may write the
  /// words.
  std::uint64_t begun() const noexcept { return round_; }
  std::uint64_t durable() const noexcept { return durable_round_; }

  enum class Step {
    done,      // the round has ended, its blocks are on their way
    buffers,   // all buffers are in flight: collect, then go on
    segments,  // no segment is free: go on with compact(), or the disk is full
    failed,    // the writer has failed
  };
  /// Goes on with the round. Bounded by the number of marked cells and the writer's buffers alone.
  Step go_on();

  /// Goes on with compaction if that is needed, visiting at most `cells` cells. Between rounds, or when go_on() says
  /// `segments`.
  Compaction::Progress compact(std::uint32_t cells) { return compaction_.go_on(cells); }

  enum class Published { nothing, rounds };
  /// marks.J5: takes note of what has become durable.
  Published publish();
  /// When the oldest round began that is not durable; 0: all are.
  std::uint64_t not_durable_since_ns() const noexcept {
    if (!rounds_.empty()) return rounds_.front().begun_ns;
    return under_way_ ? begun_ns_ : 0;
  }

  std::uint64_t records() const noexcept { return records_.count(); }
  std::uint64_t elided() const noexcept { return visits_.elided(); }

 private:
  /// More than there ever are: a corrupted number must not wrap.
  static constexpr std::uint64_t most_rounds = std::uint64_t{1} << 62;

  struct Round {
    std::uint64_t number = 0;
    std::uint64_t block = 0;
    std::uint64_t begun_ns = 0;
  };

  /// Visits the cells of one word whose turn it is.
  Visit visit_word(std::uint32_t word);
  /// Visits a cell that was taken. Anything but Visit::done: it is still to be visited.
  Visit visit_taken(CellIndex index, Turn turn);
  /// What a visit that could not go on is to the caller.
  static Step step_of(Visit visit) noexcept;

  JournalWriter* writer_;
  JobTable table_;
  JournalMarks marks_;
  JournalWords* words_;
  RoundCells cells_;
  CellsInFlight in_flight_;
  CellRecords records_;
  BatchOrder order_;
  CellVisits visits_;
  Compaction compaction_;
  bool under_way_ = false;
  std::uint64_t round_ = 0;
  std::uint64_t begun_ns_ = 0;  // of the last round
  std::deque<Round> rounds_;    // ended, not durable yet
  std::uint64_t durable_round_ = 0;
};

}  // namespace ringmill
