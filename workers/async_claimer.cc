#include "workers/async_claimer.h"

#include <algorithm>
#include <thread>

#include "core/base/log.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "workers/outcomes.h"

namespace ringmill {

namespace {

constexpr std::size_t most_level_names = 4096;
constexpr std::uint64_t longest_sleep_for_change_ns = 1'000'000'000;

}  // namespace

Result<void> AsyncClaimer::run() {
  while (!state_->is_stopping()) {
    const std::uint32_t seen = state_->changes();
    if (waits_for_means()) continue;
    const auto holder = holder_with_room();
    if (!holder) return std::unexpected(holder.error());
    if (*holder == nullptr) {
      state_->wait_for_change(seen, longest_sleep_for_change_ns);
      continue;
    }
    std::optional<BegunWait> begun;
    const auto run = claim(**holder, begun);
    if (run && *run) {
      removed_levels_ = 0;
      call_handler(*run);
    } else if (begun) {
      sleep(**holder, *begun);
    } else if (!run && run.error().code() == ErrorCode::level_removed &&
               removed_levels_ < claims_.options.levels.size()) {
      ++removed_levels_;
      log().warn("{}", run.error().message());
    } else if (!run && !is_just_empty(run.error())) {
      return std::unexpected(run.error());
    }
  }
  return {};
}

void AsyncClaimer::wake() noexcept {
  visitors_.fetch_add(1);
  if (Participant* const sleeper = sleeper_.load()) sleeper->wake();
  visitors_.fetch_sub(1);
}

Result<AsyncHolder*> AsyncClaimer::holder_with_room() {
  std::deque<AsyncHolder>& holders = state_->holders();
  for (std::size_t n = number_; n < holders.size(); n += claims_.threads) {
    AsyncHolder& holder = holders[n];
    if (holder.held.load() >= holder.most) continue;
    const std::lock_guard lock(holder.mutex);
    if (!holder.participant) {
      if (auto attached = attach(holder); !attached) {
        if (n == number_ || attached.error().code() != ErrorCode::too_many_participants) {
          return std::unexpected(attached.error());
        }
        log().warn("an async worker holds fewer jobs than it may: {}", attached.error().message());
        holder.most = 0;
        continue;
      }
    }
    return &holder;
  }
  return nullptr;
}

Result<void> AsyncClaimer::attach(AsyncHolder& holder) {
  auto attached = claims_.engine.attach(Role::worker, Binding::process);
  if (!attached) return std::unexpected(attached.error());
  if (auto subscribed = (*attached)->subscribe(claims_.options); !subscribed) return subscribed;
  holder.runs.reserve(holder.most);
  holder.participant = *std::move(attached);
  return {};
}

Result<std::shared_ptr<AsyncRun>> AsyncClaimer::claim(AsyncHolder& holder, std::optional<BegunWait>& begun) {
  const std::lock_guard lock(holder.mutex);
  auto job = holder.participant->claim();
  if (!job) {
    if (!is_just_empty(job.error())) return std::unexpected(job.error());
    const auto wait = holder.participant->begin_wait();
    if (!wait) return std::unexpected(wait.error());
    begun = *wait;
    return nullptr;
  }
  const std::chrono::nanoseconds asked = job->lease();
  const std::chrono::nanoseconds lease = asked.count() != 0 ? asked : claims_.default_lease;
  std::string kind = kind_name(job->kind());
  std::string level = level_name(job->level());
  auto run = std::make_shared<AsyncRun>(state_, holder, *std::move(job), std::move(kind), std::move(level), lease);
  holder.runs.push_back(run.get());
  holder.held.store(static_cast<std::uint32_t>(holder.runs.size()));
  return run;
}

void AsyncClaimer::call_handler(const std::shared_ptr<AsyncRun>& run) {
  const auto soon_ns = static_cast<std::uint64_t>(run->lease().count()) / 4;
  if (soon_ns < claims_.beat_ns.load()) {
    claims_.beat_ns.store(soon_ns);
    claims_.beat_changes.fetch_add(1);
    futex_wake(claims_.beat_changes, 1);
  }
  const AsyncHandler* const handler = claims_.handlers.find(run->kind_number());
  AsyncJob job(run);
  if (handler == nullptr) {
    static_cast<void>(job.settle(JobOutcome::fail("this worker has no handler for the job's kind")));
    return;
  }
  run->begin_handler();
  try {
    (*handler)(std::move(job));
    run->end_handler();
  } catch (...) {
    const JobOutcome outcome = outcome_of_thrown();
    if (run->end_handler()) {
      static_cast<void>(run->settle(outcome));
    } else {  // the job is settled, or in other hands
      log().warn("job {}: {}", run->id().to_string(), one_line(outcome.text()));
    }
  }
}

void AsyncClaimer::sleep(AsyncHolder& holder, BegunWait begun) {
  Participant* const participant = holder.participant.get();  // it stays until this thread has ended
  sleeper_.store(participant);
  // stop() sets `stopping` before it looks for sleepers: either it finds us, or we see it here.
  if (!state_->is_stopping()) participant->sleep(begun, std::chrono::seconds{1});
  sleeper_.store(nullptr);
  while (visitors_.load() != 0) std::this_thread::yield();
  const std::lock_guard lock(holder.mutex);
  participant->end_wait(!state_->is_stopping());
}

bool AsyncClaimer::waits_for_means() noexcept {
  const std::uint32_t seen = state_->changes();
  const std::uint64_t until_ns = state_->pause_until_ns();
  const std::uint64_t now_ns = until_ns == 0 ? 0 : steady_clock_ns();
  if (now_ns >= until_ns || state_->is_stopping()) return false;
  state_->wait_for_change(seen, until_ns - now_ns);
  return true;
}

std::string AsyncClaimer::kind_name(Kind kind) {
  if (const std::string_view name = claims_.handlers.name_of(kind); !name.empty()) return std::string(name);
  auto known = kind_names_.find(kind);
  if (known == kind_names_.end()) known = kind_names_.emplace(kind, claims_.engine.kind_name(kind)).first;
  return known->second;
}

std::string AsyncClaimer::level_name(Level level) {
  // Every life of a level has a value of its own: those that are gone are forgotten from time to time.
  if (level_names_.size() > most_level_names) level_names_.clear();
  auto known = level_names_.find(level);
  if (known == level_names_.end()) known = level_names_.emplace(level, claims_.engine.level_name(level)).first;
  return known->second;
}

}  // namespace ringmill
