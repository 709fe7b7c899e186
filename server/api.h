// What each path answers: the JSON API (server/page/openapi.json describes it), metrics, health, and the page's files.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>

#include "server/action_request.h"
#include "server/gate.h"
#include "server/http.h"
#include "server/looker.h"
#include "server/sampler.h"

namespace ringmill {

struct ServeOptions {
  std::filesystem::path directory;
  bool allows_actions = false;
  /// A folder to read the page's files from instead of those that are built in.
  std::filesystem::path assets{};
};

class Api {
 public:
  Api(ServeOptions options, Sampler& sampler)
      : options_(std::move(options)), sampler_(sampler), looker_(options_.directory) {}

  /// Answers one request that the gate has let in. Any thread.
  HttpAnswer answer(const HttpRequest& request);

 private:
  HttpAnswer get(const HttpRequest& request);
  HttpAnswer post(const HttpRequest& request);

  HttpAnswer metrics();
  HttpAnswer health();
  HttpAnswer look();
  HttpAnswer events();
  HttpAnswer jobs(const HttpRequest& request);
  HttpAnswer job(const HttpRequest& request, std::string_view id_text);
  HttpAnswer children(const HttpRequest& request, std::string_view id_text);
  HttpAnswer dead_letters(const HttpRequest& request);
  HttpAnswer schedules(const HttpRequest& request);
  HttpAnswer asset(const HttpRequest& request);

  HttpAnswer act(const HttpRequest& request, const PauseAsked& asked);
  HttpAnswer act(const HttpRequest& request, const CancelAsked& asked);
  HttpAnswer act(const HttpRequest& request, const RetryAsked& asked);
  HttpAnswer act(const HttpRequest& request, const PurgeAsked& asked);
  Result<void> pause_schedule(const std::string& name, bool pauses) const;

  ServeOptions options_;
  Sampler& sampler_;
  std::mutex mutex_;  // of looker_: there may be two listeners
  Looker looker_;
};

/// The page's files, by their path: built in from server/page/.
struct Asset {
  std::string_view path;
  std::string_view content_type;
  std::string_view text;
};
const Asset* built_in_asset(std::string_view path) noexcept;

}  // namespace ringmill
