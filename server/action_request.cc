#include "server/action_request.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace ringmill {

namespace {

using Json = nlohmann::ordered_json;
using What = PauseAsked::What;

std::optional<std::string> text_in(const Json& json, const char* key) {
  if (!json.contains(key) || !json[key].is_string()) return std::nullopt;
  return json[key].get<std::string>();
}

Result<LetterChoice> choice_of(const std::string& body) {
  const auto refused = [](const char* why) { return std::unexpected(Error(ErrorCode::invalid_argument, why)); };
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return refused("the body is a JSON object");
  for (const auto& [key, value] : json.items()) {
    constexpr std::array<std::string_view, 6> known{"id", "kind", "level", "cause", "tag", "all"};
    if (std::ranges::find(known, key) == known.end()) return refused("a key that is not known");
    if (key == "all" ? !value.is_boolean() : !value.is_string()) return refused("a value of another type");
  }
  LetterChoice choice;
  if (const auto id = text_in(json, "id")) {
    choice.id = JobId::parse(*id);
    if (!choice.id || json.size() != 1) return refused("id is a job id of 16 digits, and stands alone");
    return choice;
  }
  choice.filter.kind = text_in(json, "kind");
  choice.filter.tag = text_in(json, "tag");
  choice.filter.level = text_in(json, "level");
  if (const auto cause = text_in(json, "cause")) {
    choice.filter.cause = death_cause_of(*cause);
    if (!choice.filter.cause) return refused("no such cause");
  }
  const bool all = json.contains("all") && json["all"].get<bool>();
  const bool has_filter = choice.filter.kind || choice.filter.level || choice.filter.cause || choice.filter.tag;
  if (all == has_filter) return refused("say which: id, or kind, level, cause or tag, or all");
  return choice;
}

/// What stands between the two in a path; nothing: it is another path.
std::optional<std::string> between(std::string_view path, std::string_view begin, std::string_view end) {
  if (path.size() <= begin.size() + end.size() || !path.starts_with(begin) || !path.ends_with(end)) return std::nullopt;
  return std::string(path.substr(begin.size(), path.size() - begin.size() - end.size()));
}

}  // namespace

const char* name_of(What what) noexcept {
  switch (what) {
    case What::level:
      return "levels";
    case What::kind:
      return "kinds";
    case What::schedule:
      break;
  }
  return "schedules";
}

Result<ActionAsked> action_asked_by(const HttpRequest& request) {
  const std::string_view path = request.path;
  if (path == "/api/v1/dead/retry" || path == "/api/v1/dead/purge") {
    auto letters = choice_of(request.body);
    if (!letters) return std::unexpected(letters.error());
    if (path.ends_with("retry")) return RetryAsked{*std::move(letters)};
    return PurgeAsked{*std::move(letters)};
  }
  if (const auto id_text = between(path, "/api/v1/jobs/", "/cancel")) {
    const auto id = JobId::parse(*id_text);
    if (id) return CancelAsked{*id};
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a job id has 16 lower-case hexadecimal digits", "this one has not"));
  }
  for (const What what : {What::level, What::kind, What::schedule}) {
    const std::string begin = std::string("/api/v1/") + name_of(what) + "/";
    for (const bool pauses : {true, false}) {
      if (auto name = between(path, begin, pauses ? "/pause" : "/resume")) {
        return PauseAsked{.what = what, .name = *std::move(name), .pauses = pauses};
      }
    }
  }
  return std::unexpected(Error(ErrorCode::not_found, "nothing here"));
}

}  // namespace ringmill
