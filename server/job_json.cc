#include "server/job_json.h"

#include <nlohmann/json.hpp>

#include "core/base/base64.h"
#include "core/base/shown_text.h"
#include "core/base/values.h"

namespace ringmill {

using Json = nlohmann::ordered_json;

namespace {

bool is_moment(std::chrono::system_clock::time_point time) { return time.time_since_epoch().count() != 0; }

}  // namespace

std::string time_text(std::chrono::system_clock::time_point time, std::string_view none) {
  return is_moment(time) ? format_time(time) : std::string(none);
}

nlohmann::ordered_json time_json(std::chrono::system_clock::time_point time) {
  if (!is_moment(time)) return nullptr;
  return format_time(time);
}

bool has_progress(const JobInfo& info) noexcept { return info.progress != 0 || !info.progress_text.empty(); }

nlohmann::ordered_json job_json(const JobInfo& info) {
  const bool known = info.state != JobState::ended;
  const auto if_known = [known](auto value) { return known ? Json(value) : Json(); };
  Json json;
  json["id"] = info.id.to_string();
  json["kind"] = if_known(info.kind);
  json["level"] = if_known(info.level);
  json["state"] = name_of(info.state);
  json["attempts"] = if_known(info.attempts);
  json["max_attempts"] = info.max_attempts != 0 ? Json(info.max_attempts) : Json();
  json["payload_size"] = if_known(info.payload_size);
  json["enqueued_at"] = time_json(info.enqueued_at);
  json["started_at"] = time_json(info.started_at);
  json["ended_at"] = time_json(info.ended_at);
  json["worker"] = info.worker >= 0 ? Json(info.worker) : Json();
  json["last_error"] = info.last_error.empty() ? Json() : Json(info.last_error);
  const bool has_result = info.state == JobState::completed;
  json["result"] = has_result && is_utf8(info.result) ? Json(info.result) : Json();
  if (has_result && !is_utf8(info.result)) json["result_base64"] = to_base64(info.result);
  if (info.result_cut) {
    json["result_cut"] = true;
    json["result_refused"] = reason_of(info.result_refused);
  }
  if (info.evicted) json["evicted"] = true;
  json["due_at"] = time_json(info.due_at);
  if (!info.parents.empty()) {
    for (const JobId parent : info.parents) json["parents"].push_back(parent.to_string());
  }
  if (info.parent_count > info.parents.size()) json["parent_count"] = info.parent_count;
  json["progress"] = has_progress(info) ? Json{{"number", info.progress}, {"text", info.progress_text}} : Json();
  if (!info.tag.empty()) put_bytes(json, "tag", info.tag);
  if (!info.trace_parent.empty()) json["traceparent"] = info.trace_parent;
  if (info.retried_from) json["retried_from"] = info.retried_from.to_string();
  if (info.cause) json["cause"] = name_of(*info.cause);
  if (info.retried_as) json["retried_as"] = info.retried_as.to_string();
  return json;
}

void put_bytes(nlohmann::ordered_json& json, std::string_view name, const std::string& bytes) {
  const std::string key(name);
  json[is_utf8(bytes) ? key : key + "_base64"] = is_utf8(bytes) ? bytes : to_base64(bytes);
}

nlohmann::ordered_json totals_json(const Totals& totals) {
  return {{"enqueued", totals.enqueued},
          {"completed", totals.completed},
          {"failed", totals.failed},
          {"retried", totals.retried},
          {"dead", totals.dead},
          {"worker_lost", totals.worker_lost},
          {"lease_expired", totals.lease_expired},
          {"cancelled", totals.cancelled}};
}

}  // namespace ringmill
