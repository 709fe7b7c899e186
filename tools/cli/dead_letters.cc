#include "tools/cli/dead_letters.h"

#include <nlohmann/json.hpp>

#include "core/base/base64.h"
#include "core/base/values.h"
#include "core/instance/engine_files.h"
#include "server/job_json.h"
#include "tools/cli/job_options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

using Json = nlohmann::ordered_json;

Result<std::optional<DeadLetterStore>> open_dead_letters_to_read(const std::filesystem::path& path) {
  const auto directory = EngineFiles::open(path, EngineFiles::For::look);
  if (!directory) return std::unexpected(directory.error());
  auto store = DeadLetterStore::open(directory->folder(), DeadLetterStore::Access::read_only);
  if (store) return std::optional<DeadLetterStore>(*std::move(store));
  if (store.error().code() == ErrorCode::not_found) return std::optional<DeadLetterStore>();
  return std::unexpected(store.error());
}

Result<std::optional<DeadLetter>> find_dead_letter(const std::filesystem::path& path, JobId id) {
  const auto store = open_dead_letters_to_read(path);
  if (!store) return std::unexpected(store.error());
  if (!*store) return std::nullopt;
  auto letter = (*store)->find(id);
  if (letter) return *std::move(letter);
  if (letter.error().code() == ErrorCode::not_found) return std::nullopt;
  return std::unexpected(letter.error());
}

Result<std::optional<DeadLetter>> look_for_letter(std::string_view command, const std::filesystem::path& path,
                                                  JobId id) {
  auto letter = find_dead_letter(path, id);
  if (letter || letter.error().code() != ErrorCode::permission_denied) return letter;
  fail(command, exit_done, "cannot tell whether the job has a dead letter: " + letter.error().message());
  return std::nullopt;
}

JobId retried_as(const std::filesystem::path& directory, JobId id) {
  const auto store = open_dead_letters_to_read(directory);
  if (!store || !*store) return {};
  const auto job = (*store)->retried_as(id);
  return job && *job ? **job : JobId();
}

std::string payload_of(const DeadLetter& letter) { return std::string(as_text(letter.payload)); }

Json letter_json(const DeadLetter& letter) {
  Json json = job_json(info_of(letter));
  json["last_error"] = letter.last_error;
  if (letter.payload_cut_from != 0) json["payload_kept"] = letter.payload.size();
  return json;
}

void add_payload(Json& json, const std::string& payload) {
  if (is_utf8(payload)) {
    json["payload"] = payload;
  } else {
    json["payload_base64"] = to_base64(payload);
  }
}

Json export_json(const DeadLetter& letter) {
  Json json;
  json["kind"] = letter.kind;
  json["level"] = letter.level;
  if (letter.lease.count() != 0) json["timeout"] = format_duration(letter.lease);
  json["max_attempts"] = letter.max_attempts;
  if (!letter.backoff.empty()) json["backoff"] = letter.backoff;
  if (letter.keep_result.count() != 0) json["keep_result"] = format_duration(letter.keep_result);
  if (letter.bury_when_worker_lost) json["on_worker_lost"] = name_of(OnWorkerLost::bury);
  if (!letter.tag.empty() && is_utf8(letter.tag)) json["tag"] = letter.tag;
  if (!letter.trace_parent.empty()) json["traceparent"] = letter.trace_parent;
  add_payload(json, payload_of(letter));
  Json& dead = json["dead"];
  dead["id"] = letter.id.to_string();
  dead["cause"] = name_of(letter.cause);
  dead["attempts"] = letter.attempts;
  dead["enqueued_at"] = time_json(letter.enqueued_at);
  dead["died_at"] = time_json(letter.died_at);
  dead["worker"] = letter.worker >= 0 ? Json(letter.worker) : Json();
  dead["last_error"] = letter.last_error;
  if (letter.payload_cut_from != 0) dead["payload_cut_from"] = letter.payload_cut_from;
  return json;
}

}  // namespace ringmill::cli
