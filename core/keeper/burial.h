// Moves jobs from the table to the dead letters. It is a thread of its own: a transaction waits for the disk, and the
// keeper must not.
//
//                                                            killed just after the step
//   bury.G1  the timers find a cell that is burying          the next keeper's scan finds it
//   bury.G2  write its letter, and wait until it is durable  buried again: a letter of the same id changes nothing
//   bury.G3  CAS the cell: burying -> free; mark, list it    the scan lists it
//
// A job leaves the table only when its letter is durable. Only this thread takes a cell out of `burying`. A letter that
// the store refuses holds up no other: where a transaction of many is refused, each goes on its own, and those that are
// refused again wait behind the others. A letter whose payload is too long for the store, or cannot be read, goes
// without it, and says so (docs/decisions/0013).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/dead_letters/store.h"
#include "core/inspect/job_view.h"
#include "core/instance/engine_core.h"
#include "core/table/settling.h"
#include "ipc/visits.h"

namespace ringmill {

class Burial {
 public:
  /// `number` is the keeper's participant; nothing is written to its entry.
  Burial(EngineCore& engine, std::uint32_t number);
  /// Ends the thread when it has tried each cell that waits once, after a second at the latest: the last process of an
  /// engine leaves its dead jobs as letters. The next keeper buries the rest.
  ~Burial();
  Burial(const Burial&) = delete;
  Burial& operator=(const Burial&) = delete;

  /// Takes over the cells to bury. Any thread may call it.
  void add(std::vector<CellIndex>& cells);

 private:
  struct Grave {
    CellIndex index = 0;
    StateWord word{};
    DeadLetter letter{};
  };

  void run() noexcept;
  void bury_until_stopped();
  /// Removes the buried ones from `cells`. Returns false if some are left to be retried later.
  bool bury(std::vector<CellIndex>& cells);
  /// Returns the letters of those `cells` that are burying.
  std::vector<Grave> graves_of(std::span<const CellIndex> cells) const;
  /// Buries each cell in its own transaction. Returns the untried cells, then those that were refused.
  std::vector<CellIndex> bury_each(std::span<const Grave> graves);
  /// G2 and G3.
  Result<void> bury_all(std::span<const Grave> graves);
  bool open_store();
  DeadLetter letter_of(const JobView& view) const;
  void say(const Error& error) noexcept;

  EngineCore* engine_;
  Settling settling_;
  Visits visits_;
  std::optional<DeadLetterStore> store_;
  bool has_said_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CellIndex> waiting_;  // under the mutex, as the next one
  bool stop_ = false;
  std::uint64_t stop_at_ns_ = 0;  // if `stop_`: no transaction begins afterwards
  std::thread thread_;
};

}  // namespace ringmill
