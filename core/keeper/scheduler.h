// Enqueues the ticks of recurring jobs: a thread of the keeper's process, because the book waits for the disk. The
// steps are those of core/schedules/schedule_book.h.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <ringmill/engine.h>

#include "core/schedules/schedule_book.h"

namespace ringmill {

class Scheduler {
 public:
  explicit Scheduler(const std::filesystem::path& engine_directory);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

 private:
  void run();
  /// One look at the book. Errors are those of the book and of enqueueing.
  Result<void> turn(ScheduleBook& book);
  Result<void> enqueue(const DueSchedule& due, ScheduleBook& book);
  /// Opens the engine when the first tick comes: most engines have none.
  Result<Participant*> participant();

  std::filesystem::path directory_;
  // Of the thread alone.
  std::optional<Engine> engine_;
  std::unique_ptr<Participant> participant_;
  std::string said_;  // the last error that was logged

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ringmill
