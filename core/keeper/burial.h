// From the table to the dead letters: a thread of the keeper's process, because a transaction waits for the disk, and
// whoever reaps must not.
//
//                                                        killed just after the step
//   G1  the timers find a cell that is burying           the next keeper's scan finds it
//   G2  write its letter, and wait until it is durable   buried again: a letter of the same id changes nothing
//   G3  CAS the cell: burying -> free; mark, list it     the scan lists it
//
// A job leaves the table only when its letter is durable. Only this thread takes a cell out of `burying`.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/dead_letters/store.h"
#include "core/engine_implementation.h"
#include "core/settling.h"

namespace ringmill {

class Burial {
 public:
  /// `number` is the keeper's participant; nothing is written to its entry.
  Burial(EngineCore& engine, std::uint32_t number);
  /// Ends after the transaction that is under way: what is left is the next keeper's.
  ~Burial();
  Burial(const Burial&) = delete;
  Burial& operator=(const Burial&) = delete;

  /// Takes the cells over. Any thread.
  void add(std::vector<CellIndex>& cells);

 private:
  void run();
  /// False: not now, all of it is to be tried again.
  bool bury(std::vector<CellIndex>& cells);
  std::optional<DeadLetter> letter_of(CellIndex index, StateWord word) const;
  void say(const Error& error);

  EngineCore* engine_;
  Settling settling_;
  std::optional<DeadLetterStore> store_;
  bool has_said_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CellIndex> waiting_;  // under the mutex, as the next one
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ringmill
