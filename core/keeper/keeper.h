// The keeper: the one participant that reaps the dead, revokes late leases, and repairs hints. It is elected by a lock
// that the kernel frees at its death. All its state can be rebuilt from shared memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "core/flow_control/flow_book.h"
#include "core/instance/engine_core.h"
#include "core/keeper/clock_watch.h"
#include "core/keeper/death_watch.h"
#include "core/keeper/generation_limit.h"
#include "core/keeper/process_watch.h"
#include "core/keeper/reaper.h"
#include "core/keeper/still_keeper.h"
#include "core/keeper/table_scan.h"
#include "core/keeper/taking_back.h"
#include "core/keeper/timers.h"
#include "core/keeper/trimming.h"

namespace ringmill {

/// The keeper's work, without a thread of its own: one turn at a time, each bounded. The acting participant must be the
/// calling thread's, and the caller must hold the keeper's lock.
class KeeperWork {
 public:
  /// `watch` knows which robust words have to be looked at; without one, all. `processes` knows which lock bytes have
  /// to be asked for before it is their turn.
  KeeperWork(EngineCore& engine, std::uint32_t number, DeathWatch* watch = nullptr, ProcessWatch* processes = nullptr)
      : engine_(&engine),
        watch_(watch),
        processes_(processes),
        number_(number),
        reaper_(engine, number),
        timers_(engine.segment, reaper_),
        scan_(engine, reaper_, timers_),
        generation_limit_(engine),
        trimming_(engine.segment, number),
        taking_back_(engine.segment, reaper_) {}

  /// Takes one turn. If `thorough`, it also asks the kernel about the entries whose turn it is, and does what is done
  /// at intervals.
  void turn(bool thorough);
  /// Repairs everything that deaths have left: reaps, then scans the whole table.
  void reap_all();

  /// Returns how long the keeper may sleep.
  std::uint64_t idle_ns() const noexcept;
  /// True if a cell was marked since the last turn.
  bool has_marks() const noexcept { return engine_->segment.keeper_marks().any(); }
  Timers& timers() noexcept { return timers_; }

 private:
  /// The entries whose lock bytes the kernel is asked for. `some`: those whose robust word does not speak for them, and
  /// the next ones of the others, in turn.
  enum class Ask { none, some, all };
  /// True if a participant was reaped.
  bool reap_dead(Ask ask);
  bool is_dead(std::uint32_t number, ParticipantState state, Ask ask) const noexcept;
  /// Returns false if another has it.
  bool reap(std::uint32_t number);
  void expire_leases();
  void bring_back_parked();
  void scan_if_needed();
  void finish_scan();
  void refill_rings();
  void notice_unlinked();
  void notice_deleted_directory();
  void notice_clock_step();

  EngineCore* engine_;
  DeathWatch* watch_;
  ProcessWatch* processes_;
  std::uint32_t number_;
  std::uint32_t next_asked_ = 0;  // a multiple of asked_at_a_time
  Reaper reaper_;
  Timers timers_;
  TableScan scan_;
  GenerationLimit generation_limit_;
  Trimming trimming_;
  TakingBack taking_back_;
  FlowRulesWatch rules_;
  TableScan::Owners dead_;
  bool more_is_due_ = false;
  std::uint64_t next_deadline_ns_ = Reaper::no_deadline;
  std::uint64_t last_expiry_ns_ = 0;
  std::uint64_t last_scan_ns_ = 0;
  bool scan_wanted_ = true;  // the keeper before us may have died in one
  bool unlinked_noticed_ = false;
  bool deletion_noticed_ = false;
  ClockWatch clock_;
};

/// Standby processes retry the keeper's lock at this interval even if not woken: the keeper may have died between
/// its election and its first word. No handover relies on it; the tests switch it off.
inline std::uint64_t longest_standby_ns = 100'000'000;

/// The keeper takes a turn at least this often: it checks for deaths that gave no sign, for leases taken since its last
/// turn, and for producers that wait for room. Marks and calls do not rely on it; the tests switch it off.
inline std::uint64_t longest_keeper_rest_ns = 50'000'000;

/// A thread that stands for election, and is the keeper while elected.
///
///   one that leaves                                       one that stands by
///   keep.L1  unlock the keeper's byte                     keep.B1  read keeper_participant, and that one's robust word
///   keep.L2  CAS keeper_participant: ours -> 0            keep.B2  try to lock the keeper's byte; got it: keep
///   keep.L3  leave the registry: the robust word changes  keep.B3  sleep while all words are what B1 read
///   keep.L4  wake its sleepers
///
/// The lock is free before the words change. So a standby that reads the new words in B1 gets the lock in B2, or
/// another has it; one that has read the old words does not sleep in B3, or is woken by L4. Killed after L1 or L2: the
/// kernel marks the robust word and wakes. Killed after L3: sleepers retry after longest_standby_ns.
///
/// A dedicated one (OpenOptions::dedicated_keeper) holds the lock `dedicated_lock_byte`, shared, while it lives. The
/// others leave office for it, and let it go first in B2. Both only make it likelier that it keeps.
class Keeper {
 public:
  explicit Keeper(std::shared_ptr<EngineCore> engine, bool is_dedicated = false);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  bool keeps() const noexcept { return keeps_.load(); }
  /// In the child of a fork there is no such thread: nothing to join.
  void abandon() noexcept { thread_.detach(); }

 private:
  /// The words of the keeper that a standby has read.
  struct Sign {
    std::uint32_t keeper = 0;       // number + 1; 0: none that can be
    std::uint32_t keeper_word = 0;  // keeper_participant, as it was read
    std::uint32_t robust_word = 0;
  };

  void run() noexcept;
  void keep();
  bool serve(std::uint32_t number);
  void say(const Error& error) noexcept;
  void leave_office(std::uint32_t number) noexcept;
  /// Whether a dedicated one lives that is not this process.
  bool is_dedicated_there() const noexcept;
  /// Whether this term ends because a dedicated one stands by. Asks the kernel once in a while.
  bool hands_over(std::uint64_t now_ns) noexcept;
  Sign sign_of_keeper() const noexcept;
  void stand_by(Sign seen) noexcept;
  void wait(std::uint32_t bell, std::uint64_t ns) noexcept;

  std::shared_ptr<EngineCore> engine_;
  std::atomic<bool> keeps_{false};
  StillKeeper still_keeper_;
  const bool is_dedicated_;
  std::uint64_t hand_over_at_ns_ = 0;  // not before; of the thread alone
  std::string said_;                   // the last reason against its keeping that was logged; of its thread
  std::atomic<std::uint32_t> stop_{0};
  bool has_said_ = false;  // why a term failed; of the thread alone
  std::thread thread_;
};

}  // namespace ringmill
