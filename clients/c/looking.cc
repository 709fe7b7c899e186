// What is known of a job, and of an engine.
#include <chrono>
#include <utility>

#include <ringmill/status.h>

#include "clients/c/codes.h"
#include "clients/c/handles.h"

using ringmill::EngineStatus;
using ringmill::JobId;
using ringmill::JobInfo;
using ringmill::LevelStatus;
using ringmill::Result;
using ringmill::c::bytes_of;
using ringmill::c::give;
using ringmill::c::guarded;
using ringmill::c::number_of;
using ringmill::c::report;

struct rm_job {
  JobInfo info;
};

struct rm_status {
  EngineStatus status;
};

namespace {

std::int64_t unix_ms(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

rm_code hand_out(Result<JobInfo> info, rm_job** job, rm_error* error) {
  if (job == nullptr) return report(error, RM_INVALID_ARGUMENT, "the place for the job is NULL");
  *job = nullptr;
  if (!info) return report(error, info.error());
  *job = new rm_job{*std::move(info)};
  return RM_OK;
}

}  // namespace

rm_code rm_look(const rm_engine* engine, rm_id id, rm_job** job, rm_error* error) {
  return guarded(error, [&] { return hand_out(engine->engine.job(JobId(id)), job, error); });
}

rm_code rm_wait(const rm_engine* engine, rm_id id, int64_t wait_ns, rm_job** job, rm_error* error) {
  return guarded(error,
                 [&] { return hand_out(engine->engine.wait(JobId(id), ringmill::c::wait_of(wait_ns)), job, error); });
}

rm_code rm_job_read(const rm_job* job, rm_job_fields* fields) {
  const JobInfo& info = job->info;
  const rm_job_fields known{.size = 0,
                            .state = number_of(info.state),
                            .cause = info.cause ? number_of(*info.cause) : std::uint32_t{RM_CAUSE_NONE},
                            .attempts = info.attempts,
                            .max_attempts = info.max_attempts,
                            .payload_size = info.payload_size,
                            .worker = info.worker,
                            .result_cut = info.result_cut ? 1U : 0U,
                            .id = info.id.value(),
                            .enqueued_unix_ms = unix_ms(info.enqueued_at),
                            .started_unix_ms = unix_ms(info.started_at),
                            .ended_unix_ms = unix_ms(info.ended_at),
                            .due_unix_ms = unix_ms(info.due_at),
                            .progress = info.progress,
                            .kind = bytes_of(info.kind),
                            .level = bytes_of(info.level),
                            .last_error = bytes_of(info.last_error),
                            .result = bytes_of(info.result),
                            .progress_text = bytes_of(info.progress_text),
                            .retried_as = info.retried_as.value(),
                            .retried_from = info.retried_from.value(),
                            .tag = bytes_of(info.tag),
                            .trace_parent = bytes_of(info.trace_parent)};
  return fields != nullptr && give(fields, fields->size, known) ? RM_OK : RM_INVALID_ARGUMENT;
}

void rm_job_free(rm_job* job) { delete job; }

rm_code rm_look_at_engine(const rm_engine* engine, rm_status** status, rm_error* error) {
  return guarded(error, [&] {
    *status = nullptr;
    *status = new rm_status{engine->engine.status()};
    return rm_code{RM_OK};
  });
}

rm_code rm_status_read(const rm_status* status, rm_status_fields* fields) {
  const EngineStatus& engine = status->status;
  const rm_status_fields known{.size = 0,
                               .layout_version = engine.layout_version,
                               .capacity = engine.capacity,
                               .level_count = static_cast<std::uint32_t>(engine.levels.size()),
                               .participant_count = static_cast<std::uint32_t>(engine.participants.size()),
                               .keeper_pid = engine.keeper_alive ? engine.keeper_pid : 0,
                               .cells_used = engine.cells_used,
                               .memory_bytes = engine.memory_bytes,
                               .enqueued = engine.totals.enqueued,
                               .completed = engine.totals.completed,
                               .failed = engine.totals.failed,
                               .dead = engine.totals.dead,
                               .worker_lost = engine.totals.worker_lost};
  return fields != nullptr && give(fields, fields->size, known) ? RM_OK : RM_INVALID_ARGUMENT;
}

rm_code rm_status_level(const rm_status* status, uint32_t index, rm_level_fields* fields) {
  if (index >= status->status.levels.size()) return RM_NOT_FOUND;
  const LevelStatus& level = status->status.levels[index];
  const rm_level_fields known{.size = 0,
                              .level = static_cast<std::uint32_t>(level.level),
                              .weight = level.weight,
                              .paused = level.paused ? 1U : 0U,
                              .queued = level.queued,
                              .delayed = level.delayed,
                              .blocked = level.blocked,
                              .running = level.running,
                              .name = bytes_of(level.name)};
  return fields != nullptr && give(fields, fields->size, known) ? RM_OK : RM_INVALID_ARGUMENT;
}

void rm_status_free(rm_status* status) { delete status; }
