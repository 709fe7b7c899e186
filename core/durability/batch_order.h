// The order of batches: in which order a round writes jobs that count only together.
//
// A leader is a job that leads a bundle, or follow-ups (core/table/bundles.h): its record commits the batch. So it is
// written behind what came with it, and its end behind what came with that. All members are marked before the leader
// shows. A round therefore puts a leader off, takes all marks once more, visits their cells, and then comes back to the
// leader. What a leader may be, and what is written:
//
//   at the first visit                         then                                     at its turn
//   known to the journal, and not over         its change: what came with it is there   -
//   known, and over                            nothing                                  its change
//   not known, or the note is not believed     nothing                                  all of it
//   the same, and it came with others          its beginning, in front of their leader  all of it
//   in its last step (settle.E2 to settle.E5 of              as above, but no change                  as it is by then
//   core/table/settling.h)
//
//   at its turn                                what came with its end was marked        it is written
//   not over; cancelled; dead                  nothing came with that                   at once
//   complete before the marks were taken       before that, and is written              at once
//   complete since                             perhaps later                            behind a further pass over the
//                                                                                       marks, in the same round
//
// So the attempts, the delay and the text of a run that has failed are written with their round, whatever the job has
// done meanwhile: by themselves, or because the end that replaces them is. A round takes the marks four times at most:
// what is complete stays so, and a job that is met in its last step for the third time is taken as it is. A stopped
// worker holds up no round. Leaders that come up in a further pass are written in the next round: their marks came
// after this one had begun. The table is the same for leaders among follow-ups, and for those of chained bundles: each
// came with others, so that its beginning stands in front of the job that it follows. Jobs that do not lead and are met
// in their last step are put off, and come to their turn, in the same way.
//
// The beginning of a job is its record, with no attempts and no change. Where the journal has nothing of the job it
// says how the job was when it came; else it says less than what is there, and takes nothing back
// (core/durability/recovery.h, rec.R2). The note of such a cell is not believed until all of it is written.
//
// Killed at any point: a batch whose leader is not durable does not count (rec.R2a). The cells of all its jobs are
// pending, and the next journal thread writes them in this order again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/durability/cell_records.h"
#include "core/durability/round_cells.h"
#include "core/durability/visits.h"
#include "core/table/job_table.h"
#include "ipc/journal_marks.h"
#include "ipc/segment.h"

namespace ringmill {

class BatchOrder {
 public:
  BatchOrder(const Segment& segment, RoundCells& cells, CellRecords& records)
      : table_(segment), marks_(segment.marks()), cells_(&cells), records_(&records) {}

  /// Says of a job that leads whether all of it may be written. Anything but Visit::done is what became of the visit.
  Visit visit_leader(CellIndex index, StateWord word, bool is_known, Turn turn);
  /// Of a job that the journal does not know, at its first visit: if it came with others, its beginning is written, in
  /// front of their leader. Returns `why`, or why it could not be written.
  Visit put_off_as_begun(CellIndex index, StateWord word, Visit why);

  /// The cell's turn comes behind all that is marked now.
  void put_off(CellIndex index);
  /// The turn of what was put off at the first visit: calls `visit(cell, turn)` for each. What is still not to be
  /// written stays for a further pass. Visit::done: all had their turn.
  template <class VisitCell>
  Visit visit_put_off(VisitCell&& visit) {
    if (further_passes_ == 0) return Visit::done;
    records_->set_patience(further_passes_ < most_further_passes ? CellRecords::Patience::waits
                                                                 : CellRecords::Patience::takes_what_is_there);
    Visit visited = Visit::done;
    for (; next_ < put_off_.size(); ++next_) {
      const PutOff one = put_off_[next_];
      visited = visit(one.index, one.is_complete ? Turn::leaders : Turn::leaders_without_end);
      const bool stays = visited == Visit::leads || visited == Visit::moves;
      if (!stays && visited != Visit::done) break;
      if (stays) put_off_[stay_++] = one;
      visited = Visit::done;
    }
    records_->set_patience(CellRecords::Patience::waits);
    if (visited != Visit::done) return visited;
    put_off_.resize(stay_);
    next_ = stay_ = 0;
    return Visit::done;
  }

  /// What follows when all cells that were taken have had their turn.
  enum class Next {
    further_pass,  // cells were put off, and all marks are taken now that are set before their turn
    round_ends,    // what was put off in a further pass takes part in the next round
  };
  Next end_pass();

 private:
  struct PutOff {
    CellIndex index = 0;
    bool is_complete = false;  // before the marks were taken last
  };

  /// What came with this leader and is still to be visited, in front of its copy.
  Visit copy_batch_of(CellIndex index, StateWord word, std::uint32_t depth);
  /// One cell that is still to be visited. Visit::done: the journal has what of it must stand in front of the copy.
  Visit copy_if_member(CellIndex index, JobId leader, std::uint32_t depth);

  /// After so many further passes of a round over the marks a job that moves on all the time is taken as it is.
  static constexpr std::uint32_t most_further_passes = 2;

  JobTable table_;
  JournalMarks marks_;
  RoundCells* cells_;
  CellRecords* records_;
  std::vector<PutOff> put_off_;        // in this round: those of the first visit
  std::vector<CellIndex> next_round_;  // those of further passes
  std::size_t next_ = 0;               // of put_off_: those before it had their turn
  std::size_t stay_ = 0;               // and so many of them, at its front, get a further one
  std::uint32_t further_passes_ = 0;   // of this round
};

}  // namespace ringmill
