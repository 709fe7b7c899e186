#include "core/keeper/scheduler.h"

#include <algorithm>

#include "core/base/engine_thread.h"
#include "core/base/exceptions.h"
#include "core/base/kinds.h"
#include "core/base/log.h"
#include "core/levels/level_names.h"
#include "core/participant/attach.h"
#include "core/retry/retry_policies.h"
#include "core/table/unique_jobs.h"

namespace ringmill {

namespace {

using namespace std::chrono_literals;

/// The interval at which the book is checked for changes of other processes.
constexpr auto look_every = 1s;
/// A tick's key outlives its job by this much: the next keeper has taken over long before.
constexpr auto unique_for = 10min;
constexpr auto room_wait = 1s;
constexpr auto durable_wait = 5s;
/// The most failing schedules that are logged at once: many can fail for one reason.
constexpr std::size_t most_lines_in_turn = 10;

/// Whether a job of this unique key waits or runs.
bool is_alive(const Segment& segment, std::string_view key) {
  const auto id = UniqueJobs(segment).look(UniqueKey::of(key));
  if (!id) return false;
  const StateWord word = JobTable(segment).word(index_of(*id));
  return word.generation() == generation_of(*id) && word.has_job() && word.state() != CellState::completed &&
         word.state() != CellState::cancelled && word.state() != CellState::burying;
}

}  // namespace

Scheduler::Scheduler(std::shared_ptr<EngineCore> engine)
    : engine_(std::move(engine)), thread_(start_engine_thread("ringmill-ticks", [this] { run(); })) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Scheduler::run() noexcept {
  bool is_over = false;
  while (!is_over) {
    try {
      tick_until_stopped();
    } catch (const std::exception& thrown) {  // a tick that is not marked is due again
      say(error_of(thrown));
    }
    std::unique_lock lock(mutex_);
    is_over = changed_.wait_for(lock, look_every, [this] { return stop_; });
  }
  participant_.reset();  // belongs to this thread
}

/// Logs an error once, if there is memory for that.
void Scheduler::say(const Error& error) noexcept {
  try {
    std::string text = error.message();
    if (text == said_) return;
    log().error("recurring jobs cannot be enqueued, and are retried: {}", text);
    said_ = std::move(text);
  } catch (const std::exception&) {
  }
}

void Scheduler::tick_until_stopped() {
  ScheduleBook book(engine_->directory.folder(), room_wait);
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    if (const auto done = turn(book); !done) {
      say(done.error());
    } else {
      said_.clear();
    }
    auto until = std::chrono::system_clock::now() + look_every;
    // The next check retries what a failed turn has left.
    if (const auto next = said_.empty() ? book.next_due() : std::nullopt)
      until = std::min<std::chrono::system_clock::time_point>(until, *next);
    lock.lock();
    // Ticks are wall-clock times; a step of the clock is noticed within a second.
    changed_.wait_for(lock, std::max<std::chrono::nanoseconds>(until - std::chrono::system_clock::now(), 1ms),
                      [this] { return stop_; });
  }
}

Result<void> Scheduler::turn(ScheduleBook& book) {
  do {
    const auto due = book.due(std::chrono::system_clock::now());  // tick.T1
    if (!due) return std::unexpected(due.error());
    if (due->empty()) continue;
    if (auto done = enqueue(*due, book); !done) return done;
  } while (book.has_more() && !is_stopping());
  return {};
}

bool Scheduler::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

Result<void> Scheduler::enqueue(std::span<const DueSchedule> due, ScheduleBook& book) {
  std::vector<TickMark> marks;
  std::vector<TickTrouble> troubles;
  Result<void> all = {};
  const auto producer = participant();
  if (!producer) all = std::unexpected(producer.error());
  auto wait = room_wait;
  for (const DueSchedule& one : due) {
    if (!all) break;
    const Enqueued enqueued = enqueue(one, **producer, wait);
    if (enqueued.last) marks.push_back({one.schedule.name, *enqueued.last, enqueued.job});
    if (!enqueued.error) continue;
    troubles.push_back({one.schedule.name, enqueued.error->message()});
    // The engine is full: try the other ticks without waiting.
    if (enqueued.error->code() == ErrorCode::timed_out) wait = 0s;
  }
  if (all && !marks.empty()) all = (*producer)->wait_durable((*producer)->ticket(), durable_wait);
  if (!all) {
    // No tick is marked as done. A job that was enqueued is found again under its key.
    marks.clear();
    troubles.clear();
    for (const DueSchedule& one : due) troubles.push_back({one.schedule.name, all.error().message()});
  }
  const auto marked = book.mark_ticked(marks, troubles, std::chrono::system_clock::now());  // tick.T3
  if (!all) return all;
  say(marks, troubles);
  if (!marked) return std::unexpected(marked.error());
  return {};
}

Scheduler::Enqueued Scheduler::enqueue(const DueSchedule& due, Participant& producer, std::chrono::seconds wait) {
  const Schedule& schedule = due.schedule;
  const Segment& segment = engine_->segment;
  const auto refused = [](Error error) { return Enqueued{.error = std::move(error)}; };
  const auto level = level_named(segment, schedule.level);
  if (!level) return refused(level.error());
  if (schedule.payload.size() > segment.geometry().max_payload) {
    return refused(Error(ErrorCode::too_large, "the payload is too long for this engine",
                         std::to_string(schedule.payload.size()) + " bytes"));
  }
  const auto kind = intern_kind(segment, schedule.kind);
  if (!kind) return refused(kind.error());
  const TickJob& job_words = schedule.job;
  JobRequest request{.kind = *kind, .level = *level, .payload = schedule.payload, .lease = job_words.lease};
  request.options.max_attempts = job_words.max_attempts;
  request.options.expires = job_words.expires;
  request.tag = job_words.tag;
  if (!job_words.backoff.empty()) {
    const auto policy = RetryPolicies::intern(segment, job_words.backoff);
    if (!policy) return refused(policy.error());
    request.options.retry_policy = *policy;
  }
  Enqueued enqueued;
  std::optional<TickTime> before = schedule.last_job;
  for (const TickTime tick : due.ticks) {
    if (job_words.no_overlap && before && is_alive(segment, unique_key_of(schedule.name, *before))) {
      enqueued.last = tick;
      continue;
    }
    const auto job = producer.enqueue_unique(request, unique_key_of(schedule.name, tick), unique_for, wait);  // tick.T2
    if (!job) {
      enqueued.error = job.error();
      break;
    }
    enqueued.last = enqueued.job = before = tick;
  }
  return enqueued;
}

void Scheduler::say(std::span<const TickMark> marks, std::span<const TickTrouble> troubles) {
  for (const TickMark& mark : marks) {
    if (!said_of_.contains(mark.schedule)) continue;
    const auto is_it = [&mark](const TickTrouble& trouble) { return trouble.schedule == mark.schedule; };
    if (std::ranges::any_of(troubles, is_it)) continue;  // only some of its ticks went in
    said_of_.erase(mark.schedule);
    log().info("schedule {} works again", mark.schedule);
  }
  std::size_t unsaid = 0;
  std::size_t lines = 0;
  for (const TickTrouble& trouble : troubles) {
    std::string& said = said_of_[trouble.schedule];
    if (said == trouble.error) continue;
    said = trouble.error;
    if (++lines <= most_lines_in_turn) {
      log().error("schedule {} is not enqueued, and is retried: {}", trouble.schedule, trouble.error);
    } else {
      ++unsaid;
    }
  }
  if (unsaid != 0) log().error("{} more schedules are not enqueued: `ringmill schedule DIR list` names them", unsaid);
  if (said_of_.size() > ScheduleBook::most_schedules) said_of_.clear();  // names of removed ones
}

Result<Participant*> Scheduler::participant() {
  if (!participant_) {
    auto attached = attach(engine_, Role::tool);
    if (!attached) return std::unexpected(attached.error());
    participant_ = std::move(*attached);
  }
  return participant_.get();
}

}  // namespace ringmill
