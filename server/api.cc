#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/base64.h"
#include "core/base/exceptions.h"
#include "core/dead_letters/store.h"
#include "core/inspect/job_view.h"
#include "core/inspect/linked_jobs.h"
#include "core/schedules/schedule_book.h"
#include "ipc/directory.h"
#include "server/api_text.h"
#include "server/explanation.h"
#include "server/job_json.h"
#include "server/metrics_text.h"
#include "server/schedule_json.h"

namespace ringmill {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t default_rows = 50;
constexpr std::uint64_t most_rows = 500;
/// One request looks at no more cells: about 10 ms. The next page goes on behind them.
constexpr std::uint32_t most_cells_in_a_request = 100'000;
/// What is shown of a payload, unless all of it is asked for.
constexpr std::size_t payload_preview = 2048;

std::uint64_t rows_wanted(const HttpRequest& request) {
  return std::clamp<std::uint64_t>(number_in(request.parameter("limit")).value_or(default_rows), 1, most_rows);
}

constexpr const char* cursor_is_foreign = "the cursor is not of this engine";

/// The cell that a page begins with. Nothing: it is none of this table.
std::optional<CellIndex> cursor_of(const HttpRequest& request, const Segment& segment) {
  const std::string text = request.parameter("cursor");
  if (text.empty()) return CellIndex{0};
  const auto number = number_in(text);
  if (!number || *number > segment.geometry().capacity) return std::nullopt;
  return static_cast<CellIndex>(*number);
}

bool matches(const std::string& wanted, std::string_view found) { return wanted.empty() || wanted == found; }

/// Text if it is text, else base64; never parsed, so that nothing in it is changed.
void add_bytes(Json& json, const std::string& key, std::string_view bytes, bool whole) {
  const std::string_view shown_part = whole ? bytes : bytes.substr(0, payload_preview);
  std::string_view part = shown_part;
  // A cut in the middle of a character does not make a text binary.
  for (int n = 0; n < 3 && part.size() < bytes.size() && !part.empty() && !is_utf8(part); ++n) part.remove_suffix(1);
  if (is_utf8(part)) {
    json[key] = part;
  } else {
    part = shown_part;
    json[key + "_base64"] = to_base64(part);
  }
  json[key + "_cut"] = part.size() < bytes.size();
}

std::string_view as_text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A job that is linked with one that is shown.
Json linked_row(const Segment& segment, JobId id) {
  const auto found = find_job(segment, id);
  return {{"id", id.to_string()},
          {"state", found ? Json(name_of(found->state)) : Json()},
          {"kind", found && found->state != JobState::ended ? Json(found->kind) : Json()}};
}

Json parents_json(const Segment& segment, const JobInfo& info) {
  Json parents = Json::array();
  for (const JobId parent : info.parents) parents.push_back(linked_row(segment, parent));
  return parents;
}

Json letter_row(const DeadLetter& letter) {
  Json json = job_json(info_of(letter));
  json["cause"] = name_of(letter.cause);
  return json;
}

std::string etag_of(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("\"{:016x}\"", hash);
}

}  // namespace

HttpAnswer Api::answer(const HttpRequest& request) {
  try {
    return request.method == "POST" ? post(request) : get(request);
  } catch (const std::exception& thrown) {
    return error_answer(500, error_of(thrown).message());
  }
}

HttpAnswer Api::get(const HttpRequest& request) {
  constexpr std::string_view job_path = "/api/v1/jobs/";
  const std::string_view path = request.path;
  if (path == "/metrics") return metrics();
  if (path == "/healthz") return health();
  if (path == "/api/v1/look") return look();
  if (path == "/api/v1/history") return {.body = R"({"points":)" + sampler_.history() + "}\n"};
  if (path == "/api/v1/events") return events();
  if (path == "/api/v1/jobs") return jobs(request);
  if (path == "/api/v1/schedules") return schedules(request);
  constexpr std::string_view of_children = "/children";
  if (path.starts_with(job_path) && path.ends_with(of_children) && path.size() > job_path.size() + of_children.size()) {
    return children(request, path.substr(job_path.size(), path.size() - job_path.size() - of_children.size()));
  }
  if (path.starts_with(job_path)) return job(request, path.substr(job_path.size()));
  if (path == "/api/v1/dead") return dead_letters(request);
  if (path == "/api/v1/server") {
    return json_answer({{"version", RINGMILL_VERSION}, {"allows_actions", options_.allows_actions}});
  }
  return asset(request);
}

HttpAnswer Api::metrics() {
  const std::lock_guard lock(mutex_);
  const auto statistics = looker_.statistics();
  HttpAnswer answer{.content_type = metrics_content_type};
  answer.body =
      statistics ? metrics_text(*statistics, looker_.dead_letters(), RINGMILL_VERSION) : metrics_text_of_absence();
  return answer;
}

HttpAnswer Api::health() {
  const std::lock_guard lock(mutex_);
  const auto statistics = looker_.statistics();
  std::string trouble;
  if (!statistics) {
    trouble = "no engine";
  } else if (statistics->unlinked) {
    trouble = "the engine's memory was removed";
  } else if (!statistics->keeper.alive) {
    trouble = "no keeper lives";
  } else if (!statistics->keeper.trouble.empty()) {
    trouble = "the keeper, " + statistics->keeper.trouble;
  } else if (!statistics->journal.last_error.empty()) {
    trouble = "the journal does not work";
  }
  return {.status = trouble.empty() ? 200U : 503U,
          .body = json_text({{"healthy", trouble.empty()}, {"trouble", trouble.empty() ? Json() : Json(trouble)}})};
}

HttpAnswer Api::look() {
  auto json = sampler_.look();
  if (!json) {
    return error_answer(503, json.error().message());
  }
  return {.body = *std::move(json) + "\n"};
}

HttpAnswer Api::events() {
  auto stream = sampler_.listen();
  if (!stream) return error_answer(503, "too many viewers listen: 16 at most");
  stream->push(std::make_shared<const std::string>("retry: 3000\n\n"));
  HttpAnswer answer{.content_type = "text/event-stream"};
  answer.stream = std::move(stream);
  return answer;
}

HttpAnswer Api::jobs(const HttpRequest& request) {
  const std::lock_guard lock(mutex_);
  const auto view = looker_.view();
  if (!view) return error_answer(503, view.error().message());
  const Segment& segment = (*view)->segment();
  const std::uint32_t capacity = segment.geometry().capacity;
  const auto cursor = cursor_of(request, segment);
  if (!cursor) return error_answer(400, cursor_is_foreign);
  const std::string state = request.parameter("state");
  const std::string level = request.parameter("level");
  const std::string kind = request.parameter("kind");
  const std::string tag = request.parameter("tag");
  const std::uint64_t limit = rows_wanted(request);
  Json rows = Json::array();
  const auto look = segment.look();  // one for all of them
  const CellChunks chunks = segment.chunks();
  CellIndex index = *cursor;
  std::uint32_t looks = 0;
  for (; rows.size() < limit && looks < most_cells_in_a_request; ++index, ++looks) {
    index = chunks.next_there(index);
    if (index >= capacity) break;
    const auto found = view_job(segment, index);
    if (!found || !matches(state, name_of(found->info.state)) || !matches(level, found->info.level) ||
        !matches(kind, found->info.kind) || !matches(tag, found->info.tag)) {
      continue;
    }
    rows.push_back(job_json(found->info));
  }
  return json_answer({{"jobs", std::move(rows)}, {"next", index < capacity ? Json(std::to_string(index)) : Json()}});
}

HttpAnswer Api::job(const HttpRequest& request, std::string_view id_text) {
  const auto id = JobId::parse(id_text);
  if (!id) return error_answer(400, "a job id has 16 lower-case hexadecimal digits");
  const bool whole = request.parameter("payload") == "whole";
  const std::lock_guard lock(mutex_);
  const auto view = looker_.view();
  if (!view) return error_answer(503, view.error().message());
  const Segment& segment = (*view)->segment();
  const auto info = find_job(segment, *id);
  if (info && info->state != JobState::ended) {
    const auto found = view_job(segment, index_of(*id));
    if (found && found->info.id == *id) {
      Json json = job_json(found->info);
      json["explanation"] = explanation_of(**view, *found);
      json["parent_jobs"] = parents_json(segment, found->info);
      if (const auto payload = copy_payload(segment, *found)) {
        add_bytes(json, "payload", as_text_of(*payload), whole);
      }
      return json_answer(json);
    }
  }
  const auto directory = EngineFiles::open(options_.directory, EngineFiles::For::look);
  if (!directory) return error_answer(directory.error());
  const auto store = DeadLetterStore::open(directory->folder(), DeadLetterStore::Access::read_only);
  if (const auto letter = store ? store->find(*id) : std::unexpected(store.error())) {
    Json json = letter_row(*letter);
    json["explanation"] = explanation_of(*letter);
    add_bytes(json, "payload", as_text_of(letter->payload), whole);
    return json_answer(json);
  }
  if (!info) return error_answer(404, "no job ever had this id");
  JobInfo ended = *info;
  if (const auto job = store ? store->retried_as(*id) : std::nullopt; job && *job) ended.retried_as = **job;
  Json json = job_json(ended);
  json["explanation"] = explanation_of_ended(ended);
  return json_answer(json);
}

HttpAnswer Api::children(const HttpRequest& request, std::string_view id_text) {
  const auto id = JobId::parse(id_text);
  if (!id) return error_answer(400, "a job id has 16 lower-case hexadecimal digits");
  const std::lock_guard lock(mutex_);
  const auto view = looker_.view();
  if (!view) return error_answer(503, view.error().message());
  const Segment& segment = (*view)->segment();
  const auto cursor = cursor_of(request, segment);
  if (!cursor) return error_answer(400, cursor_is_foreign);
  const Children found = children_of(segment, *id, *cursor, rows_wanted(request), most_cells_in_a_request);
  Json rows = Json::array();
  for (const JobId child : found.ids) rows.push_back(linked_row(segment, child));
  return json_answer({{"jobs", std::move(rows)}, {"next", found.next ? Json(std::to_string(*found.next)) : Json()}});
}

HttpAnswer Api::schedules(const HttpRequest& request) {
  const std::lock_guard lock(mutex_);
  const auto directory = EngineFiles::open(options_.directory, EngineFiles::For::look);
  if (!directory) return error_answer(503, directory.error().message());
  // The requests of others wait meanwhile: a book that is being changed is asked again soon.
  ScheduleBook book(directory->folder(), std::chrono::milliseconds(200));
  const auto found = book.list_after(request.parameter("after"), rows_wanted(request));
  if (!found) return error_answer(found.error());
  const auto view = looker_.view();
  const ScheduleOutlook outlook(view ? &(*view)->segment() : nullptr);
  Json rows = Json::array();
  for (const Schedule& schedule : *found) {
    rows.push_back(schedule_json(schedule, outlook, false));
    rows.back()["times"] = times_text(schedule.times);
  }
  const bool may_be_more = found->size() == rows_wanted(request);
  return json_answer({{"schedules", std::move(rows)}, {"next", may_be_more ? Json(found->back().name) : Json()}});
}

HttpAnswer Api::dead_letters(const HttpRequest& request) {
  DeadLetterFilter filter;
  if (const std::string kind = request.parameter("kind"); !kind.empty()) filter.kind = kind;
  if (const std::string level = request.parameter("level"); !level.empty()) filter.level = level;
  if (const std::string tag = request.parameter("tag"); !tag.empty()) filter.tag = tag;
  if (const std::string cause = request.parameter("cause"); !cause.empty()) {
    filter.cause = death_cause_of(cause);
    if (!filter.cause) return error_answer(400, "no such cause");
  }
  const std::lock_guard lock(mutex_);
  const auto directory = EngineFiles::open(options_.directory, EngineFiles::For::look);
  if (!directory) return error_answer(503, directory.error().message());
  const auto store = DeadLetterStore::open(directory->folder(), DeadLetterStore::Access::read_only);
  Json rows = Json::array();
  if (!store && store.error().code() == ErrorCode::not_found) return json_answer({{"letters", rows}, {"more", false}});
  if (!store) return error_answer(store.error());
  const std::uint64_t limit = rows_wanted(request);
  bool more = false;
  const auto listed = store->list(filter, DeadLetterStore::Order::newest_first, [&](const DeadLetter& letter) {
    more = rows.size() == limit;
    if (!more) rows.push_back(letter_row(letter));
    return !more;
  });
  if (!listed) return error_answer(listed.error());
  return json_answer({{"letters", std::move(rows)}, {"more", more}});
}

HttpAnswer Api::asset(const HttpRequest& request) {
  const Asset* const found = built_in_asset(request.path);
  if (found == nullptr) return error_answer(404, "nothing here");
  std::string text(found->text);
  if (!options_.assets.empty()) {
    const auto folder = Directory::open(options_.assets, Directory::Links::followed);
    const std::string name = request.path == "/" ? "index.html" : request.path.substr(request.path.rfind('/') + 1);
    const auto file =
        folder ? folder->read_small_file(name, Directory::Owners::let_in) : std::unexpected(folder.error());
    if (!file) return error_answer(file.error());
    text = *file;
  }
  HttpAnswer answer{.content_type = std::string(found->content_type)};
  if (answer.content_type.starts_with("text/")) answer.content_type += "; charset=utf-8";
  answer.is_asset = true;
  answer.etag = etag_of(text);
  if (request.if_none_match == answer.etag) {
    answer.status = 304;
  } else {
    answer.body = std::move(text);
  }
  return answer;
}

}  // namespace ringmill
