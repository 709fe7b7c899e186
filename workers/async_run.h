// One run of an async worker: a job that was begun, until it is settled, lost or given back.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/async.h>

#include "workers/async_state.h"

namespace ringmill {

class AsyncRun {
 public:
  /// Takes a job that the holder's participant has claimed. The holder's mutex is held.
  AsyncRun(std::shared_ptr<AsyncState> state, AsyncHolder& holder, Job job, std::string kind, std::string level,
           std::chrono::nanoseconds lease);
  AsyncRun(const AsyncRun&) = delete;
  AsyncRun& operator=(const AsyncRun&) = delete;
  ~AsyncRun();

  JobId id() const noexcept { return id_; }
  Kind kind_number() const noexcept { return kind_number_; }
  std::string_view kind() const noexcept { return kind_; }
  std::string_view level() const noexcept { return level_; }
  std::uint32_t attempt() const noexcept { return attempt_; }
  std::span<const std::byte> payload() const noexcept { return payload_; }
  std::chrono::nanoseconds lease() const noexcept { return lease_; }
  std::uint64_t began_ns() const noexcept { return began_ns_; }
  bool is_stopping() const noexcept { return state_->is_stopping(); }

  // Each takes the holder's mutex.
  std::vector<JobId> parents() const;
  Result<Settled> settle(const JobOutcome& outcome);
  Result<JobId> follow_up(const LinkedRequest& request, std::chrono::nanoseconds wait);
  Result<UniqueJob> follow_up_unique(const JobRequest& request, std::string_view key,
                                     std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait);
  void report_progress(std::uint64_t number, std::string_view text) noexcept;
  bool should_stop() const noexcept;
  /// The caller's object has gone.
  void abandon() noexcept;

  // Of the worker's own threads, which hold the mutex.
  bool is_held() const noexcept { return phase_ == Phase::held; }
  /// Extends the lease if half of it is over. Returns false if it was lost.
  bool keep_lease() noexcept;
  /// The worker stops, and waits no longer.
  void give_back() noexcept;

  /// The handler of this run is on the calling thread's stack, until end_handler().
  void begin_handler() noexcept;
  /// Returns whether the caller's object has gone because an exception left the handler.
  bool end_handler() noexcept;

 private:
  enum class Phase : std::uint8_t { held, settled, lost, given_back };

  /// Why nothing can be done with it any more.
  Error why_not_held() const noexcept;
  /// It is held no longer. The mutex is held.
  void leave(Phase phase) noexcept;
  void count_and_say(const JobOutcome& outcome, Settled settled);
  /// Makes a call, which does not wait, again until it finds room.
  template <class Call>
  auto with_room(std::chrono::nanoseconds wait, Call&& call) -> decltype(call());

  const std::shared_ptr<AsyncState> state_;
  AsyncHolder& holder_;
  Job job_;
  const JobId id_;
  const std::uint32_t attempt_;
  const Kind kind_number_;
  const std::string kind_;
  const std::string level_;
  const std::vector<std::byte> payload_;
  const std::chrono::nanoseconds lease_;
  const std::uint64_t began_ns_;
  Phase phase_ = Phase::held;
  /// The thread whose stack has the handler; 0: none. Written by that thread.
  std::atomic<std::uint64_t> handler_thread_{0};
  bool left_by_exception_ = false;  // of that thread
};

}  // namespace ringmill
