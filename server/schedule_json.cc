#include "server/schedule_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <variant>

#include "core/base/durations.h"
#include "core/base/values.h"
#include "core/levels/dynamic_levels.h"
#include "server/job_json.h"

namespace ringmill {

using Json = nlohmann::ordered_json;

ScheduleOutlook::ScheduleOutlook(const Segment* segment)
    : now_(std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now())), segment_(segment) {}

bool ScheduleOutlook::lacks_level(const Schedule& schedule) const {
  return segment_ != nullptr && !find_level(*segment_, schedule.level);
}

std::optional<TickTime> ScheduleOutlook::next_tick(const Schedule& schedule) const {
  return lacks_level(schedule) ? std::nullopt : coming_tick(schedule, now_);
}

std::string ScheduleOutlook::trouble(const Schedule& schedule) const {
  if (const auto* broken = std::get_if<BrokenTimes>(&schedule.times)) return broken->reason;
  if (lacks_level(schedule)) return "there is no level " + schedule.level;
  if (schedule.paused) return "";
  if (lies_ahead(schedule, now_)) {
    return fmt::format("the clock was set back: no tick until it is {} again, unless it is resumed",
                       format_time(schedule.done_until()));
  }
  if (!coming_tick(schedule, now_)) return "no tick within fifty years";
  if (!schedule.failing_since) return "";
  return fmt::format("fails since {}: {}", format_time(*schedule.failing_since), schedule.last_error);
}

std::string times_text(const TickTimes& times) {
  if (const auto* cron = std::get_if<CronTimes>(&times)) return cron->cron.text() + " " + cron->zone.name();
  if (const auto* every = std::get_if<EveryTimes>(&times)) return "every " + format_duration(every->interval);
  const auto& broken = std::get<BrokenTimes>(times);
  return broken.cron + " " + broken.zone;
}

nlohmann::ordered_json schedule_json(const Schedule& schedule, const ScheduleOutlook& outlook, bool with_payload) {
  const auto time = [](const std::optional<TickTime>& tick) { return tick ? Json(format_time(*tick)) : Json(); };
  Json json{{"name", schedule.name}, {"cron", nullptr}, {"zone", nullptr}, {"every", nullptr}};
  if (const auto* cron = std::get_if<CronTimes>(&schedule.times)) {
    json["cron"] = cron->cron.text();
    json["zone"] = cron->zone.name();
  } else if (const auto* every = std::get_if<EveryTimes>(&schedule.times)) {
    json["every"] = format_duration(every->interval);
  } else {
    const auto& broken = std::get<BrokenTimes>(schedule.times);
    json["cron"] = broken.cron;
    json["zone"] = broken.zone;
    json["error"] = broken.reason;
  }
  json["kind"] = schedule.kind;
  json["level"] = schedule.level;
  if (with_payload) put_bytes(json, "payload", schedule.payload);
  json["missed"] = name_of(schedule.missed);
  json["timeout"] = schedule.job.lease.count() != 0 ? Json(format_duration(schedule.job.lease)) : Json();
  json["max_attempts"] = schedule.job.max_attempts;
  json["backoff"] = schedule.job.backoff.empty() ? Json() : Json(schedule.job.backoff);
  json["expires"] = schedule.job.expires.count() != 0 ? Json(format_duration(schedule.job.expires)) : Json();
  json["no_overlap"] = schedule.job.no_overlap;
  if (!schedule.job.tag.empty()) json["tag"] = schedule.job.tag;
  json["paused"] = schedule.paused;
  json["created_at"] = format_time(schedule.created_at);
  json["last_tick"] = time(schedule.last_tick);
  json["next_tick"] = time(outlook.next_tick(schedule));
  const std::string trouble = outlook.trouble(schedule);
  json["trouble"] = trouble.empty() ? Json() : Json(trouble);
  json["last_error"] = schedule.last_error.empty() ? Json() : Json(schedule.last_error);
  json["failing_since"] = time(schedule.failing_since);
  return json;
}

}  // namespace ringmill
