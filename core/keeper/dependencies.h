// Jobs that wait for others: their dependencies, and when they may go on. Private memory of the keeper, rebuilt by a
// pass over the table: the truth is the list of parents in each job's cell, and the state of each parent's.
//
//   keeper                                                 the participant that ends a parent
//   dep.F1  a blocked job was marked: set has_children in  settle.E2 CAS the cell: -> completing
//           the flags of each parent that lives            settle.E3 has_children is set: the cell is kept, and marked
//   dep.F2  look at each parent's word again: all are          for the keeper (settle.E6)
//           over: F4
//   dep.F3  remember it; check again when a parent's end   (the keeper: F4 for jobs that waited for this one only)
//           is marked
//   dep.F4  CAS the cell: blocked -> queued, or delayed; or, where a parent is dead, -> completing, and then to the
//           dead letters
//
// No end is missed: F1, F2, settle.E2 and the look in settle.E3 are seq_cst, so settle.E3 sees the flag, or F2 sees
// that settle.E2 is done; a parent that F2 finds completing without having seen the flag is looked at again by time. A
// keeper that dies leaves nothing half done: F4 is one swap, and the next keeper begins with all blocked jobs.
//
// A parent's cell stays while children of it live, so that they can read its result.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include <ringmill/job.h>

#include "core/dead_letters/store.h"
#include "core/keeper/reaper.h"

namespace ringmill {

class Dependencies {
 public:
  explicit Dependencies(Reaper& reaper) noexcept : reaper_(&reaper) {}

  /// F1 to F4 for a job that is blocked, as `word` says. True: check it again soon, no mark will come.
  bool look_at(CellIndex index, StateWord word);

  /// Handles the end of a job. Jobs that waited for it alone go on; parents that were kept for it are added to
  /// `no_longer_kept`.
  void note_end(CellIndex index, StateWord word, std::vector<JobId>& no_longer_kept);

  /// Returns whether it has living children, which may read its result.
  bool is_wanted(JobId parent) const { return children_.contains(parent.value()); }

 private:
  struct Children {
    std::vector<std::uint64_t> ids;
    bool is_over = false;  // said to all of them
  };
  enum class Fate : std::uint8_t { lives, is_completing, well, badly };

  Fate fate_of(JobId parent);
  bool is_dead_letter(JobId id);
  /// F4.
  void decide(CellIndex index, StateWord word, JobId bad_parent);

  Reaper* reaper_;
  std::unordered_map<std::uint64_t, Children> children_;        // by their parent
  std::unordered_map<std::uint64_t, std::uint32_t> waits_for_;  // per blocked job: parents that live
  std::optional<DeadLetterStore> letters_;
};

}  // namespace ringmill
