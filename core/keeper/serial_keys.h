// Jobs with a serial key: of one key one job at a time goes on, in the order of their numbers. The others are blocked.
// Private memory of the keeper, 24 bytes per job that waits and about 80 per key that has jobs, rebuilt by a scan of
// the table: the truth is in the cells, each of which says its key, its number, and its state.
//
//                                                               killed just after the step
//   serial.S1  the producer takes a number, and writes it into   the number is missing: nothing waits for it
//              the filling cell (enq.N2)
//   serial.S2  it stores `blocked` (enq.N4), and marks the cell  the placing list: the reaper marks it
//              for the keeper (enq.N5)
//   serial.S3  the keeper finds the mark: the job stands in the  the next keeper's first scan finds the job
//              row of its key
//   serial.S4  no job of the key is active, and the first of     as S3, or as settle.P1 to settle.P3
//              the row was found before the latest pass over
//              the marks began: it is promoted, and active
//   serial.S5  the active job is over (settle.E5; the cell has   the mark: the placing list of that participant
//              has_children, so it is kept, and marked): S4
//   serial.S6  a job that others may pass waits for its time,    as S3
//              and is marked: back to `blocked`, into its row
//
// A job is active from its promotion until it is over, dead, or cancelled: while it is queued, runs, waits for a retry,
// or for its kind's rules. With SerialRetry::skip a job that waits for its time is blocked again (S6), and not active:
// the next one of its key may go on, and it is the first in the row once its time has come.
//
// Order. A job whose enqueue returned has its mark. If another job of the key was begun after that, its number is
// higher, and its mark comes later; a pass can miss the former mark and see the latter, but the next pass cannot. Hence
// the rule of S4. A keeper that begins has seen all jobs, and all active ones, when its first scan has ended: before
// that it promotes none.
//
// One at a time. Only the keeper promotes blocked jobs, and there is one keeper: it holds the lock of its office.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include <ringmill/job.h>

#include "core/base/zeroed_array.h"
#include "core/table/serial.h"
#include "core/table/settling.h"

namespace ringmill {

class SerialKeys {
 public:
  explicit SerialKeys(Settling& settling) noexcept : settling_(&settling) {}

  /// A pass over the marks begins: what was found before it is settled.
  void begin_pass() noexcept { ++pass_; }
  /// S3 and S5: what a mark, or a scan, has found. Any job with a serial key, in any state.
  void look_at(CellIndex index, StateWord word, const SerialPlace& place);
  /// S4 for the keys that have changed, at most `most` jobs. Returns true if there is more to do at once. The jobs that
  /// wait for a time are added to `timed`.
  bool promote(std::uint32_t most, std::vector<JobId>& timed);

 private:
  struct Entry {
    std::uint64_t number = 0;
    std::uint64_t id = 0;
    std::uint64_t pass = 0;  // in which it was found
    bool operator>(const Entry& other) const noexcept { return number > other.number; }
  };
  struct Key {
    JobId active;              // or one that was
    bool has_changed = false;  // it stands in changed_
    std::vector<Entry> row;    // a heap, the lowest number in front
  };

  void touch(std::uint64_t hash, Key& key);
  static bool is_active(CellState state) noexcept;
  bool has_active_job(const Key& key) const noexcept;
  void pop(Key& key);
  /// S6. Returns false if the job has moved on.
  bool block_again(CellIndex index, StateWord delayed) noexcept;
  enum class Next { none, waits, again };
  /// S4 for one key. `again`: a pass over the marks is missing.
  Next promote_next(Key& key, std::vector<JobId>& timed);

  Settling* settling_;
  std::uint64_t pass_ = 1;
  std::unordered_map<std::uint64_t, Key> keys_;
  std::vector<std::uint64_t> changed_;  // keys
  /// Per cell: 1 + the 12 bits of the generation that a hint carries, of a job that stands in a row.
  ZeroedArray<std::uint16_t> notes_;
};

}  // namespace ringmill
