#include "core/keeper/scheduler.h"

#include <sys/prctl.h>

#include <algorithm>

#include "core/log.h"

namespace ringmill {

namespace {

using namespace std::chrono_literals;

/// How often the book is looked at for what others have changed.
constexpr auto look_every = 1s;
/// A tick's key outlives its job by this much: the next keeper has taken over long before.
constexpr auto unique_for = 10min;
constexpr auto room_wait = 1s;

}  // namespace

Scheduler::Scheduler(const std::filesystem::path& engine_directory)
    : directory_(engine_directory), thread_([this] { run(); }) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Scheduler::run() {
  ::prctl(PR_SET_NAME, "ringmill-ticks");
  ScheduleBook book(directory_, room_wait);
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    if (const auto done = turn(book); !done) {
      if (const std::string text = done.error().message(); text != said_) {
        said_ = text;
        log().error("recurring jobs are not enqueued, and are tried again: {}", text);
      }
    } else {
      said_.clear();
    }
    auto until = std::chrono::system_clock::now() + look_every;
    if (const auto next = book.next_due()) until = std::min<std::chrono::system_clock::time_point>(until, *next);
    lock.lock();
    // By the wall clock, as ticks are; a step of it is noticed within a second.
    changed_.wait_for(lock, std::max<std::chrono::nanoseconds>(until - std::chrono::system_clock::now(), 1ms),
                      [this] { return stop_; });
  }
  // The participant belongs to this thread.
  participant_.reset();
  engine_.reset();
}

Result<void> Scheduler::turn(ScheduleBook& book) {
  const auto due = book.due(std::chrono::system_clock::now());  // T1
  if (!due) return std::unexpected(due.error());
  for (const DueSchedule& one : *due) {
    if (auto done = enqueue(one, book); !done) return done;
  }
  return {};
}

Result<void> Scheduler::enqueue(const DueSchedule& due, ScheduleBook& book) {
  const auto producer = participant();
  if (!producer) return std::unexpected(producer.error());
  const Schedule& schedule = due.schedule;
  const auto kind = engine_->kind(schedule.kind);
  if (!kind) return std::unexpected(kind.error());
  const auto level = engine_->level(schedule.level);
  if (!level) return std::unexpected(level.error());
  for (const TickTime tick : due.ticks) {
    const JobRequest request{
        .kind = *kind, .level = *level, .payload = as_payload(schedule.payload), .durability = Durability::durable};
    const auto job =
        (*producer)->enqueue_unique(request, unique_key_of(schedule.name, tick), unique_for, room_wait);  // T2
    if (!job) return std::unexpected(job.error());
    if (const auto marked = book.mark_ticked(schedule.name, tick); !marked)
      return std::unexpected(marked.error());  // T3
  }
  return {};
}

Result<Participant*> Scheduler::participant() {
  if (!engine_) {
    auto opened = Engine::open(directory_, {.embedded_keeper = false});
    if (!opened) return std::unexpected(opened.error());
    engine_ = std::move(*opened);
  }
  if (!participant_) {
    auto attached = engine_->attach(Role::producer);
    if (!attached) return std::unexpected(attached.error());
    participant_ = std::move(*attached);
  }
  return participant_.get();
}

}  // namespace ringmill
