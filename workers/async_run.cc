#include "workers/async_run.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <thread>

#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "ipc/clock.h"
#include "workers/outcomes.h"

namespace ringmill {

namespace {

/// How long a job is put off whose follow-up found no room, and how long a worker claims nothing that was unable.
constexpr std::chrono::milliseconds put_off{100};
constexpr std::uint64_t unable_pause_ns = 100'000'000;
/// How often a follow-up looks for room.
constexpr std::chrono::milliseconds room_look{2};

Error belongs_to_parent() noexcept {
  return Error(ErrorCode::after_fork, "this job belongs to a worker of the parent process");
}

}  // namespace

AsyncRun::AsyncRun(std::shared_ptr<AsyncState> state, AsyncHolder& holder, Job job, std::string kind, std::string level,
                   std::chrono::nanoseconds lease)
    : state_(std::move(state)),
      holder_(holder),
      job_(std::move(job)),
      id_(job_.id()),
      attempt_(job_.attempt()),
      kind_number_(job_.kind()),
      kind_(std::move(kind)),
      level_(std::move(level)),
      payload_(job_.payload().begin(), job_.payload().end()),
      lease_(lease),
      began_ns_(steady_clock_ns()) {}

AsyncRun::~AsyncRun() {
  if (!state_->is_of_this_process()) return;
  const std::lock_guard lock(holder_.mutex);
  if (phase_ != Phase::held) return;
  give_back();  // there was no memory to settle it
  leave(Phase::given_back);
}

Error AsyncRun::why_not_held() const noexcept {
  switch (phase_) {
    case Phase::lost:
      return Error(ErrorCode::lease_lost, "the lease was revoked: another worker has the job");
    case Phase::given_back:
      return Error(ErrorCode::lease_lost, "the worker stopped and gave the job back: another worker has it");
    default:
      return Error(ErrorCode::not_held, "this job was settled before");
  }
}

void AsyncRun::leave(Phase phase) noexcept {
  phase_ = phase;
  std::erase(holder_.runs, this);
  holder_.held.store(static_cast<std::uint32_t>(holder_.runs.size()));
  if (phase == Phase::lost) state_->counts().lost.fetch_add(1);
  state_->note_change();
}

Result<Settled> AsyncRun::settle(const JobOutcome& outcome) {
  if (!state_->is_of_this_process()) return std::unexpected(belongs_to_parent());
  std::unique_lock lock(holder_.mutex);
  if (phase_ != Phase::held) return std::unexpected(why_not_held());
  const bool lacked_room = is_failed_attempt(outcome) && job_.lacked_room();
  const JobOutcome instead = is_stopping() ? JobOutcome::release() : JobOutcome::snooze(put_off);
  const JobOutcome& counts = lacked_room ? instead : outcome;
  const auto settled = settle_by(job_, counts);
  if (!settled && job_.held()) return settled;
  leave(settled ? Phase::settled : Phase::lost);
  lock.unlock();
  if (outcome.what() == JobOutcome::What::unable) state_->pause_for(unable_pause_ns);
  if (settled) count_and_say(counts, *settled);
  return settled;
}

void AsyncRun::count_and_say(const JobOutcome& outcome, Settled settled) {
  AsyncCounts& counts = state_->counts();
  if (outcome.what() == JobOutcome::What::complete) counts.completed.fetch_add(1);
  if (outcome.what() == JobOutcome::What::cancel) counts.cancelled.fetch_add(1);
  if (is_giving_back(outcome)) counts.released.fetch_add(1);
  const bool is_dead = settled == Settled::dead;
  if (is_failure(outcome)) counts.failed.fetch_add(1);
  if (is_dead) counts.dead.fetch_add(1);
  const bool is_said = is_failure(outcome) || outcome.what() == JobOutcome::What::unable;
  if (!is_said || (outcome.text().empty() && !is_dead)) return;
  const std::uint64_t times = state_->faults().count(kind_, (is_dead ? "dead: " : "") + outcome.text());
  if (!std::has_single_bit(times)) return;
  log().warn("job {} (kind {}, level {}): attempt {} {}: {}{}", id_.to_string(), kind_, level_, attempt_,
             is_dead               ? "failed, and it is dead"
             : is_failure(outcome) ? "failed, the job waits again"
                                   : "could not be made, the job went back",
             one_line(outcome.text()),
             times == 1 ? std::string() : fmt::format(" (such a failure has come {} times)", times));
}

template <class Call>
auto AsyncRun::with_room(std::chrono::nanoseconds wait, Call&& call) -> decltype(call()) {
  if (!state_->is_of_this_process()) return std::unexpected(belongs_to_parent());
  const std::uint64_t wait_ns = wait.count() <= 0 ? 0 : static_cast<std::uint64_t>(wait.count());
  const std::uint64_t end_ns = later_by(steady_clock_ns(), wait_ns);
  while (true) {
    {
      const std::lock_guard lock(holder_.mutex);
      if (phase_ != Phase::held) return std::unexpected(why_not_held());
      auto made = call();
      const bool lacks_room = !made && made.error().code() == ErrorCode::would_block;
      if (!lacks_room || wait_ns == 0 || is_stopping()) return made;
      if (steady_clock_ns() >= end_ns) {
        return std::unexpected(Error(ErrorCode::timed_out, "no room in time", made.error().message()));
      }
    }
    std::this_thread::sleep_for(room_look);
  }
}

Result<JobId> AsyncRun::follow_up(const LinkedRequest& request, std::chrono::nanoseconds wait) {
  return with_room(wait, [&] { return job_.follow_up(request); });
}

Result<UniqueJob> AsyncRun::follow_up_unique(const JobRequest& request, std::string_view key,
                                             std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait) {
  return with_room(wait, [&] { return job_.follow_up_unique(request, key, unique_for); });
}

std::vector<JobId> AsyncRun::parents() const {
  if (!state_->is_of_this_process()) return {};
  const std::lock_guard lock(holder_.mutex);
  return phase_ == Phase::held ? job_.parents() : std::vector<JobId>{};
}

void AsyncRun::report_progress(std::uint64_t number, std::string_view text) noexcept {
  if (!state_->is_of_this_process()) return;
  const std::lock_guard lock(holder_.mutex);
  if (phase_ == Phase::held) job_.report_progress(number, text);
}

bool AsyncRun::should_stop() const noexcept {
  if (!state_->is_of_this_process()) return true;
  const std::lock_guard lock(holder_.mutex);
  return phase_ != Phase::held || job_.should_stop();
}

void AsyncRun::abandon() noexcept try {
  if (!state_->is_of_this_process()) return;
  if (handler_thread_.load() == this_thread_number && this_thread_number != 0 && std::uncaught_exceptions() != 0) {
    left_by_exception_ = true;
    return;
  }
  {
    const std::lock_guard lock(holder_.mutex);
    if (phase_ != Phase::held) return;
  }
  static_cast<void>(settle(is_stopping() ? JobOutcome::release()
                                         : JobOutcome::fail("the handler let go of the job and did not settle it")));
} catch (const std::exception& thrown) {
  log().error("job {}: {}; its lease runs out", id_.to_string(), error_of(thrown).message());
}

bool AsyncRun::keep_lease() noexcept {
  if (job_.time_left() > lease_ / 2) return true;
  const auto lease_ms = std::chrono::ceil<std::chrono::milliseconds>(lease_);
  if (const auto kept = job_.extend(lease_ms); kept || kept.error().code() != ErrorCode::lease_lost) return true;
  leave(Phase::lost);
  return false;
}

void AsyncRun::give_back() noexcept {
  static_cast<void>(job_.release());
  phase_ = Phase::given_back;
}

void AsyncRun::begin_handler() noexcept { handler_thread_.store(number_this_thread()); }

bool AsyncRun::end_handler() noexcept {
  handler_thread_.store(0);
  return left_by_exception_;
}

}  // namespace ringmill
