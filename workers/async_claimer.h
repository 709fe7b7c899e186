// One thread of an async worker: it claims jobs for its holders, and calls the handlers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ringmill/async.h>

#include "workers/async_run.h"
#include "workers/async_state.h"
#include "workers/handler_registry.h"

namespace ringmill {

/// What the claiming threads of a worker share: fixed while they run, but for the beat.
struct AsyncClaims {
  Engine& engine;
  AsyncHandlerRegistry handlers;
  ClaimOptions options;
  std::chrono::nanoseconds default_lease;
  std::uint32_t threads;
  /// How soon the leases have to be looked at again, in nanoseconds, and a futex that changes when that got shorter,
  /// and at the end.
  std::atomic<std::uint64_t> beat_ns{~std::uint64_t{0}};
  std::atomic<std::uint32_t> beat_changes{0};
};

class AsyncClaimer {
 public:
  /// It claims for each holder whose place is `number`, `number` + threads, ...
  AsyncClaimer(AsyncClaims& claims, std::shared_ptr<AsyncState> state, std::uint32_t number) noexcept
      : claims_(claims), state_(std::move(state)), number_(number) {}
  AsyncClaimer(const AsyncClaimer&) = delete;
  AsyncClaimer& operator=(const AsyncClaimer&) = delete;

  /// Called on the thread itself. Returns when the worker stops, or cannot go on.
  Result<void> run();
  /// Ends a wait for jobs. For any thread and for signal handlers.
  void wake() noexcept;

 private:
  /// Returns a holder with room, attached; null: all are full. Errors: as Engine::attach() and subscribe().
  Result<AsyncHolder*> holder_with_room();
  Result<void> attach(AsyncHolder& holder);
  /// Claims a job. Errors: as Participant::claim(). Null: none, and the holder's participant has begun to wait.
  Result<std::shared_ptr<AsyncRun>> claim(AsyncHolder& holder, std::optional<BegunWait>& begun);
  void call_handler(const std::shared_ptr<AsyncRun>& run);
  void sleep(AsyncHolder& holder, BegunWait begun);
  /// Waits while the worker is to claim nothing. Returns whether it has waited.
  bool waits_for_means() noexcept;
  std::string kind_name(Kind kind);
  std::string level_name(Level level);

  AsyncClaims& claims_;
  const std::shared_ptr<AsyncState> state_;
  const std::uint32_t number_;
  /// The participant that this thread sleeps for jobs with; null: it does not sleep.
  std::atomic<Participant*> sleeper_{nullptr};
  std::atomic<std::uint32_t> visitors_{0};
  std::uint32_t removed_levels_ = 0;  // in a row
  std::unordered_map<Kind, std::string> kind_names_;
  std::unordered_map<Level, std::string> level_names_;
};

}  // namespace ringmill
