// The end of a run: completed, queued again, or cancelled. The holder of a lease does this, the keeper does it for the
// dead and the late, cancel() does it to a job that waits. All by the same steps:
//
//                                                        killed just after the step (the reaper's rule)
//   E1  stage outcome and attempts in an own slot        running: as if nothing had been decided
//   E2  CAS the cell: running or queued -> completing    completing: finished as the slot says
//       lost: somebody else's word stands; told so
//   E3  requeue: write attempts into the cell            again, to the same value
//   E4  requeue: id into the own placing list            again
//   E5  store the next state: free or queued             free: the scan lists it, the slot's job is marked;
//                                                        queued: the placing list, which marks too
//   M   mark the cell for the journal                    a doubled mark is harmless
//   E6  requeue: push the hint, ring the journal,        a doubled hint is harmless; the reaper, for whom the list
//       clear the placing list                           still names the job, rings again
//   E7  clear the slot                                   it names a word that is no more: marked once more
//
// From E2 to E5 the cell is ours alone, so E5 is a plain store: only our reaper may write it then, and only when we are
// dead.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job_table.h"
#include "core/waking.h"
#include "ipc/segment.h"

namespace ringmill {

class Settling {
 public:
  /// `number` is the acting participant's.
  Settling(const Segment& segment, std::uint32_t number) noexcept
      : segment_(&segment),
        table_(segment),
        marks_(segment.marks()),
        me_(&segment.participant(number)),
        owner_(number + 1) {
    const std::uint32_t levels = segment.geometry().level_count;
    rings_.reserve(levels);
    for (std::uint32_t n = 0; n < levels; ++n) rings_.push_back(segment.ring(n));
  }

  const JobTable& table() const noexcept { return table_; }
  std::uint32_t owner() const noexcept { return owner_; }
  Ring& ring(std::uint32_t level) noexcept { return rings_[level]; }

  /// E1 and E2. `from` is the word that must stand there. True: the cell is completing and ours.
  bool win(CellIndex index, StateWord from, LeaseSlot& slot, Outcome outcome, std::uint16_t attempts) noexcept {
    // ORDER stage: the winning swap below releases what is staged to the reaper that reads the cell.
    slot.note.store(LeaseNote{outcome, attempts, static_cast<std::uint16_t>(from.version())}.bits(),
                    std::memory_order_relaxed);  // E1
    return swap_to_completing(index, from);
  }

  /// E2 for what is staged already: claiming stages `complete`.
  bool swap_to_completing(CellIndex index, StateWord from) noexcept {
    std::uint64_t expected = from.bits();
    // ORDER state: acquires the cell as its last writer left it, releases the staged note (ORDER stage).
    return table_.state(index).compare_exchange_strong(expected, from.next(CellState::completing, owner_).bits(),
                                                       std::memory_order_acq_rel, std::memory_order_relaxed);  // E2
  }

  /// E5 for a job that is over. The cell is free afterwards; the caller lists it.
  void free_cell(CellIndex index, StateWord completing) noexcept {
    // ORDER state: releases the cell's last use to whoever fills it next.
    table_.state(index).store(table_.freed(completing).bits(), std::memory_order_release);  // E5
  }

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

  /// E3 to E6: the job waits again, at the end of its level.
  void requeue(CellIndex index, StateWord completing, std::uint16_t attempts) noexcept {
    CellHeader& header = table_.header(index);
    // ORDER relaxed: the cell is ours; its next word publishes it.
    // Not "if they changed": who died after E3 has changed them for us. A job given back before its first attempt has
    // nothing to tell.
    const bool to_journal = is_journaled(index) && attempts != 0;
    header.attempts.store(attempts, std::memory_order_relaxed);  // E3
    const std::uint32_t level = header.level.load(std::memory_order_relaxed);
    const std::uint32_t kind = header.kind.load(std::memory_order_relaxed);
    const JobId id = job_id_of(completing, index);
    // ORDER placing: the list is released by the queued word, and read only after our death.
    me_->placing[0].store(id.value(), std::memory_order_relaxed);
    me_->placing_count.store(1, std::memory_order_release);  // E4
    table_.state(index).store(completing.next(CellState::queued, 0).bits(),
                              std::memory_order_release);                                     // E5, ORDER state
    if (to_journal) mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));  // M
    place(id, level, kind);                                                                   // E6
    // Behind the hint: a ring is a system call, which the next worker need not wait for.
    if (to_journal) wake_journal_if_asleep(*segment_);
    me_->placing_count.store(0, std::memory_order_release);  // ORDER placing
  }

  /// Pushes the hint of a queued job and wakes a worker. A full ring leaves the job to the keeper's scan.
  void place(JobId id, std::uint32_t level, std::uint32_t kind) noexcept {
    if (level >= rings_.size())
      level = static_cast<std::uint32_t>(rings_.size()) - 1;  // somebody scribbled over the cell
    const auto is_live = [this](std::uint64_t hint) { return table_.is_live(hint); };
    if (rings_[level].push(JobTable::hint_of(id), is_live) == Ring::Pushed::full) note_overflow(level);
    Arrival arrival;
    arrival.add(level, kind);
    wake_for_jobs(*segment_, arrival, 1);
  }

  void note_overflow(std::uint32_t level) noexcept {
    segment_->level(level).overflow.store(1);
    ring_keeper(*segment_);
  }

 private:
  const Segment* segment_;
  JobTable table_;
  JournalMarks marks_;
  ParticipantEntry* me_;
  std::uint32_t owner_;
  std::vector<Ring> rings_;
};

}  // namespace ringmill
