// The end of a run: completed, queued again, put off, dead, or cancelled. The holder of a lease does this, the keeper
// does it for the dead and the late, cancel() does it to a job that waits. All by the same steps:
//
//                                                               killed just after the step (the reaper's rule)
//   settle.E1  stage outcome, attempts and what else there is   running: as if nothing had been decided
//              in an own slot and the own staging room
//   settle.E2  CAS the cell: running, queued or delayed         completing: finished as the slot says
//              -> completing; lost: another word
//              stands; told so
//   settle.E3  not over: write into the cell what changes       again, to the same values
//   settle.E4  not over, or kept: id into the own placing list  again
//   settle.E5  store the next state                             free: the scan lists it, the slot's job is marked;
//                                                               others: the placing list, which marks and places
//   settle.M   mark the cell for the journal                    a doubled mark is harmless
//   settle.E6  queued: push the hint; delayed, kept, burying:   a doubled hint is harmless, so is a mark; the reaper,
//              mark it for the keeper; then ring the journal,   for which the list still names the job, rings again
//              clear the placing list
//   settle.W   over: wake its waiters                           waiters check again after 1 s
//   settle.E7  clear the slot                                   it names a word that is no more: marked once more
//
// From E2 to E5 the cell is ours alone, so E5 is a plain store: only our reaper may write it then, and only when we are
// dead. Nothing of the job is written before E2 is won (hazard 6 in docs/hazards.md).
//
// A job that waits becomes queued (promote(), by the keeper: its time has come, or its parents are over):
//
//                                                           killed just after the step
//   settle.P1  id into the own placing list                 the job waits still: the next keeper looks at all
//   settle.P2  CAS the cell: delayed or blocked -> queued   the reaper pushes the hint
//   settle.P3  push the hint, wake; clear the placing list  nothing is left
//
// The hint of a queued job goes into its level's ring, or the job to the keeper's overflow queue:
//
//                                                              killed just after the step
//   settle.O1  the state `overflow` is not `direct`: O3        the placing list: the reaper begins at O1
//   settle.O2  push the hint; the ring is full: set `spilled`  as O1; the keeper finds an empty queue, and drains
//   settle.O3  mark the cell for the keeper                    the keeper adds it to the queue at its next turn
//   settle.O4  `draining`: set `spilled` again. It was         as O3
//              `direct` since O1: the keeper may have taken
//              the mark for that of a delayed job: again
//              from O1. The ring is half empty: call the
//              keeper
//
// The keeper sets `draining`, passes over the marks, then sets `direct`; a producer marks, then reads the state; all
// are seq_cst, so one of the two sees the other. While the ring drains no producer pushes, or its job would overtake
// one that was marked just before. A claimer calls the keeper in the same way when the ring is half empty.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <ringmill/job.h>

#include "core/table/job_table.h"
#include "core/table/results.h"
#include "core/table/tally.h"
#include "ipc/clock.h"
#include "ipc/full_fence.h"
#include "ipc/invariant.h"
#include "ipc/segment.h"
#include "ipc/spill_state.h"
#include "ipc/waking.h"

namespace ringmill {

/// So long from now; ten years at most.
inline DueTime due_in(std::uint64_t ms) noexcept {
  return {.ns = later_by(lease_clock_ns(), std::min(ms, most_wait_ms) * 1'000'000), .is_wall = false};
}

/// How a run, or a wait, ends.
struct Ending {
  Outcome outcome = Outcome::complete;
  std::uint16_t attempts = 0;  // that will have ended
  DeathCause cause{};          // of a burial
  DueTime due{};               // of a delay
  std::string_view text{};     // error, or result as far as the cell has room for it
  ResultNote result{};         // of a completion
  JobId carrier{};             // of a result in the arena (core/table/results.h)
  std::uint64_t change = 0;    // of a value: the count that it was read with (core/participant/value_store.h)
  std::uint64_t ttl_ms = 0;    // of a value: its next time; 0: its time stays
  std::string_view said{};     // with an error: what the run said meanwhile, of which the end matters
  AttemptStart started{};      // of the attempt that ends now
  bool leads = false;          // complete, and the own entry's bundle becomes visible with it (core/table/bundles.h)
  std::uint8_t wait_note = 0;  // of a parking, or a delay: WaitMark::note()

  /// The lease note has room for all of it.
  bool is_plain() const noexcept {
    return outcome != Outcome::delay && outcome != Outcome::park && text.empty() && said.empty() && !started &&
           result.bits() == 0 && change == 0;
  }
};

/// Statistics of the caller's own entry. ORDER relaxed: one writer.
inline void count_one(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

class Settling {
 public:
  /// `number` is the acting participant's.
  Settling(const Segment& segment, std::uint32_t number)
      : segment_(&segment),
        table_(segment),
        results_(segment),
        marks_(segment.marks()),
        me_(&segment.participant(number)),
        owner_(number + 1),
        tally_(segment, number) {
    const std::uint32_t levels = segment.geometry().level_count;
    rings_.reserve(levels);
    for (std::uint32_t n = 0; n < levels; ++n) rings_.push_back(segment.ring(n));
  }

  const Segment& segment() const noexcept { return *segment_; }
  /// The acting participant's.
  ParticipantEntry& own_entry() const noexcept { return *me_; }
  const JobTable& table() const noexcept { return table_; }
  std::uint32_t owner() const noexcept { return owner_; }
  Tally& tally() noexcept { return tally_; }
  /// Returns level and kind of a job whose cell the caller owns, for the tally. What is no level or kind is counted
  /// with the others.
  JobPair pair_of(CellIndex index) const noexcept;
  /// Of a dynamic level it is valid until the next call: `level` is below level_numbers().
  Ring& ring(std::uint32_t level) noexcept {
    if (level < rings_.size()) [[likely]]
      return rings_[level];
    return dynamic_ring_ = segment_->ring(level);
  }

  /// What an end came to.
  enum class Ended : std::uint8_t {
    lost,  // another word stood there
    kept,  // the job goes on, or its cell is kept
    free,  // the cell is free, and the caller lists it
  };
  /// E1 to W. `from` is the word that must stand there.
  Ended end(CellIndex index, StateWord from, LeaseSlot& slot, const Ending& ending) noexcept;
  /// The same on behalf of one that is dead or late: what it has staged for this job, if its note says that it has, is
  /// taken over first.
  Ended end_for(const ParticipantEntry& other, CellIndex index, StateWord from, LeaseSlot& slot,
                LeaseNote note) noexcept;

  /// E2 for what is staged already: claiming stages `complete`.
  bool swap_to_completing(CellIndex index, StateWord from) noexcept {
    std::uint64_t expected = from.bits();
    // Acquires the cell as its last writer left it, releases what is staged; seq_cst, because it comes
    // before the look whether a participant waits (core/inspect/job_wait.h). ORDER relaxed: a lost swap reads nothing.
    if (!table_.state(index).compare_exchange_strong(expected, from.next(CellState::completing, owner_).bits(),
                                                     std::memory_order_seq_cst,
                                                     std::memory_order_relaxed)) {  // settle.E2
      return false;
    }
    fence_own_writes();
    return true;
  }

  /// E5 for a job that is over. The cell is free afterwards; the caller lists it.
  void free_cell(CellIndex index, StateWord completing) noexcept {
    // Only its owner moves a cell that is completing, and no job completes twice.
    RINGMILL_INVARIANT(completing.state() == CellState::completing && table_.word(index) == completing);
    // ORDER state: releases the cell's last use to its next producer.
    table_.state(index).store(table_.freed(completing).bits(), std::memory_order_release);  // settle.E5
  }

  /// The same for a job with cell_flag::counted: bound.B5 and bound.B6.
  [[gnu::noinline]] void free_counted(CellIndex index, StateWord completing) noexcept;

  /// E3 to W of a completion whose E1 and E2 are done, for a job whose end the keeper has to see.
  void keep_completed(CellIndex index, StateWord completing) noexcept {
    static_cast<void>(finish(index, completing, LeaseNote{}));
  }

  /// Whether the last end of a value's cell has changed it: false, if it was no longer the one that was read.
  bool has_changed_value() const noexcept { return has_changed_value_; }

  /// M: tells the journal that the jobs of these cells are over, or that it has to look at them again. `bits` are of
  /// the cells from 64 * word on.
  void mark_ended(std::uint32_t word, std::uint64_t bits) noexcept {
    marks_.mark_ended(word, bits);
    wake_journal_if_asleep(*segment_);
  }
  void mark_ended(CellIndex index) noexcept { mark_ended(JournalMarks::word_of(index), JournalMarks::bit_of(index)); }
  void mark_changed(std::uint32_t word, std::uint64_t bits) noexcept { marks_.mark_changed(word, bits); }
  void mark_changed(CellIndex index) noexcept {
    mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    wake_journal_if_asleep(*segment_);
  }
  /// Whether the journal has to know of the job. The caller owns the cell, or swaps its word later.
  bool is_journaled(CellIndex index) const noexcept {
    // ORDER relaxed: fixed for the job's life; the caller's swap decides whether it was this job's.
    return (table_.header(index).flags.load(std::memory_order_relaxed) & cell_flag::memory_only) == 0;
  }

  /// P1 to P3. False: `waiting` does not stand there any more.
  bool promote(CellIndex index, StateWord waiting) noexcept;
  /// A blocked job's parents are over, and its time has not come: it is delayed. The keeper looks at it then.
  bool put_off(CellIndex index, StateWord blocked) noexcept;
  /// Frees a cell that was kept, or buried: `from` must stand there. The caller lists it.
  bool drop(CellIndex index, StateWord from) noexcept { return drop(index, from, table_.freed(from)); }
  /// The same for one that goes before its time: its cell says so until another job takes it.
  bool evict(CellIndex index, StateWord from) noexcept { return drop(index, from, table_.evicted(from)); }
  /// Hints or marks for a job of the placing list, whatever its state is now.
  void place_again(JobId id) noexcept;

  /// W. The jobs of these wait groups are over; their E2 and E5 are done.
  void wake_waiters(std::uint64_t groups) noexcept {
    if ((segment_->signals().waited_for.load() & groups) != 0) [[unlikely]]
      wake_groups(groups);
  }

  /// O1 to O4 for a queued job, then wakes a worker.
  void place(JobId id, std::uint32_t level, std::uint32_t kind) noexcept;
  /// Has the keeper look at a cell that is delayed, burying or kept, before `due`.
  void mark_for_keeper(CellIndex index, DueTime due) noexcept {
    if (segment_->keeper_marks().mark(index, due)) ring_keeper(*segment_);
  }

  /// O1 to O4. `level` is one that the engine has.
  void place_in_level(CellIndex index, JobId id, std::uint32_t level) noexcept;
  /// Whether producers push into the ring of this level: no job of it waits in the overflow queue.
  bool is_direct(std::uint32_t level) const noexcept {
    return SpillState::is_direct(segment_->level(level).overflow.load());
  }
  /// O3 for a run of jobs of one level that have no place in its ring: what place_in_level() does, with one step for
  /// all cells of a word.
  class Spill {
   public:
    /// Sets `spilled` if the level is `direct`: settle.O2 has found the ring full.
    Spill(Settling& settling, std::uint32_t level) noexcept;
    void add(CellIndex index) noexcept { marks_.add(index); }
    /// O3 and O4. Returns false if the ring was drained meanwhile: the caller places each job of the run again.
    bool end() noexcept;

   private:
    struct Mark {
      KeeperMarks marks;
      void operator()(std::uint32_t word, std::uint64_t bits) noexcept { marks.set(word, bits); }  // settle.O3
    };

    Settling& settling_;
    std::uint32_t level_;
    std::uint32_t before_;   // the spill state before the first mark
    bool is_first_ = false;  // it was `direct`
    MarkRun<Mark> marks_;
  };
  /// After a claim from the ring of a level that is not direct.
  void call_keeper_if_half_empty(const Ring& ring) noexcept {
    if (ring.tail() - ring.head() > ring.slot_count() / 2) return;
    if (segment_->keeper_marks().call()) ring_keeper(*segment_);
  }

 private:
  bool drop(CellIndex index, StateWord from, StateWord to) noexcept;
  void stage(JobId id, const Ending& ending) noexcept;
  /// Notes, swaps, finishes, counts.
  Ended end_as_noted(CellIndex index, StateWord from, LeaseSlot& slot, LeaseNote note) noexcept;
  /// E3 to W, as the note says. True: the cell is free.
  bool finish(CellIndex index, StateWord completing, LeaseNote note) noexcept;
  /// E3 to E6 of an end after which the job waits again: park, requeue, delay.
  void finish_open(CellIndex index, StateWord completing, LeaseNote note) noexcept;
  /// E3 to E6 of an end after which the job is over: bury, complete, cancel. True: the cell is free.
  bool finish_final(CellIndex index, StateWord completing, LeaseNote note) noexcept;
  /// Whether a failed attempt counts is for the callers to say.
  void count_end(CellIndex index, Outcome outcome) noexcept;
  /// E3: what was staged for the job, or an end to what stood there.
  void write_text(CellIndex index, JobId id, LeaseNote note) noexcept;
  bool is_value(CellIndex index) const noexcept {
    return (table_.header(index).flags.load() & cell_flag::is_value) != 0;
  }
  /// value.V4 and value.V5.
  void finish_value(CellIndex index, StateWord completing, LeaseNote note) noexcept;
  /// E3 of a kept job.
  void write_result(CellIndex index, JobId id, LeaseNote note) noexcept;
  void note_attempt(CellIndex index, LeaseNote note) noexcept;
  /// E4 to E6 for a job that goes on, or is kept.
  void settle_in(CellIndex index, StateWord completing, CellState state, DueTime due, bool to_journal) noexcept;
  void count_out(std::uint32_t level) noexcept;
  /// O4 of jobs that were marked after `before` was read. Returns false if their places have to be found again.
  bool end_spill(std::uint32_t level, std::uint32_t before, bool rings, bool is_first) noexcept;
  [[gnu::noinline]] void wake_groups(std::uint64_t groups) noexcept;

  const Segment* segment_;
  JobTable table_;
  Results results_;
  JournalMarks marks_;
  ParticipantEntry* me_;
  std::uint32_t owner_;
  bool has_changed_value_ = false;
  Tally tally_;
  std::vector<Ring> rings_;  // of the fixed levels
  Ring dynamic_ring_;
};

}  // namespace ringmill
