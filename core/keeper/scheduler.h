// Enqueues the ticks of recurring jobs: a thread of the keeper's process, because the book waits for the disk. The
// steps are those of core/schedules/schedule_book.h.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include <ringmill/participant.h>

#include "core/instance/engine_core.h"
#include "core/schedules/schedule_book.h"

namespace ringmill {

class Scheduler {
 public:
  explicit Scheduler(std::shared_ptr<EngineCore> engine);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

 private:
  struct Enqueued {
    std::optional<TickTime> last{};  // the ticks up to this one are jobs, or were passed over
    std::optional<TickTime> job{};   // the last one that is a job
    std::optional<Error> error{};    // why the others are not
  };

  void run() noexcept;
  void tick_until_stopped();
  /// Checks all schedules once. Returns only errors that concern all of them: of the book, of attaching, of the
  /// journal.
  Result<void> turn(ScheduleBook& book);
  /// tick.T2 and tick.T3 of many. A schedule that fails is noted in the book, and holds up no other.
  Result<void> enqueue(std::span<const DueSchedule> due, ScheduleBook& book);
  Enqueued enqueue(const DueSchedule& due, Participant& producer, std::chrono::seconds wait);
  /// Logs which schedules fail, or work again, when that changes.
  void say(std::span<const TickMark> marks, std::span<const TickTrouble> troubles);
  void say(const Error& error) noexcept;
  bool is_stopping();
  /// Attached when the first tick comes: most engines have none.
  Result<Participant*> participant();

  std::shared_ptr<EngineCore> engine_;
  // Of the thread alone.
  std::unique_ptr<Participant> participant_;
  std::string said_;                            // the last error that was logged
  std::map<std::string, std::string> said_of_;  // the same of each schedule that fails

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ringmill
