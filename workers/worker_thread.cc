#include "workers/worker_thread.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>
#include <thread>

#include "core/base/log.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "workers/outcomes.h"

namespace ringmill {

namespace {

/// A draining thread that found nothing waits so long for a job before it asks again whether all is done.
constexpr std::chrono::milliseconds drain_look{20};
/// How long a job is put off whose follow-up found no room: twice as long for each such run of the thread in a row.
constexpr std::chrono::milliseconds first_put_off{10};
constexpr std::chrono::milliseconds longest_put_off{2000};
constexpr std::size_t most_level_names = 4096;
constexpr auto for_ever = std::chrono::nanoseconds::max();

}  // namespace

void WorkerCommons::note_entered() noexcept {
  if (to_enter.fetch_sub(1) == 1) futex_wake(to_enter, std::numeric_limits<int>::max());
}

void WorkerCommons::wait_for_entries() noexcept {
  // A thread that could not be started never enters; that stops the worker, which is looked at from time to time.
  constexpr std::uint64_t look_again_ns = 10'000'000;
  for (std::uint32_t left = to_enter.load(); left != 0 && !stopping.load(); left = to_enter.load()) {
    futex_wait(to_enter, left, look_again_ns);
  }
}

Result<void> WorkerThread::run() {
  auto participant = commons_.engine.attach(Role::worker);
  commons_.note_entered();
  if (!participant) return std::unexpected(participant.error());
  commons_.wait_for_entries();
  ClaimOptions claims{.levels = commons_.levels,
                      .kinds = commons_.handlers.kinds(),
                      .policy = commons_.options.policy,
                      .prefetch = commons_.options.prefetch};
  if (auto subscribed = (*participant)->subscribe(claims); !subscribed) return subscribed;
  participant_.store(participant->get());
  // A stop() that saw the pointer is about to wake the participant; behind the guard nothing has it. stop() only makes
  // calls that do not wait, and one that runs in a signal handler on this very thread is over when we get here.
  struct Withdraw {
    WorkerThread& thread;
    ~Withdraw() {
      thread.participant_.store(nullptr);
      while (thread.commons_.visitors.load() != 0) std::this_thread::yield();
      thread.current_job_.store(0);
    }
  } const withdraw{*this};
  return run_jobs(**participant);  // the participant gives back what it had taken in advance, and leaves
}

void WorkerThread::wake() noexcept {
  if (Participant* participant = participant_.load()) participant->wake();
}

Result<void> WorkerThread::run_jobs(Participant& participant) {
  // stop() sets `stopping` before it looks for participants: either it finds ours, or we see `stopping` here.
  while (!commons_.stopping.load()) {
    auto job = next_job(participant);
    if (job) {
      const std::uint64_t began_ns = commons_.trouble.is_there() ? steady_clock_ns() : 0;
      run_began_ns_.store(began_ns, std::memory_order_relaxed);  // ORDER relaxed: a sign
      const JobOutcome outcome = run_one(*job);
      if (outcome.what() == JobOutcome::What::unable) {
        if (auto paused = pause(participant, outcome, began_ns); !paused) return paused;
      } else {
        failures_in_a_row_ = 0;
        commons_.trouble.note_run();
      }
    } else if (!is_just_empty(job.error())) {
      return std::unexpected(job.error());
    } else if (commons_.options.drain) {
      return {};
    }
  }
  return {};
}

Result<Job> WorkerThread::next_job(Participant& participant) {
  // Each removal is said once, and with no level left by every claim: the first that said so names it.
  auto job = next_job_of_levels(participant);
  if (job || job.error().code() != ErrorCode::level_removed) return job;
  const Error first = job.error();
  for (std::size_t n = 0; n <= commons_.levels.size(); ++n) {
    log().warn("{}", job.error().message());
    job = next_job_of_levels(participant);
    if (job || job.error().code() != ErrorCode::level_removed) return job;
  }
  return std::unexpected(first);
}

Result<Job> WorkerThread::next_job_of_levels(Participant& participant) {
  if (!commons_.options.drain) return participant.claim(for_ever);
  auto job = participant.claim();
  if (job || !is_just_empty(job.error())) return job;
  commons_.idle_threads.fetch_add(1);
  while (!commons_.stopping.load()) {
    // First the look, then the claim: what comes back to its level in between is found by the claim.
    const bool drained = is_drained();
    job = drained ? participant.claim() : participant.claim(drain_look);
    if (job) {
      commons_.idle_threads.fetch_sub(1);
      return job;
    }
    if (drained || !is_just_empty(job.error())) return job;
  }
  return job;
}

bool WorkerThread::is_drained() const {
  if (commons_.idle_threads.load() < commons_.options.threads) return false;
  const EngineStatus status = commons_.engine.status();
  for (const ParticipantStatus& participant : status.participants) {
    // The jobs of the dead come back to their levels, by the hand of the keeper.
    const bool passes_jobs_on = !participant.alive || participant.role == name_of(Role::keeper);
    if (passes_jobs_on && participant.running != 0) return false;
  }
  // A failed job that waits for its next attempt is still left to run. A job that was never begun and is not due is
  // not.
  return std::ranges::none_of(status.left, [this, &status](const JobsLeft& left) {
    const bool is_ours = commons_.handlers.kinds().empty() || commons_.handlers.takes(left.kind);
    const auto level = std::ranges::find(status.levels, left.level, &LevelStatus::name);
    return is_ours && (commons_.levels.empty() || std::ranges::count(commons_.levels, level->level) != 0);
  });
}

JobOutcome WorkerThread::run_one(Job& job) {
  current_job_.store(job.id().value(), std::memory_order_relaxed);  // ORDER relaxed: for a log line, and a sign
  JobOutcome outcome = call_handler(job);
  settle(job, outcome);
  current_job_.store(0, std::memory_order_relaxed);  // ORDER relaxed: as above
  return outcome;
}

Result<void> WorkerThread::pause(Participant& participant, const JobOutcome& outcome, std::uint64_t began_ns) {
  participant.release_prefetched();
  const std::uint64_t now_ns = steady_clock_ns();
  if (began_ns == 0) began_ns = now_ns;
  if (commons_.trouble.note(one_line(outcome.text()), began_ns, now_ns, do_others_run(now_ns))) {
    return std::unexpected(
        Error(ErrorCode::system, "this worker could run no job for too long, and gives up", outcome.text()));
  }
  const auto wait = std::chrono::nanoseconds(OwnTrouble::wait_after(failures_in_a_row_++));
  const std::uint64_t until_ns = now_ns + static_cast<std::uint64_t>(wait.count());
  for (std::uint64_t at_ns = now_ns; at_ns < until_ns && commons_.stop_word.load() == 0; at_ns = steady_clock_ns()) {
    futex_wait(commons_.stop_word, 0, until_ns - at_ns);
  }
  return {};
}

bool WorkerThread::do_others_run(std::uint64_t now_ns) const noexcept {
  const std::uint64_t sound_after_ns = commons_.trouble.sound_after_ns();
  return std::ranges::any_of(*commons_.threads, [&](const WorkerThread& other) {
    if (&other == this || !other.current_job()) return false;
    const std::uint64_t began_ns = other.run_began_ns_.load();
    return began_ns == 0 || (now_ns > began_ns && now_ns - began_ns > sound_after_ns);
  });
}

JobOutcome WorkerThread::call_handler(Job& job) {
  const Handler* handler = commons_.handlers.find(job.kind());
  if (handler == nullptr) return JobOutcome::fail("this worker has no handler for the job's kind");
  JobContext context(job, *participant_.load(), kind_name(job.kind()), level_name(job.level()), commons_.stopping);
  const WorkerHooks& hooks = commons_.options.hooks;
  if (hooks.before) hooks.before(context);
  const std::uint64_t begin_ns = hooks.after ? steady_clock_ns() : 0;
  JobOutcome outcome = run_handler(*handler, context);
  if (is_failed_attempt(outcome) && job.lacked_room()) {
    outcome = put_off(job);
  } else {
    lacks_in_a_row_ = 0;
  }
  if (hooks.after) hooks.after(context, outcome, std::chrono::nanoseconds(steady_clock_ns() - begin_ns));
  if (hooks.on_failure && is_failure(outcome)) hooks.on_failure(context, outcome);
  return outcome;
}

/// The engine was full, or the worker stops: the job is not to blame.
JobOutcome WorkerThread::put_off(const Job& job) {
  if (commons_.stopping.load()) return JobOutcome::release();
  const std::uint32_t lacks = ++lacks_in_a_row_;
  const auto wait = std::min(longest_put_off, first_put_off * (1U << std::min(lacks - 1, 10U)));
  if (std::has_single_bit(lacks)) {
    log().warn("job {}: no room for its follow-up; it is put off for {} ms, and no attempt counts",
               job.id().to_string(), wait.count());
  }
  return JobOutcome::snooze(wait);
}

JobOutcome WorkerThread::run_handler(const Handler& handler, JobContext& context) {
  try {
    return handler(context);
  } catch (...) {
    return outcome_of_thrown();
  }
}

void WorkerThread::settle(Job& job, const JobOutcome& outcome) {
  const JobId id = job.id();
  const Kind kind = job.kind();
  const std::uint32_t attempt = job.attempt();
  const bool completes = outcome.what() == JobOutcome::What::complete;
  const std::size_t bytes = completes ? outcome.text().size() : 0;
  const std::size_t room = bytes != 0 ? job.result_room() : 0;
  const auto settled = settle_by(job, outcome);
  if (!settled) {
    count(lost_);
    log().warn(
        "job {}: the lease was lost before attempt {} ended; the job was given to others, this run does not count",
        id.to_string(), attempt);
    return;
  }
  if (completes) count(completed_);
  if (completes && (bytes > room || (outcome.is_cut() && room != ~std::size_t{0}))) say_cut(id, bytes, room);
  if (outcome.what() == JobOutcome::What::cancel) count(cancelled_);
  if (is_giving_back(outcome)) count(released_);
  if (!is_failure(outcome)) return;
  count(failed_);
  if (*settled == Settled::dead) {
    count(dead_);
    say_failed(job, outcome, true);
    if (commons_.options.hooks.on_dead) commons_.options.hooks.on_dead(id, kind_name(kind), outcome);
  } else if (!outcome.text().empty()) {
    say_failed(job, outcome, false);
  }
}

void WorkerThread::say_failed(const Job& job, const JobOutcome& outcome, bool is_dead) {
  const std::string_view kind = kind_name(job.kind());
  const std::uint64_t times = commons_.faults.count(kind, (is_dead ? "dead: " : "") + outcome.text());
  if (!std::has_single_bit(times)) return;
  log().warn("job {} (kind {}, level {}): attempt {} failed, {}: {}{}", job.id().to_string(), kind,
             level_name(job.level()), job.attempt(), is_dead ? "and it is dead" : "the job waits again",
             one_line(outcome.text()),
             times == 1 ? std::string() : fmt::format(" (such a failure has come {} times)", times));
}

void WorkerThread::say_cut(JobId id, std::size_t bytes, std::size_t room) {
  if (commons_.cut_was_said.exchange(true)) return;
  log().warn(
      "job {}: its result is refused, because it is longer than {} bytes (`ringmill job` says result_refused); the job "
      "is completed. Make the engine with a larger --max-payload. Further ones are not logged",
      id.to_string(), std::min(room, bytes));
}

std::string_view WorkerThread::kind_name(Kind kind) {
  if (const std::string_view name = commons_.handlers.name_of(kind); !name.empty()) return name;
  auto known = kind_names_.find(kind);
  if (known == kind_names_.end()) known = kind_names_.emplace(kind, commons_.engine.kind_name(kind)).first;
  return known->second;
}

std::string_view WorkerThread::level_name(Level level) {
  // Every life of a level has a value of its own: those that are gone are forgotten from time to time.
  if (level_names_.size() > most_level_names) level_names_.clear();
  auto known = level_names_.find(level);
  if (known == level_names_.end()) known = level_names_.emplace(level, commons_.engine.level_name(level)).first;
  return known->second;
}

void WorkerThread::add_to(WorkerStatus& status) const noexcept {
  status.completed += completed_.load();
  status.failed += failed_.load();
  status.released += released_.load();
  status.dead += dead_.load();
  status.cancelled += cancelled_.load();
  status.lost += lost_.load();
}

}  // namespace ringmill
