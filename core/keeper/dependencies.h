// Jobs that wait for others: their dependencies, and when they may go on. Private memory of the keeper, rebuilt by a
// pass over the table: the truth is the list of parents in each job's cell or extent, and the state of each parent's.
//
//   keeper                                                 the participant that ends a parent
//   dep.F1  a blocked job was marked: set has_children in  settle.E2 CAS the cell: -> completing
//           the flags of each parent that lives            settle.E3 has_children is set: the cell is kept, and marked
//   dep.F2  look at each parent's word again: all are          for the keeper (settle.E6)
//           over: F4
//   dep.F3  remember how many live; count down when a      (the keeper: F4 for jobs that waited for this one only)
//           parent's end is marked
//   dep.F4  CAS the cell: blocked -> queued, or delayed; or, where a parent is dead or was cancelled, -> completing,
//           and then to the dead letters, or cancelled
//
// No end is missed: F1, F2, settle.E2 and the look in settle.E3 are seq_cst, so settle.E3 sees the flag, or F2 sees
// that settle.E2 is done; a parent that F2 finds completing without having seen the flag is looked at again by time. A
// keeper that dies leaves nothing half done: F4 is one swap, and the next keeper begins with all blocked jobs.
//
// Each end is counted once: the first that finds a parent over, F2 or the mark, says so to all that wait for it. So a
// job with n parents costs the keeper n looks and n counts, however they come, and no turn looks at more than a few
// thousand.
//
// A parent's cell stays while children of it live, so that they can read its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include <ringmill/job.h>

#include "core/dead_letters/store.h"
#include "core/keeper/reaper.h"
#include "core/table/arena.h"

namespace ringmill {

class Dependencies {
 public:
  Dependencies(const Segment& segment, Reaper& reaper) noexcept : reaper_(&reaper), arena_(segment) {}

  /// F1 to F4 for a job that has parents, and waits, or runs, as `word` says. True: look at it again soon, no mark will
  /// come.
  bool look_at(CellIndex index, StateWord word);

  /// Handles the end of a job. Jobs that waited for it alone go on; parents that were kept for it are added to
  /// `no_longer_kept`.
  void note_end(CellIndex index, StateWord word, std::vector<JobId>& no_longer_kept);

  /// Returns whether it has living children, which may read its result.
  bool is_wanted(JobId parent) const { return parents_.contains(parent.value()); }
  /// Returns false while parents of some job were not looked at: any job may be one.
  bool knows_all() const noexcept { return partly_known_ == 0; }

 private:
  enum class Fate : std::uint8_t { lives, is_completing, well, cancelled, dead };
  static constexpr bool is_over(Fate fate) noexcept { return fate != Fate::lives && fate != Fate::is_completing; }

  /// A job with living children.
  struct Parent {
    std::vector<std::uint64_t> waiting;  // blocked children, as often as each names it; some may have ended
    std::uint32_t children = 0;          // how often living children name it
    bool is_over = false;                // said to all that waited
  };
  /// A job that waits for others, or has waited for them and lives.
  struct Child {
    std::vector<JobId> to_look_at;  // parents that no look has come to yet
    std::vector<JobId> parents;     // those that count in Parent::children
    std::vector<JobId> completing;  // those that dep.F2 found so
    std::size_t next = 0;           // in `parents`: the next that is looked at once more
    std::uint32_t living = 0;       // parents in `parents` that are not over
    JobId dead_parent;
    bool has_cancelled_parent = false;

    void note(JobId parent, Fate fate) noexcept {
      if (fate == Fate::dead) dead_parent = parent;
      if (fate == Fate::cancelled) has_cancelled_parent = true;
    }
  };

  /// Returns nothing if the cell has moved on, or is corrupted.
  Child* child_of(CellIndex index, StateWord word);
  /// F1 to F3 for one more parent.
  void take_up(JobId id, Child& child, JobId parent);
  Fate fate_of(JobId parent);
  Fate look_again_at(JobId parent);
  bool is_dead_letter(JobId id);
  /// Tells all that wait for a parent. Once.
  void say_over(JobId parent, Parent& known, Fate fate);
  /// F4.
  void decide(CellIndex index, StateWord word, const Child& child);

  Reaper* reaper_;
  Arena arena_;
  std::unordered_map<std::uint64_t, Parent> parents_;
  std::unordered_map<std::uint64_t, Child> children_;
  std::uint64_t partly_known_ = 0;  // children with parents to look at
  std::optional<DeadLetterStore> letters_;
};

}  // namespace ringmill
