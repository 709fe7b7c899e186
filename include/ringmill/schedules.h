// Recurring jobs: by cron expressions, or at intervals. The keeper enqueues them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

namespace ringmill {

class Engine;
class EngineCore;

/// Says what is done for ticks that passed while the engine had no keeper. (A paused schedule has no ticks.)
enum class MissedTicks : std::uint8_t {
  once,  ///< one job for all of them, the last one's
  skip,  ///< nothing: only a tick that is at most a second old counts
  all,   ///< a job for each, up to 1000 in a turn
};
std::string_view name_of(MissedTicks missed) noexcept;
std::optional<MissedTicks> missed_ticks_of(std::string_view name) noexcept;

/// A recurring job. A tick is a time at which it is enqueued: exactly one job for each, whichever process dies.
struct ScheduledJob {
  /// 1 to 63 characters of [A-Za-z0-9._:/-].
  std::string name;
  /// Five fields, or `@daily` and the like, on the clocks of `zone`. Or empty, and `every` is set.
  std::string cron{};
  std::string zone = "UTC";
  /// 100 ms to ten years.
  std::chrono::milliseconds every{0};
  std::string kind{};
  /// Empty: as JobRequest::level.
  std::string level{};
  std::string payload{};
  MissedTicks missed = MissedTicks::once;
  /// As in JobRequest and JobOptions.
  std::chrono::milliseconds lease{0};
  std::uint16_t max_attempts = default_max_attempts;
  /// As Engine::retry_policy() takes it; empty: the default.
  std::string backoff{};
  std::chrono::milliseconds expires{0};
  /// As JobRequest::tag: of the job of each tick.
  std::string tag{};
  /// A tick is passed over while the job of the last one is not over, so that a long job does not run beside itself.
  bool no_overlap = false;
};

struct ScheduleInfo {
  ScheduledJob job;
  bool paused = false;
  std::chrono::system_clock::time_point created_at{};
  std::optional<std::chrono::system_clock::time_point> last_tick{};
  std::optional<std::chrono::system_clock::time_point> next_tick{};
  /// Why no tick comes, or why the last ones could not be enqueued; empty: all is well.
  std::string trouble{};
};

/// The recurring jobs of one engine, durable in its directory. One thread at a time. Each call reads or writes a small
/// database, and waits for the disk if it writes. Errors of all calls: busy, permission_denied, no_space, corrupt,
/// incompatible, system.
class Schedules {
 public:
  /// The engine may go before this.
  explicit Schedules(const Engine& engine);
  Schedules(Schedules&&) noexcept;
  Schedules& operator=(Schedules&&) noexcept;
  ~Schedules();

  /// Adds a schedule, or replaces the one of its name. With the same times that one goes on where it is; with others it
  /// begins anew. It stays paused if it is. Errors: invalid_argument (a name, a cron expression, a zone, a time, a
  /// level that is not there), too_large, no_space (10,000 schedules).
  [[nodiscard]] Result<void> put(const ScheduledJob& job);
  /// The same, with the error already_exists if there is one of this name.
  [[nodiscard]] Result<void> add(const ScheduledJob& job);
  /// Returns all, by name.
  [[nodiscard]] Result<std::vector<ScheduleInfo>> list();
  /// Error not_found, as for the following.
  [[nodiscard]] Result<ScheduleInfo> find(std::string_view name);
  [[nodiscard]] Result<void> remove(std::string_view name);
  /// A paused schedule has no ticks.
  [[nodiscard]] Result<void> pause(std::string_view name);
  /// Goes on with the first tick after now: those of the pause are not missed.
  [[nodiscard]] Result<void> resume(std::string_view name);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
