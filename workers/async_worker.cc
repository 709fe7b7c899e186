// The public face of an async worker: it checks the options, starts the threads, keeps the leases, and waits at the end
// for what is in flight.
#include <sys/prctl.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "core/engine/core_of.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "workers/async_claimer.h"

namespace ringmill {

namespace {

constexpr std::uint32_t most_claiming_threads = 64;
constexpr std::uint32_t most_in_flight = 8192;
/// The leases are looked at no more often than the first, and no less often than the second.
constexpr std::uint64_t shortest_beat_ns = 1'000'000;
constexpr std::uint64_t longest_beat_ns = 30'000'000'000;

Error refused(const char* why) { return Error(ErrorCode::invalid_argument, why); }

std::uint32_t threads_of(const AsyncOptions& options) noexcept {
  return std::clamp(std::min(options.threads, options.in_flight), 1U, most_claiming_threads);
}

}  // namespace

class AsyncWorker::Implementation {
 public:
  Implementation(Engine& engine, AsyncOptions options)
      : options_(std::move(options)),
        state_(std::make_shared<AsyncState>(threads_of(options_), std::clamp(options_.in_flight, 1U, most_in_flight))),
        claims_{.engine = engine, .handlers = {}, .options = {}, .default_lease = {}, .threads = threads_of(options_)} {
    for (std::uint32_t n = 0; n < claims_.threads; ++n) claimers_.emplace_back(claims_, state_, n);
  }

  AsyncClaims& claims() noexcept { return claims_; }
  const AsyncState& state() const noexcept { return *state_; }

  Result<void> run();
  void stop() noexcept;

 private:
  Result<void> prepare();
  void claim_all();
  void run_thread(AsyncClaimer& claimer) noexcept;
  void keep_leases() noexcept;
  std::uint64_t keep_leases_of(AsyncHolder& holder, std::uint64_t now_ns);
  void end_beat() noexcept;
  void wait_for_jobs_in_flight();
  void give_back_all();
  void note_error(Error error);

  const AsyncOptions options_;
  const std::shared_ptr<AsyncState> state_;
  AsyncClaims claims_;
  std::deque<AsyncClaimer> claimers_;
  std::atomic<bool> was_run_{false};
  std::atomic<bool> beats_{true};
  std::mutex error_mutex_;
  std::optional<Error> first_error_;
};

Result<void> AsyncWorker::Implementation::prepare() {
  if (options_.threads < 1 || options_.threads > most_claiming_threads)
    return std::unexpected(refused("an async worker has 1 to 64 threads"));
  if (options_.in_flight < 1 || options_.in_flight > most_in_flight)
    return std::unexpected(refused("an async worker has 1 to 8192 jobs in flight"));
  if (options_.grace.count() < 0 || options_.longest_run.count() < 0)
    return std::unexpected(refused("times are not negative"));
  claims_.options = {.levels = {}, .kinds = {}, .policy = options_.policy, .prefetch = 1};
  for (const std::string& name : options_.levels) {
    const auto level = claims_.engine.level(name);
    if (!level) return std::unexpected(level.error());
    claims_.options.levels.push_back(*level);
  }
  if (auto resolved = claims_.handlers.resolve(claims_.engine); !resolved) return resolved;
  claims_.options.kinds = claims_.handlers.kinds();
  claims_.default_lease = std::chrono::milliseconds(core_of(claims_.engine)->segment.header().default_lease_ms.load());
  return {};
}

Result<void> AsyncWorker::Implementation::run() {
  if (was_run_.exchange(true)) return std::unexpected(Error(ErrorCode::busy, "this worker runs, or has run, already"));
  if (auto prepared = prepare(); !prepared) return prepared;
  std::thread beat([this] { keep_leases(); });
  try {
    claim_all();
  } catch (const std::exception& thrown) {
    note_error(error_of(thrown));
  }
  wait_for_jobs_in_flight();
  end_beat();
  beat.join();
  give_back_all();
  if (first_error_) return std::unexpected(*first_error_);
  return {};
}

/// Returns when all claiming threads have ended.
void AsyncWorker::Implementation::claim_all() {
  std::vector<std::thread> threads;
  try {
    threads.reserve(claimers_.size());
    for (AsyncClaimer& claimer : claimers_) threads.emplace_back([this, &claimer] { run_thread(claimer); });
  } catch (const std::exception& thrown) {  // those that are started are joined
    note_error(error_of(thrown));
  }
  for (std::thread& thread : threads) thread.join();
}

void AsyncWorker::Implementation::run_thread(AsyncClaimer& claimer) noexcept {
  ::prctl(PR_SET_NAME, "ringmill-async");
  try {
    if (auto ran = claimer.run(); !ran) note_error(ran.error());
  } catch (const std::exception& thrown) {
    note_error(error_of(thrown));
  }
}

void AsyncWorker::Implementation::note_error(Error error) {
  {
    const std::lock_guard lock(error_mutex_);
    if (!first_error_) first_error_.emplace(std::move(error));
  }
  stop();
}

void AsyncWorker::Implementation::stop() noexcept {
  state_->stop();
  for (AsyncClaimer& claimer : claimers_) claimer.wake();
}

void AsyncWorker::Implementation::keep_leases() noexcept {
  ::prctl(PR_SET_NAME, "ringmill-beat");
  while (beats_.load()) {
    const std::uint32_t seen = claims_.beat_changes.load();
    claims_.beat_ns.store(~std::uint64_t{0});  // a run that begins from here on says when it has to be looked at
    const std::uint64_t now_ns = steady_clock_ns();
    std::uint64_t next_ns = longest_beat_ns;
    for (AsyncHolder& holder : state_->holders()) next_ns = std::min(next_ns, keep_leases_of(holder, now_ns));
    next_ns = std::max(next_ns, shortest_beat_ns);
    std::uint64_t told_ns = claims_.beat_ns.load();
    while (next_ns < told_ns && !claims_.beat_ns.compare_exchange_weak(told_ns, next_ns)) {
    }
    if (beats_.load()) futex_wait(claims_.beat_changes, seen, next_ns);
  }
}

/// Returns how soon the leases of this holder have to be looked at again.
std::uint64_t AsyncWorker::Implementation::keep_leases_of(AsyncHolder& holder, std::uint64_t now_ns) {
  const auto longest_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(options_.longest_run).count());
  std::uint64_t next_ns = longest_beat_ns;
  if (holder.held.load() == 0) return next_ns;
  const std::lock_guard lock(holder.mutex);
  for (std::size_t n = holder.runs.size(); n-- > 0;) {  // one whose lease is lost leaves the list
    AsyncRun& run = *holder.runs[n];
    if (longest_ns != 0 && now_ns - std::min(run.began_ns(), now_ns) >= longest_ns) continue;
    if (run.keep_lease()) next_ns = std::min(next_ns, static_cast<std::uint64_t>(run.lease().count()) / 4);
  }
  return next_ns;
}

void AsyncWorker::Implementation::end_beat() noexcept {
  beats_.store(false);
  claims_.beat_changes.fetch_add(1);
  futex_wake(claims_.beat_changes, 1);
}

void AsyncWorker::Implementation::wait_for_jobs_in_flight() {
  const std::uint64_t end_ns =
      later_by(steady_clock_ns(), static_cast<std::uint64_t>(std::chrono::nanoseconds(options_.grace).count()));
  while (true) {
    const std::uint32_t seen = state_->changes();
    const std::uint32_t left = state_->in_flight();
    if (left == 0) return;
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) {
      log().warn("the worker stops, and {} jobs in flight were not settled within {} ms: they are given back", left,
                 options_.grace.count());
      return;
    }
    state_->wait_for_change(seen, end_ns - now_ns);
  }
}

void AsyncWorker::Implementation::give_back_all() {
  for (AsyncHolder& holder : state_->holders()) {
    const std::lock_guard lock(holder.mutex);
    for (AsyncRun* run : holder.runs) {
      run->give_back();
      state_->counts().released.fetch_add(1);
    }
    holder.runs.clear();
    holder.held.store(0);
    holder.participant.reset();
  }
}

AsyncWorker::AsyncWorker(Engine& engine, AsyncOptions options)
    : implementation_(std::make_unique<Implementation>(engine, std::move(options))) {}

AsyncWorker::~AsyncWorker() = default;

AsyncWorker& AsyncWorker::on(std::string_view kind, AsyncHandler handler) {
  implementation_->claims().handlers.add(kind, std::move(handler));
  return *this;
}

AsyncWorker& AsyncWorker::on_any(AsyncHandler handler) {
  implementation_->claims().handlers.add_default(std::move(handler));
  return *this;
}

Result<void> AsyncWorker::run() try { return implementation_->run(); } catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

void AsyncWorker::stop() noexcept { implementation_->stop(); }

WorkerStatus AsyncWorker::status() const noexcept {
  const AsyncCounts& counts = implementation_->state().counts();
  return {.completed = counts.completed.load(),
          .failed = counts.failed.load(),
          .released = counts.released.load(),
          .dead = counts.dead.load(),
          .cancelled = counts.cancelled.load(),
          .lost = counts.lost.load()};
}

std::uint32_t AsyncWorker::in_flight() const noexcept { return implementation_->state().in_flight(); }

}  // namespace ringmill
