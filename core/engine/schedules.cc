#include <ringmill/schedules.h>

#include <utility>

#include <ringmill/engine.h>

#include "core/base/exceptions.h"
#include "core/base/kinds.h"
#include "core/engine/core_of.h"
#include "core/levels/level_names.h"
#include "core/retry/retry_policies.h"
#include "core/schedules/schedule_book.h"

namespace ringmill {

namespace {

using std::chrono::system_clock;

Result<TickTimes> times_of(const ScheduledJob& job) {
  if (job.cron.empty() == (job.every.count() == 0)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a schedule has a cron expression or an interval"));
  }
  if (job.cron.empty()) return EveryTimes{job.every};
  auto cron = Cron::parse(job.cron);
  if (!cron) return std::unexpected(cron.error());
  auto zone = Zone::load(job.zone);
  if (!zone) return std::unexpected(zone.error());
  return CronTimes{*std::move(cron), *std::move(zone)};
}

ScheduledJob job_of(const Schedule& schedule) {
  ScheduledJob job{.name = schedule.name};
  if (const auto* cron = std::get_if<CronTimes>(&schedule.times)) {
    job.cron = cron->cron.text();
    job.zone = cron->zone.name();
  } else if (const auto* every = std::get_if<EveryTimes>(&schedule.times)) {
    job.every = every->interval;
  } else {
    job.cron = std::get<BrokenTimes>(schedule.times).cron;
    job.zone = std::get<BrokenTimes>(schedule.times).zone;
  }
  job.kind = schedule.kind;
  job.level = schedule.level;
  job.payload = schedule.payload;
  job.missed = schedule.missed;
  job.lease = schedule.job.lease;
  job.max_attempts = schedule.job.max_attempts;
  job.backoff = schedule.job.backoff;
  job.expires = schedule.job.expires;
  job.no_overlap = schedule.job.no_overlap;
  job.tag = schedule.job.tag;
  return job;
}

}  // namespace

class Schedules::Implementation {
 public:
  explicit Implementation(std::shared_ptr<EngineCore> engine)
      : engine_(std::move(engine)), book_(engine_->directory.folder()) {}

  ScheduleBook& book() noexcept { return book_; }

  /// What is stored of a job, after a look whether the engine can take it.
  Result<Schedule> schedule_of(const ScheduledJob& job) {
    const Segment& segment = engine_->segment;
    auto times = times_of(job);
    if (!times) return std::unexpected(times.error());
    const auto level = level_name_of(job);
    if (!level) return std::unexpected(level.error());
    if (job.payload.size() > segment.geometry().max_payload) {
      return std::unexpected(Error(ErrorCode::too_large, "the payload is too long for this engine",
                                   std::to_string(job.payload.size()) + " bytes"));
    }
    if (!job.backoff.empty()) {
      if (const auto policy = RetryPolicies::intern(segment, job.backoff); !policy) {
        return std::unexpected(policy.error());
      }
    }
    if (const auto kind = intern_kind(segment, job.kind); !kind) return std::unexpected(kind.error());
    Schedule schedule{.name = job.name, .times = *std::move(times)};
    schedule.kind = job.kind;
    schedule.level = *level;
    schedule.payload = job.payload;
    schedule.missed = job.missed;
    schedule.job = {.lease = job.lease,
                    .max_attempts = job.max_attempts,
                    .backoff = job.backoff,
                    .expires = job.expires,
                    .no_overlap = job.no_overlap,
                    .tag = job.tag};
    return schedule;
  }

  ScheduleInfo info_of(const Schedule& schedule) const {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(system_clock::now());
    ScheduleInfo info{.job = job_of(schedule), .paused = schedule.paused, .created_at = schedule.created_at};
    if (schedule.last_tick) info.last_tick = *schedule.last_tick;
    const bool has_level = find_level(engine_->segment, schedule.level).has_value();
    if (const auto next = has_level ? coming_tick(schedule, now) : std::nullopt) info.next_tick = *next;
    if (const auto* broken = std::get_if<BrokenTimes>(&schedule.times)) {
      info.trouble = broken->reason;
    } else if (!has_level) {
      info.trouble = "there is no level " + schedule.level;
    } else if (schedule.failing_since) {
      info.trouble = schedule.last_error;
    }
    return info;
  }

 private:
  Result<std::string> level_name_of(const ScheduledJob& job) const {
    const Segment& segment = engine_->segment;
    if (!job.level.empty()) {
      const auto level = level_named(segment, job.level);
      return level ? Result<std::string>(job.level)
                   : std::unexpected(Error(ErrorCode::invalid_argument, "no such level", level.error().message()));
    }
    const std::uint32_t number = default_level(segment);
    if (number < segment.geometry().level_count) return level_name(segment, number);
    return std::unexpected(Error(ErrorCode::invalid_argument, "a schedule of this engine has to name its level"));
  }

  std::shared_ptr<EngineCore> engine_;
  ScheduleBook book_;
};

Schedules::Schedules(const Engine& engine) : implementation_(std::make_unique<Implementation>(core_of(engine))) {}
Schedules::Schedules(Schedules&&) noexcept = default;
Schedules& Schedules::operator=(Schedules&&) noexcept = default;
Schedules::~Schedules() = default;

Result<void> Schedules::put(const ScheduledJob& job) try {
  const auto schedule = implementation_->schedule_of(job);
  if (!schedule) return std::unexpected(schedule.error());
  return implementation_->book().put(*schedule, system_clock::now());
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Schedules::add(const ScheduledJob& job) try {
  if (implementation_->book().find(job.name)) return std::unexpected(ScheduleBook::is_there_already(job.name));
  const auto schedule = implementation_->schedule_of(job);
  if (!schedule) return std::unexpected(schedule.error());
  return implementation_->book().add(*schedule, system_clock::now());
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::vector<ScheduleInfo>> Schedules::list() try {
  const auto schedules = implementation_->book().list();
  if (!schedules) return std::unexpected(schedules.error());
  std::vector<ScheduleInfo> infos;
  for (const Schedule& schedule : *schedules) infos.push_back(implementation_->info_of(schedule));
  return infos;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<ScheduleInfo> Schedules::find(std::string_view name) try {
  const auto schedule = implementation_->book().find(name);
  if (!schedule) return std::unexpected(schedule.error());
  return implementation_->info_of(*schedule);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Schedules::remove(std::string_view name) try {
  return implementation_->book().remove(name);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Schedules::pause(std::string_view name) try {
  return implementation_->book().pause(name);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Schedules::resume(std::string_view name) try {
  return implementation_->book().resume(name, system_clock::now());
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

}  // namespace ringmill
