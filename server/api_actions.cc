// What POST does. Each action is one call on the engine, opened for it, and one line in the log with the asker.
#include <algorithm>
#include <array>

#include <ringmill/engine.h>

#include "core/base/log.h"
#include "core/dead_letters/store.h"
#include "core/engine/letter_retry.h"
#include "core/instance/engine_files.h"
#include "server/api.h"
#include "server/api_text.h"

namespace ringmill {

namespace {

using Json = nlohmann::ordered_json;

/// Letters of one request; the page asks again, and shows how far it is.
constexpr std::uint64_t most_letters_in_a_request = 1'000;

void log_action(const HttpRequest& request, std::string_view what, std::string_view came_to) {
  log().info("serve: {}, asked by {}: {}", shown(what), shown(request.peer), shown(came_to));
}

template <class Done>
HttpAnswer answer_of(const HttpRequest& request, const std::string& what, const Done& done, const Json& json) {
  log_action(request, what, done ? "done" : done.error().message());
  return done ? json_answer(json) : error_answer(done.error());
}

/// The letters that a request means: {"id": ...}, or any of kind, level and cause, or {"all": true}.
struct LetterChoice {
  std::optional<JobId> id;
  DeadLetterFilter filter;
};

std::optional<std::string> text_in(const Json& json, const char* key) {
  if (!json.contains(key) || !json[key].is_string()) return std::nullopt;
  return json[key].get<std::string>();
}

Result<LetterChoice> choice_of(const HttpRequest& request) {
  const auto refused = [](const char* why) { return std::unexpected(Error(ErrorCode::invalid_argument, why)); };
  const Json json = Json::parse(request.body, nullptr, false);
  if (!json.is_object()) return refused("the body is a JSON object");
  for (const auto& [key, value] : json.items()) {
    constexpr std::array<std::string_view, 5> known{"id", "kind", "level", "cause", "all"};
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
  choice.filter.level = text_in(json, "level");
  if (const auto cause = text_in(json, "cause")) {
    choice.filter.cause = death_cause_of(*cause);
    if (!choice.filter.cause) return refused("no such cause");
  }
  const bool all = json.contains("all") && json["all"].get<bool>();
  const bool has_filter = choice.filter.kind || choice.filter.level || choice.filter.cause;
  if (all == has_filter) return refused("say which: id, or kind, level or cause, or all");
  return choice;
}

Result<DeadLetterStore> open_store(const EngineFiles& files) {
  return DeadLetterStore::open(files.folder(), DeadLetterStore::Access::read_write);
}

/// The oldest letters of a choice, as many as one request takes. `more`: there are others.
struct Letters {
  std::vector<DeadLetter> letters;
  bool more = false;
};
Result<Letters> letters_of(const DeadLetterStore& store, const LetterChoice& choice) {
  Letters found;
  if (choice.id) {
    auto letter = store.find(*choice.id);
    if (!letter) return std::unexpected(letter.error());
    found.letters.push_back(*std::move(letter));
    return found;
  }
  const auto listed = store.list(choice.filter, DeadLetterStore::Order::oldest_first, [&](const DeadLetter& letter) {
    found.more = found.letters.size() == most_letters_in_a_request;
    if (!found.more) found.letters.push_back(letter);
    return !found.more;
  });
  if (!listed) return std::unexpected(listed.error());
  return found;
}

}  // namespace

HttpAnswer Api::post(const HttpRequest& request) {
  const std::string_view path = request.path;
  if (path == "/api/v1/dead/retry") return retry(request);
  if (path == "/api/v1/dead/purge") return purge(request);
  constexpr std::string_view jobs = "/api/v1/jobs/";
  constexpr std::string_view cancels = "/cancel";
  if (path.starts_with(jobs) && path.ends_with(cancels) && path.size() > jobs.size() + cancels.size()) {
    return cancel(request, path.substr(jobs.size(), path.size() - jobs.size() - cancels.size()));
  }
  for (const std::string_view what : {"levels", "kinds"}) {
    const std::string begin = "/api/v1/" + std::string(what) + "/";
    for (const std::string_view verb : {"/pause", "/resume"}) {
      if (!path.starts_with(begin) || !path.ends_with(verb) || path.size() <= begin.size() + verb.size()) continue;
      return pause(request, what, std::string(path.substr(begin.size(), path.size() - begin.size() - verb.size())),
                   verb == "/pause");
    }
  }
  return error_answer(404, "nothing here");
}

HttpAnswer Api::pause(const HttpRequest& request, std::string_view what, const std::string& name, bool pauses) {
  const std::string action = std::string(pauses ? "pause " : "resume ") + std::string(what) + " " + name;
  const auto act = [&]() -> Result<void> {
    auto engine = Engine::open(options_.directory, {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error());
    if (what == "levels") {
      const auto level = engine->level(name);
      if (!level) return std::unexpected(level.error());
      return pauses ? engine->pause(*level) : engine->resume(*level);
    }
    const auto kind = engine->kind(name);
    if (!kind) return std::unexpected(kind.error());
    return pauses ? engine->pause(*kind) : engine->resume(*kind);
  };
  return answer_of(request, action, act(), {{"name", name}, {"paused", pauses}});
}

HttpAnswer Api::cancel(const HttpRequest& request, std::string_view id_text) {
  const auto id = JobId::parse(id_text);
  if (!id) return error_answer(400, "a job id has 16 lower-case hexadecimal digits");
  const auto act = [&]() -> Result<Cancelled> {
    auto engine = Engine::open(options_.directory, {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error());
    auto helper = engine->attach(Role::tool);
    if (!helper) return std::unexpected(helper.error());
    return (*helper)->cancel(*id);
  };
  const auto done = act();
  const char* const came_to = !done                               ? ""
                              : *done == Cancelled::before_start  ? "cancelled"
                              : *done == Cancelled::asked_to_stop ? "asked_to_stop"
                                                                  : "already_over";
  return answer_of(request, "cancel " + id->to_string(), done, {{"id", id->to_string()}, {"outcome", came_to}});
}

HttpAnswer Api::retry(const HttpRequest& request) {
  const auto choice = choice_of(request);
  if (!choice) return error_answer(choice.error());
  Json jobs = Json::array();
  bool more = false;
  std::uint64_t kept = 0;
  const auto act = [&]() -> Result<void> {
    const auto files = EngineFiles::open(options_.directory);
    if (!files) return std::unexpected(files.error());
    auto store = open_store(*files);
    if (!store) return std::unexpected(store.error());
    const auto lock = store->lock_retries();  // retry.T1
    if (!lock) return std::unexpected(lock.error());
    auto engine = Engine::open(options_.directory);
    if (!engine) return std::unexpected(engine.error());
    auto participant = engine->attach(Role::producer);
    if (!participant) return std::unexpected(participant.error());
    LetterRetry retry(*store, *engine, **participant, [&jobs](JobId letter, JobId job) {
      jobs.push_back({{"id", letter.to_string()}, {"retried_as", job.to_string()}});
    });
    const auto letters = letters_of(*store, *choice);
    if (!letters) return std::unexpected(letters.error());
    for (const DeadLetter& letter : letters->letters) {
      if (!retry.add(letter)) break;
    }
    retry.flush();
    kept = retry.kept();
    // Letters that cannot be retried stay the oldest: asking again would meet the same ones.
    more = letters->more && kept < letters->letters.size();
    if (retry.error() && jobs.empty()) return std::unexpected(*retry.error());
    return {};
  };
  const auto done = act();
  return answer_of(request, "retry dead letters, " + std::to_string(jobs.size()) + " of them", done,
                   {{"retried", jobs.size()}, {"kept", kept}, {"more", more}, {"jobs", jobs}});
}

HttpAnswer Api::purge(const HttpRequest& request) {
  const auto choice = choice_of(request);
  if (!choice) return error_answer(choice.error());
  std::uint64_t purged = 0;
  bool more = false;
  const auto act = [&]() -> Result<void> {
    const auto files = EngineFiles::open(options_.directory);
    if (!files) return std::unexpected(files.error());
    auto store = open_store(*files);
    if (!store) return std::unexpected(store.error());
    const auto letters = letters_of(*store, *choice);
    if (!letters) return std::unexpected(letters.error());
    std::vector<JobId> ids;
    for (const DeadLetter& letter : letters->letters) ids.push_back(letter.id);
    const auto removed = store->remove(ids);
    if (!removed) return std::unexpected(removed.error());
    purged = *removed;
    more = letters->more;
    return {};
  };
  const auto done = act();
  return answer_of(request, "purge dead letters, " + std::to_string(purged) + " of them", done,
                   {{"purged", purged}, {"more", more}});
}

}  // namespace ringmill
