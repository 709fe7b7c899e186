// What the threads of an async worker and its jobs in flight share. It outlives the worker for as long as one of its
// jobs is in a caller's hands.
//
// Jobs are held by participants that are bound to the process, 64 jobs each, so that any thread can settle them. Each
// stands behind a mutex: the thread that claims, the one that settles and the one that extends leases take turns. No
// call behind a mutex waits for anything else.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include <ringmill/async.h>

#include "ipc/fork_guard.h"
#include "workers/repeated_faults.h"

namespace ringmill {

class AsyncRun;

/// One registry entry of an async worker, and the runs whose jobs it holds.
struct alignas(64) AsyncHolder {
  std::mutex mutex;
  /// What follows is of the mutex. Null: not attached, or given back at the worker's end.
  std::unique_ptr<Participant> participant;
  std::vector<AsyncRun*> runs;
  /// How many jobs it may hold. Written before the threads begin, then by the thread that claims for it.
  std::uint32_t most = 0;
  /// As runs.size(), to be read without the mutex.
  std::atomic<std::uint32_t> held{0};
};

struct AsyncCounts {
  std::atomic<std::uint64_t> completed{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> released{0};
  std::atomic<std::uint64_t> dead{0};
  std::atomic<std::uint64_t> cancelled{0};
  std::atomic<std::uint64_t> lost{0};
};

class AsyncState {
 public:
  AsyncState(std::uint32_t threads, std::uint32_t in_flight);

  /// False in the child of a fork: then no mutex here may be taken.
  bool is_of_this_process() const noexcept { return fork_generation_ == fork_generation(); }
  bool is_stopping() const noexcept { return stopping_.load(); }
  void stop() noexcept;

  std::deque<AsyncHolder>& holders() noexcept { return holders_; }
  const std::deque<AsyncHolder>& holders() const noexcept { return holders_; }
  std::uint32_t in_flight() const noexcept;
  AsyncCounts& counts() noexcept { return counts_; }
  const AsyncCounts& counts() const noexcept { return counts_; }
  RepeatedFaults& faults() noexcept { return faults_; }

  /// Changes when a job leaves, and when the worker stops.
  std::uint32_t changes() const noexcept { return changes_.load(); }
  void note_change() noexcept;
  /// Sleeps until there is a change after `seen`, or the time is over.
  void wait_for_change(std::uint32_t seen, std::uint64_t wait_ns) noexcept;

  /// No thread of the worker claims before this moment of the steady clock.
  std::uint64_t pause_until_ns() const noexcept { return pause_until_ns_.load(); }
  void pause_for(std::uint64_t ns) noexcept;

 private:
  const std::uint32_t fork_generation_;
  std::deque<AsyncHolder> holders_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint32_t> changes_{0};  // a futex
  std::atomic<std::uint32_t> waiting_{0};  // how many threads sleep on it, or are about to
  std::atomic<std::uint64_t> pause_until_ns_{0};
  AsyncCounts counts_;
  RepeatedFaults faults_;
};

}  // namespace ringmill
