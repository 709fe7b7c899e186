// The thread that keeps the journal, in the process that keeps: it decides when a round begins, waits for the device,
// tells waiting callers, and copes with a disk that is slow, full or broken. What is written is decided in rounds.h,
// how in writer.h.
//
// It opens the journal when the first cell is marked: an engine that has only jobs of durability `memory` has none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "core/durability/rounds.h"
#include "core/instance/engine_core.h"
#include "core/journal/writer.h"
#include "ipc/visits.h"

namespace ringmill {

/// The work, without a thread of its own: one turn at a time. The caller's process holds the keeper's lock.
class JournalWork {
 public:
  explicit JournalWork(EngineCore& engine, DeviceChoice choice = DeviceChoice::automatic);

  /// One turn: begins, continues and publishes what is due. Waits for the device or the doorbell for up to `most_wait`
  /// when there is nothing to do; zero: does not wait.
  void turn(std::chrono::nanoseconds most_wait);
  /// Writes what is marked and waits until it is durable, the journal fails, or `most` is over.
  void finish(std::chrono::nanoseconds most);
  /// From any thread: ends the wait of a turn.
  void wake() noexcept;
  /// Tells waiting callers, and the log, that the thread cannot go on.
  void fail(const Error& error) noexcept;
  void call_keeper() noexcept;

 private:
  bool is_wanted() const noexcept;
  /// Opens the journal if need be and possible. False: not now.
  bool open();
  /// True if something could be done without waiting.
  bool advance();
  bool make_room();
  /// A step of compaction. True: there is more to do.
  bool compacts();
  void take_back_impossible_wish() noexcept;
  bool lacks_space() const noexcept;
  void publish();
  bool is_in(JournalCondition condition) const noexcept {
    return words_->condition.load() == static_cast<std::uint32_t>(condition);
  }
  void set_condition(JournalCondition condition, int error_number);
  void tell_waiters() noexcept;
  void note_statistics() noexcept;
  void wait(std::uint32_t bell, std::uint64_t most_ns);
  bool round_is_wanted() const noexcept { return words_->round_wanted.load() > words_->round_started.load(); }
  /// Sleeps until the doorbell rings, unless there is something to do already.
  void rest(JournalRest how, std::uint32_t bell, std::uint64_t most_ns);

  EngineCore* engine_;
  DeviceChoice choice_;
  JournalWords* words_;
  JournalMarks marks_;
  std::unique_ptr<JournalWriter> writer_;
  std::optional<JournalRounds> rounds_;
  std::atomic<JournalDevice*> device_{nullptr};
  std::atomic<bool> is_woken_{false};  // by wake(), before it rings: a turn that begins later waits for nothing
  std::uint64_t open_again_at_ns_ = 0;
  std::uint64_t last_begin_ns_ = 0;
  bool was_waited_for_ = false;     // the last round: the next one is likely to be as well, and soon
  std::uint64_t bytes_before_ = 0;  // written by earlier journal threads
  std::uint64_t records_before_ = 0;
  std::uint64_t elided_before_ = 0;
  Visits visits_;  // while the rounds look at cells
};

/// The journal thread looks by itself after so long. No wake-up relies on it; the tests switch it off.
inline std::uint64_t longest_journal_rest_ns = 1'000'000'000;

/// A round that is not durable after this long: the disk does not keep up, and new jobs are held back.
inline constexpr std::uint64_t behind_after_ns = 1'000'000'000;

/// For the keeper's thread: says that the journal is behind where the journal thread cannot, because a write holds it.
void hold_back_if_late(const Segment& segment) noexcept;

/// For a keeper whose journal cannot run: waiting callers are told, until a JournalWork is made again.
void tell_journal_failed(const Segment& segment, int error_number) noexcept;

class JournalThread {
 public:
  explicit JournalThread(EngineCore& engine);
  /// Everything that is marked is durable when this returns, unless the disk fails or takes too long.
  ~JournalThread();
  JournalThread(const JournalThread&) = delete;
  JournalThread& operator=(const JournalThread&) = delete;

  /// It got no memory and has ended, and the keeper was called. What it had begun is taken up by the next one.
  bool has_failed() const noexcept { return has_failed_.load(); }

 private:
  void run() noexcept;

  JournalWork work_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> has_failed_{false};
  std::thread thread_;
};

}  // namespace ringmill
