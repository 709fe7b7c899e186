// The registry entries of a client: participants that are bound to the process, each behind a mutex.
//
// A thread begins with the entry of its own number, and takes another that is free if that one is in use: threads that
// call at once use different entries as long as there are enough. No call on one of these entries waits for anything
// but the mutex. What waits for room does it on one more entry, which threads have in turn, for a slice of time each:
// so one that waits for a full level does not keep back one whose level has room.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <ringmill/participant.h>

#include "core/instance/engine_core.h"
#include "core/participant/attach.h"
#include "ipc/clock.h"
#include "ipc/fork_guard.h"

namespace ringmill {

/// The errors of a call that may find room later.
inline bool is_lack_of_room(const Error& error) noexcept {
  return error.code() == ErrorCode::would_block || error.code() == ErrorCode::timed_out;
}

/// One thing that threads have in turn, first come, first served.
class Turns {
 public:
  /// Returns false if the turn had not come by `end_ns` of the steady clock; else end() has to follow.
  bool begin(std::uint64_t end_ns);
  void end() noexcept;

 private:
  std::mutex mutex_;
  std::list<std::condition_variable> waiting_;  // the first one has its turn
};

class ClientEntries {
 public:
  ClientEntries(std::shared_ptr<EngineCore> engine, std::uint32_t most);
  ClientEntries(const ClientEntries&) = delete;
  ClientEntries& operator=(const ClientEntries&) = delete;

  /// Attaches the first participant. Errors as attach().
  Result<void> begin();
  /// False in the child of a fork: nothing here may be used, nor locked.
  bool is_of_this_process() const noexcept { return fork_generation_ == fork_generation(); }
  std::uint32_t attached() const noexcept { return attached_.load(); }

  /// Runs `call(Participant&)`, which does not wait, on an entry of the calling thread.
  template <class Call>
  auto use(Call&& call) {
    const Taken taken = take();
    return call(*taken.participant);
  }

  /// Runs `call(Participant&, wait)` with no wait, and if that finds no room, for up to `wait` on the entry of those
  /// that wait.
  template <class Call>
  auto use(std::chrono::nanoseconds wait, Call&& call) -> decltype(call(std::declval<Participant&>(), wait));

 private:
  struct alignas(64) Entry {
    std::mutex mutex;
    std::unique_ptr<Participant> participant;
  };
  static constexpr std::uint64_t slice_ns = 20'000'000;

  struct Taken {
    std::unique_lock<std::mutex> lock;
    Participant* participant;
  };

  /// Locks an entry that has a participant.
  Taken take();
  /// Returns the participant of a locked entry; null: it has none, and there is none to be had now.
  Participant* participant_of(Entry& entry) noexcept;
  /// Returns the participant of the thread that has its turn. Errors as attach().
  Result<Participant*> waiting_participant();

  const std::shared_ptr<EngineCore> engine_;
  const std::uint32_t fork_generation_;
  std::vector<Entry> entries_;
  std::atomic<std::uint32_t> attached_{0};
  Turns turns_;
  std::unique_ptr<Participant> waiting_;  // of the thread that has its turn
};

template <class Call>
auto ClientEntries::use(std::chrono::nanoseconds wait, Call&& call)
    -> decltype(call(std::declval<Participant&>(), wait)) {
  using Returned = decltype(call(std::declval<Participant&>(), wait));
  const auto none = std::chrono::nanoseconds::zero();
  const std::uint64_t wait_ns = wait.count() <= 0 ? 0 : static_cast<std::uint64_t>(wait.count());
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  Returned returned = use([&](Participant& participant) { return call(participant, none); });
  const auto lacks_room = [&returned] { return !returned && is_lack_of_room(returned.error()); };
  while (lacks_room() && steady_clock_ns() < end_ns) {
    if (!turns_.begin(end_ns)) break;
    struct Turn {
      Turns& turns;
      ~Turn() { turns.end(); }
    } const turn{turns_};
    const auto participant = waiting_participant();
    if (!participant) return std::unexpected(participant.error());
    const std::uint64_t now_ns = steady_clock_ns();
    std::uint64_t left_ns = end_ns - std::min(now_ns, end_ns);
    if (left_ns > slice_ns) left_ns = slice_ns;
    returned = call(**participant, std::chrono::nanoseconds(left_ns));
  }
  if (wait_ns != 0 && !returned && returned.error().code() == ErrorCode::would_block) {  // its turn never came
    return std::unexpected(Error(ErrorCode::timed_out, "no room in time", returned.error().message()));
  }
  return returned;
}

}  // namespace ringmill
