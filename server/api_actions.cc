// What POST does. Each action is one call on the engine, opened for it, and one line in the log with the asker.
#include <variant>

#include <ringmill/engine.h>

#include "core/base/log.h"
#include "core/dead_letters/store.h"
#include "core/engine/letter_retry.h"
#include "core/instance/engine_files.h"
#include "core/schedules/schedule_book.h"
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
  const auto asked = action_asked_by(request);
  if (!asked) return error_answer(asked.error());
  return std::visit([&](const auto& action) { return act(request, action); }, *asked);
}

HttpAnswer Api::act(const HttpRequest& request, const PauseAsked& asked) {
  const auto pause = [&]() -> Result<void> {
    if (asked.what == PauseAsked::What::schedule) return pause_schedule(asked.name, asked.pauses);
    auto engine = Engine::open(options_.directory, {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error());
    if (asked.what == PauseAsked::What::level) {
      const auto level = engine->level(asked.name);
      if (!level) return std::unexpected(level.error());
      return asked.pauses ? engine->pause(*level) : engine->resume(*level);
    }
    const auto kind = engine->kind(asked.name);
    if (!kind) return std::unexpected(kind.error());
    return asked.pauses ? engine->pause(*kind) : engine->resume(*kind);
  };
  const std::string text = std::string(asked.pauses ? "pause " : "resume ") + name_of(asked.what) + " " + asked.name;
  return answer_of(request, text, pause(), {{"name", asked.name}, {"paused", asked.pauses}});
}

Result<void> Api::pause_schedule(const std::string& name, bool pauses) const {
  const auto files = EngineFiles::open(options_.directory);
  if (!files) return std::unexpected(files.error());
  ScheduleBook book(files->folder());
  return pauses ? book.pause(name) : book.resume(name, std::chrono::system_clock::now());
}

HttpAnswer Api::act(const HttpRequest& request, const CancelAsked& asked) {
  const auto cancel = [&]() -> Result<Cancelled> {
    auto engine = Engine::open(options_.directory, {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error());
    auto helper = engine->attach(Role::tool);
    if (!helper) return std::unexpected(helper.error());
    return (*helper)->cancel(asked.id);
  };
  const auto done = cancel();
  const char* const came_to = !done                               ? ""
                              : *done == Cancelled::before_start  ? "cancelled"
                              : *done == Cancelled::asked_to_stop ? "asked_to_stop"
                                                                  : "already_over";
  const std::string id = asked.id.to_string();
  return answer_of(request, "cancel " + id, done, {{"id", id}, {"outcome", came_to}});
}

HttpAnswer Api::act(const HttpRequest& request, const RetryAsked& asked) {
  Json jobs = Json::array();
  bool more = false;
  std::uint64_t kept = 0;
  const auto retry_them = [&]() -> Result<void> {
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
    const auto letters = letters_of(*store, asked.letters);
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
  const auto done = retry_them();
  return answer_of(request, "retry dead letters, " + std::to_string(jobs.size()) + " of them", done,
                   {{"retried", jobs.size()}, {"kept", kept}, {"more", more}, {"jobs", jobs}});
}

HttpAnswer Api::act(const HttpRequest& request, const PurgeAsked& asked) {
  std::uint64_t purged = 0;
  bool more = false;
  const auto purge_them = [&]() -> Result<void> {
    const auto files = EngineFiles::open(options_.directory);
    if (!files) return std::unexpected(files.error());
    auto store = open_store(*files);
    if (!store) return std::unexpected(store.error());
    const auto letters = letters_of(*store, asked.letters);
    if (!letters) return std::unexpected(letters.error());
    std::vector<JobId> ids;
    for (const DeadLetter& letter : letters->letters) ids.push_back(letter.id);
    const auto removed = store->remove(ids);
    if (!removed) return std::unexpected(removed.error());
    purged = *removed;
    more = letters->more;
    return {};
  };
  const auto done = purge_them();
  return answer_of(request, "purge dead letters, " + std::to_string(purged) + " of them", done,
                   {{"purged", purged}, {"more", more}});
}

}  // namespace ringmill
