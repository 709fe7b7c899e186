#include "tools/cli/view.h"

#include <nlohmann/json.hpp>

#include "core/inspect/statistics_view.h"
#include "core/inspect/status_view.h"
#include "ipc/registry.h"
#include "tools/cli/base64.h"
#include "tools/cli/output.h"
#include "tools/cli/values.h"

namespace ringmill::cli {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

bool is_moment(std::chrono::system_clock::time_point time) { return time.time_since_epoch().count() != 0; }

std::string id_in(const Directory& folder) {
  const auto text = folder.read_small_file(configuration_file, Directory::Owners::let_in);
  if (!text) return {};
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains("id") || !json["id"].is_string()) return {};
  const std::string id = json["id"].get<std::string>();
  return JobId::parse(id) ? id : "";  // it becomes part of a path
}

/// The segment's file in a folder.
Result<fs::path> find_segment(const Directory& folder, const fs::path& directory) {
  std::string id = id_in(folder);
  if (id.empty() && !directory.empty()) {
    if (const auto engine = Directory::open(directory, Directory::Links::followed)) id = id_in(*engine);
  }
  if (!id.empty()) return folder.path_of("ringmill-" + id);
  fs::path found;
  const auto names = folder.names();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    constexpr std::string_view prefix = "ringmill-";
    if (!name.starts_with(prefix) || !JobId::parse(name.substr(prefix.size()))) continue;
    if (!found.empty()) {
      return std::unexpected(Error(ErrorCode::invalid_argument, "the folder holds several segments",
                                   folder.path().string() + "; name one of the files"));
    }
    found = folder.path_of(name);
  }
  if (!found.empty()) return found;
  return std::unexpected(
      Error(ErrorCode::not_found, "no segment here", folder.path().string() + "; expected a file named ringmill-ID"));
}

}  // namespace

Result<EngineView> EngineView::open(const fs::path& path) {
  auto directory = EngineFiles::open(path, EngineFiles::For::look);
  if (!directory) return std::unexpected(directory.error());
  auto segment = directory->open_segment_to_read();
  if (!segment) {
    const ErrorCode code = segment.error().code();
    if (code != ErrorCode::not_found && code != ErrorCode::stale) return std::unexpected(segment.error());
    const bool is_gone = code == ErrorCode::not_found;
    return std::unexpected(
        Error(code,
              is_gone ? "the engine's shared memory is gone (a reboot, or its file was removed)"
                      : "the engine's shared memory is out of date",
              (is_gone ? directory->segment_path().string() : segment.error().message()) +
                  "; the next enqueue, worker or keeper makes it anew from the journal; so does `ringmill recover`"));
  }
  auto probe = directory->open_locks_to_look();
  if (!probe) return std::unexpected(probe.error());
  return EngineView(std::move(*segment), std::move(*directory), std::move(*probe));
}

Result<EngineView> EngineView::open_copy(const fs::path& from, const fs::path& directory) {
  fs::path file = from;
  if (const auto folder = Directory::open(from, Directory::Links::followed)) {
    auto found = find_segment(*folder, directory);
    if (!found) return std::unexpected(found.error());
    file = *found;
  }
  auto segment = Segment::open_copy(file);
  if (!segment) return std::unexpected(segment.error());
  return EngineView(std::move(*segment), std::nullopt, File());
}

std::optional<bool> EngineView::is_alive(std::uint32_t participant) const noexcept {
  if (is_copy()) return std::nullopt;
  return !DeathProbe(segment_, probe_).is_dead(participant);
}

EngineStatus EngineView::status() const {
  EngineStatus status = view_status(segment_, [this](std::uint32_t n) { return is_alive(n).value_or(false); });
  status.engine_id = JobId(segment_.header().engine_id.load()).to_string();
  if (directory_) {
    status.path = directory_->path().string();
    status.journal.limit = directory_->journal_geometry().limit();
  }
  return status;
}

EngineStatistics EngineView::statistics() const {
  EngineStatistics statistics =
      view_statistics(segment_, [this](std::uint32_t n) { return is_alive(n).value_or(false); });
  if (directory_) {
    statistics.path = directory_->path().string();
    statistics.journal.limit = directory_->journal_geometry().limit();
  }
  return statistics;
}

Result<void> EngineView::check_memory() const {
  if (directory_) return directory_->check_memory(segment_);
  return {};
}

bool EngineView::is_at_rest() const noexcept {
  bool at_rest = true;
  for_each_entry_in_use(segment_, [&at_rest](std::uint32_t, ParticipantState) { at_rest = false; });
  return at_rest;
}

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
  if (info.result_cut) json["result_cut"] = true;
  json["due_at"] = time_json(info.due_at);
  if (!info.parents.empty()) {
    for (const JobId parent : info.parents) json["parents"].push_back(parent.to_string());
  }
  if (info.parent_count > info.parents.size()) json["parent_count"] = info.parent_count;
  json["progress"] = has_progress(info) ? Json{{"number", info.progress}, {"text", info.progress_text}} : Json();
  if (info.cause) json["cause"] = name_of(*info.cause);
  return json;
}

}  // namespace ringmill::cli
