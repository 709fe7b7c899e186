// Unique jobs: of all jobs with one key, one at a time. A table of hints in shared memory, by the key's hash; what
// counts is the cell that a hint names.
//
// A key has a window of slots; its job's id may stand in any of them. A slot whose job has ended, or never was, can be
// taken by any producer. A job that is being made stands there while its cell is still `filling`. No caller knows its
// id yet, so another producer with a job of the same key may do away with it.
//
// All windows have one width, 32 at first. A producer that finds the window full of other keys' jobs doubles the width
// for all keys, permanently, up to the whole table. There is a slot per cell, and a live job has one cell and one slot:
// so a producer that has a cell finds a slot, and no key is refused while the table has room.
//
// Where a window begins depends on a seed that each segment has for itself. So keys cannot be chosen for one place,
// where they would widen the windows of all.
//
//   uniq.U1  enq.N1 and enq.N2 of core/participant/producer.h: a cell, filling, with the key's hash
//   uniq.U2  look at the window for another cell with this hash: a job: it is the one, give the cell back, done.
//            Filling: do away with it (CAS: filling -> free; it is that producer's word that decides)
//   uniq.U3  CAS a slot that can be taken: -> own id. Lost, or none: widen the windows if none; again from U2
//   uniq.U4  look at the whole window once more, as in U2: a job: clear the own slot, give the cell back, it is the one
//   uniq.U5  enq.N3, then enq.N4 as a CAS: filling -> queued or delayed. Lost: another did away with it: again from U1
//
// Never two: both have set their slots in U3 before they look in U4, so at least one of them sees the other; it finds a
// job, and gives way, or it finds one that is filling, which then fails in U5. A growing window changes nothing: a
// producer that takes a slot in the new part has seen the new width. If the other reads the old width in U4, its own
// slot was set before that, and the first one, whose U4 comes after, sees it. All of this is seq_cst.
//
// Killed before U5: the cell is freed by the scan, and the slot can be taken. Killed after it: the job is there.
// Stopped anywhere: no other producer waits for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <ringmill/job.h>

#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

/// 128 bits of a key. Two keys of one hash are one in 2^64 million jobs; none is zero.
struct UniqueKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  static UniqueKey of(std::string_view key) noexcept;
  constexpr bool operator==(const UniqueKey&) const noexcept = default;
  constexpr explicit operator bool() const noexcept { return (low | high) != 0; }
};

class UniqueJobs {
 public:
  explicit UniqueJobs(const Segment& segment) noexcept
      : segment_(&segment),
        table_(segment),
        slots_(segment.unique_slots()),
        count_(segment.geometry().unique_slots),
        seed_(slots_[count_ + 1].load()) {}

  static constexpr std::uint64_t first_width = 32;

  /// U2: the job of this key, if there is one. `own` is a cell that does not count. Does away with cells of this key
  /// that are filling.
  std::optional<JobId> find(UniqueKey key, JobId own) noexcept;
  /// As find(), but leaves cells alone that are filling: for readers.
  std::optional<JobId> look(UniqueKey key) const noexcept;
  /// U3. `full`: all slots there are have jobs that live, each time we looked at one. The others have moved meanwhile;
  /// if that goes on, the slots are corrupted.
  enum class Taken { yes, lost, full };
  Taken take(UniqueKey key, JobId own) noexcept;
  /// U4 has found another one.
  void give_way(UniqueKey key, JobId own) noexcept;
  struct Keyed {
    UniqueKey key;
    JobId id;
  };
  /// As many jobs of one key as a crash can bring back: one that lives, and those whose ends were not durable yet.
  static constexpr std::size_t most_of_one_key = 8;
  /// For recovery, before the segment is visible to others: all jobs, at most one per cell, in time that grows as
  /// sorting them does. Those beyond most_of_one_key are given back: they get no slot.
  std::vector<JobId> place(std::vector<Keyed> jobs);

 private:
  std::uint64_t home_of(UniqueKey key) const noexcept;
  /// The n-th slot of a window; `n` is less than count_.
  std::atomic<std::uint64_t>& slot(std::uint64_t home, std::uint64_t n) const noexcept {
    return slots_[home + n < count_ ? home + n : home + n - count_];
  }
  std::uint64_t page_of(std::uint64_t home, std::uint64_t n) const noexcept {
    return (home + n < count_ ? home + n : home + n - count_) * 8 / page_bytes;
  }
  /// Whether the n-th slot may be touched. One whose page is not allocated is free.
  bool is_there(std::uint64_t home, std::uint64_t n) const noexcept {
    return segment_->has_unique_page(page_of(home, n));
  }
  /// The word behind the slots: how wide all windows are; 0: first_width. Raised by enqueuers, only ever to more.
  std::atomic<std::uint64_t>& width_word() const noexcept { return slots_[count_]; }
  std::uint64_t width() const noexcept { return std::clamp(width_word().load(), first_width, count_); }
  void widen(std::uint64_t to) noexcept;
  /// The hash of a cell that has, or will have, the job of this id; nothing: it is another's by now, or has no key.
  std::optional<UniqueKey> key_of(JobId id, StateWord& word) const noexcept;

  const Segment* segment_;
  JobTable table_;
  std::atomic<std::uint64_t>* slots_;
  std::uint64_t count_;
  std::uint64_t seed_;  // 0: of a segment from before there were seeds
};

}  // namespace ringmill
