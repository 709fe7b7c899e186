// One thread that looks at the engine, however many viewers there are: what it costs does not grow with them. It looks
// while a viewer listens, or has asked a short time ago, and rests otherwise.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/http.h"
#include "server/look.h"
#include "server/looker.h"

namespace ringmill {

class Sampler {
 public:
  static constexpr std::chrono::seconds interval{1};
  /// The looks that the plots begin with.
  static constexpr std::size_t most_points = 600;

  explicit Sampler(std::filesystem::path directory);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// Returns the last look as JSON, at most about an interval old; while nothing was asked for, a fresh one. Error:
  /// there is no engine to look at.
  Result<std::string> look();
  /// Returns a JSON array of points, the oldest first.
  std::string history();
  /// Returns a stream that gets each look; nothing: there are too many.
  std::shared_ptr<EventStream> listen();
  /// How many looks were made.
  std::uint64_t looks() const;

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  bool is_wanted(Clock::time_point now) const;
  void take_look();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Looker looker_;  // of the sampler's thread
  std::string json_;
  std::string error_;
  std::uint64_t looks_ = 0;
  std::deque<std::string> points_;
  std::vector<std::weak_ptr<EventStream>> streams_;
  Clock::time_point wanted_until_{};
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace ringmill
