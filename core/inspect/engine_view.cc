#include "core/inspect/engine_view.h"

#include <nlohmann/json.hpp>

#include "core/inspect/statistics_view.h"
#include "core/inspect/status_view.h"
#include "ipc/registry.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

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

}  // namespace ringmill
