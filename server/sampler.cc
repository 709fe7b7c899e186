#include "server/sampler.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/engine_thread.h"
#include "core/base/shown_text.h"

namespace ringmill {

namespace {

using Json = nlohmann::ordered_json;

/// A viewer that asks, rather than listens, keeps the looks going for this long.
constexpr std::chrono::seconds wanted_for{30};

std::string text_of(const Json& json) { return shown_json(json.dump(-1, ' ', false, Json::error_handler_t::replace)); }

/// What the plots need of a look.
std::string point_of(const Json& look) {
  Json levels = Json::object();
  for (const Json& level : look["levels"]) {
    levels[level["name"].get<std::string>()] = {level["depth"],        level["in_per_s"],    level["out_per_s"],
                                                level["failed_per_s"], level["wait_p50_ms"], level["wait_p99_ms"]};
  }
  Json kinds = Json::object();
  for (const Json& kind : look["kinds"]) {
    kinds[kind["name"].get<std::string>()] = {kind["completed_per_s"], kind["run_p50_ms"], kind["run_p99_ms"]};
  }
  return text_of({{"at", look["at"]}, {"levels", std::move(levels)}, {"kinds", std::move(kinds)}});
}

}  // namespace

Sampler::Sampler(std::filesystem::path directory)
    : looker_(std::move(directory)), thread_(start_engine_thread("ringmill-looks", [this] { run(); })) {}

Sampler::~Sampler() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Sampler::is_wanted(Clock::time_point now) const {
  return now < wanted_until_ ||
         std::ranges::any_of(streams_, [](const std::weak_ptr<EventStream>& stream) { return !stream.expired(); });
}

void Sampler::run() {
  std::unique_lock lock(mutex_);
  Clock::time_point next{};
  while (!stops_) {
    std::erase_if(streams_, [](const std::weak_ptr<EventStream>& stream) { return stream.expired(); });
    if (!is_wanted(Clock::now())) {
      json_.clear();  // the next one that asks gets a fresh look
      error_.clear();
      points_.clear();
      changed_.wait(lock);
      continue;
    }
    if (Clock::now() < next) {
      changed_.wait_until(lock, next);
      continue;
    }
    next = Clock::now() + interval;
    lock.unlock();
    take_look();
    lock.lock();
  }
}

void Sampler::take_look() {
  const auto look = looker_.look();
  std::string json;
  std::string point;
  if (look) {
    const Json value = json_of(*look);
    json = text_of(value);
    point = point_of(value);
  }
  std::vector<std::shared_ptr<EventStream>> streams;
  {
    const std::lock_guard lock(mutex_);
    ++looks_;
    error_ = look ? "" : look.error().message();
    json_ = json;
    if (look) points_.push_back(std::move(point));
    if (points_.size() > most_points) points_.pop_front();
    for (const auto& listener : streams_) {
      if (auto stream = listener.lock()) streams.push_back(std::move(stream));
    }
  }
  changed_.notify_all();
  const std::string event = look ? "event: look\ndata: " + json + "\n\n"
                                 : "event: absent\ndata: " + text_of({{"error", look.error().message()}}) + "\n\n";
  const auto shared = std::make_shared<const std::string>(event);
  for (const auto& stream : streams) stream->push(shared);
}

Result<std::string> Sampler::look() {
  std::unique_lock lock(mutex_);
  wanted_until_ = Clock::now() + wanted_for;
  changed_.notify_all();
  const bool is_there =
      changed_.wait_for(lock, 2 * interval, [this] { return !json_.empty() || !error_.empty() || stops_; });
  if (!json_.empty()) return json_;
  return std::unexpected(Error(is_there ? ErrorCode::not_found : ErrorCode::timed_out, "no engine to look at", error_));
}

std::string Sampler::history() {
  const std::lock_guard lock(mutex_);
  wanted_until_ = Clock::now() + wanted_for;
  changed_.notify_all();
  std::string json = "[";
  for (const std::string& point : points_) {
    if (json.size() > 1) json += ',';
    json += point;
  }
  return json + "]";
}

std::shared_ptr<EventStream> Sampler::listen() {
  const std::lock_guard lock(mutex_);
  std::erase_if(streams_, [](const std::weak_ptr<EventStream>& stream) { return stream.expired(); });
  if (streams_.size() >= most_streams) return nullptr;
  auto stream = std::make_shared<EventStream>();
  streams_.push_back(stream);
  changed_.notify_all();
  return stream;
}

std::uint64_t Sampler::looks() const {
  const std::lock_guard lock(mutex_);
  return looks_;
}

}  // namespace ringmill
