#include "core/keeper/keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "core/base/durations.h"
#include "core/base/engine_thread.h"
#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "core/durability/journal_thread.h"
#include "core/keeper/burial.h"
#include "core/keeper/scheduler.h"
#include "core/levels/dynamic_levels.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/robust_word.h"
#include "ipc/time_slice.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ms = 1'000'000;
/// The interval at which lock bytes are queried, and of how many entries whose robust word is linked: a query goes
/// through the locks of all processes, so all queries at once would cost the square of their number.
constexpr std::uint64_t thorough_every_ns = 50 * ms;
constexpr std::uint32_t asked_at_a_time = 128;
/// The interval of table scans without any sign of a loss.
constexpr std::uint64_t scan_every_ns = 30'000 * ms;
/// The least time between two scans on demand.
constexpr std::uint64_t scan_distance_ns = 20 * ms;
/// For a producer that waits for room it grows with the table, up to 1 s. Living participants hold back only a few
/// cells each, which matters in small tables only; and a death requests a scan anyway.
constexpr std::uint64_t scan_for_room_ns_per_cell = 8'000;
constexpr std::uint64_t longest_scan_for_room_distance_ns = 1'000 * ms;
/// A scan runs in steps of about 100 us, with pauses. The jobs of a dead worker were handed over before the scan, and
/// the worker that was woken for them needs the CPU.
constexpr std::uint32_t scan_step = 8192;
constexpr std::uint64_t scan_pause_ns = ms / 5;
/// The interval of checks of deadlines while the keeper is busy, per 64 entries that were ever in use: a check reads
/// every lease slot.
constexpr std::uint64_t expire_every_ns = 1 * ms;
/// The interval of turns while a worker sleeps and its level's ring is full of kinds that it does not claim.
constexpr std::uint64_t serve_pause_ns = 2 * ms;
constexpr std::uint64_t election_retry_ns = 1 * ms;
constexpr std::uint64_t registration_retry_ns = 100 * ms;
/// How long a process that does other things as well lets a dedicated keeper go first.
constexpr std::uint64_t head_start_ns = 3 * ms;
/// The interval at which a keeper asks for a dedicated one; and the time after it was elected though there is one,
/// which may be stopped itself.
constexpr std::uint64_t hand_over_every_ns = 1'000 * ms;
constexpr std::uint64_t hand_over_again_ns = 60'000 * ms;
/// The pause after a term that ended for lack of a resource.
constexpr std::uint64_t failed_term_pause_ns = 1'000 * ms;
/// About a millisecond of work: deaths are checked in between.
constexpr std::uint32_t most_due_in_a_turn = 4096;
constexpr int everybody = std::numeric_limits<int>::max();

/// Statistics. The keeper is their only writer.
void count_turn(Signals& signals, std::uint64_t took_ns) noexcept {
  signals.keeper_turns.store(signals.keeper_turns.load() + 1);
  signals.keeper_busy_ns.store(signals.keeper_busy_ns.load() + took_ns);
  signals.keeper_longest_turn_ns.store(std::max(signals.keeper_longest_turn_ns.load(), took_ns));
  signals.keeper_turned_at_ns.store(lease_clock_ns());
}

}  // namespace

void KeeperWork::turn(bool thorough) {
  engine_->segment.forget_what_has_left();  // a former keeper of another process may have given it back
  // The worker that was woken for a dead worker's jobs needs the CPU: the rest of the turn waits.
  if (reap_dead(thorough ? Ask::some : Ask::none)) {
    bring_back_parked();  // the dead have left the slots of their kinds
    return;
  }
  expire_leases();
  timers_.look_at_marked();
  refill_rings();
  more_is_due_ = timers_.run_due(most_due_in_a_turn);
  more_is_due_ = timers_.evict(most_due_in_a_turn) || more_is_due_;
  bring_back_parked();
  more_is_due_ = timers_.promote_serial(most_due_in_a_turn) || more_is_due_;
  if (generation_limit_.turn(scan_step)) scan_wanted_ = true;  // cells that producers passed over are listed again
  scan_if_needed();
  if (!scan_.is_running()) trimming_.turn(steady_clock_ns());
  if (!thorough) return;
  taking_back_.look();
  notice_unlinked();
  notice_deleted_directory();
  notice_clock_step();
  if (watch_ != nullptr) watch_->look_for_changes();
  if (processes_ != nullptr) processes_->look_for_changes();
  reaper_.deaths().expect();
  rules_.apply_if_changed(*engine_);
  hold_back_if_late(engine_->segment);
}

void KeeperWork::bring_back_parked() {
  more_is_due_ = timers_.parked().bring_back(reaper_.settling(), most_due_in_a_turn) || more_is_due_;
}

bool KeeperWork::is_dead(std::uint32_t number, ParticipantState state, Ask ask) const noexcept {
  const bool speaks_for_itself =
      state == ParticipantState::alive && engine_->segment.participant(number).robust_linked.load() != 0;
  const bool is_its_turn = number >= next_asked_ && number < next_asked_ + asked_at_a_time;
  if (ask == Ask::all || (ask == Ask::some && (!speaks_for_itself || is_its_turn))) {
    return engine_->death_probe.is_dead(number);
  }
  return engine_->death_probe.is_marked(number);
}

bool KeeperWork::reap(std::uint32_t number) {
  if (!reaper_.take_over(number)) return false;
  reopen_levels_closed_by(engine_->segment, number);
  dead_.set(number);
  scan_wanted_ = true;
  log().info("participant {} is gone: {}; its jobs wait again", number, reaper_.deaths().sentence_about(number));
  return true;
}

bool KeeperWork::reap_dead(Ask ask) {
  bool reaped = false;
  const auto look = [&](std::uint32_t number, ParticipantState state) {
    if (number == number_ || dead_.test(number) || !is_dead(number, state, ask)) return;
    if (reap(number)) reaped = true;
  };
  if (processes_ != nullptr) {
    processes_->take_noted([&](std::uint32_t number) {
      if (number == number_ || dead_.test(number) || !engine_->death_probe.is_dead(number)) return;  // proc.P3
      if (reap(number)) reaped = true;
    });
  }
  constexpr std::uint32_t in_group = DeathWatch::group_entries;
  const std::uint32_t end = engine_->segment.participants_end();
  for (std::uint32_t group = 0; group * in_group < end; ++group) {
    if (ask == Ask::none && watch_ != nullptr && !watch_->must_look_at(group)) continue;
    for_each_entry_in_use(engine_->segment, group * in_group, (group + 1) * in_group, look);
  }
  if (ask == Ask::some) next_asked_ = next_asked_ + asked_at_a_time < end ? next_asked_ + asked_at_a_time : 0;
  return reaped;
}

void KeeperWork::expire_leases() {
  const std::uint64_t now_ns = lease_clock_ns();
  const std::uint64_t every_ns = expire_every_ns * (1 + engine_->segment.participants_end() / 64);
  if (now_ns < next_deadline_ns_ && now_ns - last_expiry_ns_ < every_ns) return;
  last_expiry_ns_ = now_ns;
  next_deadline_ns_ = Reaper::no_deadline;
  for_each_entry_in_use(engine_->segment, [&](std::uint32_t number, ParticipantState state) {
    if (number == number_ || state != ParticipantState::alive) return;
    next_deadline_ns_ = std::min(next_deadline_ns_, reaper_.expire_leases(number, now_ns));
  });
}

void KeeperWork::scan_if_needed() {
  if (!scan_.is_running()) {
    const std::uint64_t since_ns = steady_clock_ns() - last_scan_ns_;
    const bool for_room = Sleepers(engine_->segment, engine_->segment.signals().space_waiters).any();
    const std::uint64_t scan_for_room_distance_ns =
        std::clamp(engine_->segment.geometry().capacity * scan_for_room_ns_per_cell, scan_distance_ns,
                   longest_scan_for_room_distance_ns);
    const bool is_due = since_ns > scan_every_ns || (for_room && since_ns > scan_for_room_distance_ns) ||
                        (scan_wanted_ && since_ns > scan_distance_ns);
    if (!is_due) return;
    scan_wanted_ = false;
    scan_.start(dead_);
  }
  if (scan_.step(scan_step)) finish_scan();
}

void KeeperWork::refill_rings() {
  timers_.overflow_queue().turn([this] { timers_.look_at_marked(); });
}

void KeeperWork::finish_scan() {
  refill_rings();  // the scan may have found some
  last_scan_ns_ = steady_clock_ns();
  for (std::uint32_t number = 0; number < engine_->segment.participants_end(); ++number) {
    if (!scan_.dead().test(number)) continue;
    reaper_.release_entry(number);
    dead_.reset(number);
  }
}

void KeeperWork::reap_all() {
  reap_dead(Ask::all);
  scan_.run(dead_);
  finish_scan();
}

void KeeperWork::notice_unlinked() {
  if (unlinked_noticed_ || !engine_->segment.is_unlinked()) return;
  unlinked_noticed_ = true;
  log().error(
      "the shared memory of {} was removed under the running engine: jobs go on here, but no new process can join; end "
      "all "
      "participants and open the engine again",
      engine_->directory.path().string());
}

/// Handles a directory that was deleted, or replaced by a backup. No recovery will read this engine's journal, so all
/// processes that use it get an error.
void KeeperWork::notice_deleted_directory() {
  struct stat facts {};
  if (deletion_noticed_ || ::fstat(engine_->locks.file().descriptor(), &facts) != 0 || facts.st_nlink != 0) return;
  deletion_noticed_ = true;
  mark_removed(engine_->segment);
  log().error(
      "the directory {} was deleted, or replaced, under the running engine: nothing becomes durable any more, and its "
      "processes are told to end; `ringmill recover` makes an engine of a backup that stands there",
      engine_->directory.path().string());
}

void KeeperWork::notice_clock_step() {
  const std::uint64_t before_ns = lease_clock_ns();
  const std::uint64_t wall_ns = exact_wall_clock_ns();
  const auto step = clock_.look(before_ns, wall_ns, lease_clock_ns());
  if (!step) return;
  log().warn(
      "the wall clock was set {} by {}: schedules, and jobs with --at and --expires, follow it; leases and delays do "
      "not",
      step->count() > 0 ? "forward" : "back",
      format_duration(std::chrono::round<std::chrono::seconds>(std::chrono::abs(*step))));
}

std::uint64_t KeeperWork::idle_ns() const noexcept {
  if (more_is_due_ || timers_.overflow_queue().is_needed_now()) return 0;
  const bool has_steps_to_go = scan_.is_running() || generation_limit_.is_looking() || trimming_.is_busy();
  std::uint64_t idle = has_steps_to_go ? scan_pause_ns : longest_keeper_rest_ns;
  if (scan_wanted_) idle = std::min(idle, scan_distance_ns);
  if (timers_.overflow_queue().is_needed_soon()) idle = std::min(idle, serve_pause_ns);
  if (processes_ != nullptr) idle = std::min(idle, processes_->longest_rest_ns());
  const std::uint64_t next_ns = std::min(next_deadline_ns_, timers_.next_due_ns());
  if (next_ns != Reaper::no_deadline) {
    const std::uint64_t now_ns = lease_clock_ns();
    idle = std::min(idle, next_ns > now_ns ? next_ns - now_ns : 0);
  }
  return idle;
}

Keeper::Keeper(std::shared_ptr<EngineCore> engine, bool is_dedicated)
    : engine_(std::move(engine)),
      still_keeper_(*engine_),
      is_dedicated_(is_dedicated),
      thread_(start_engine_thread("ringmill-keeper", [this] { run(); })) {}

Keeper::~Keeper() {
  stop_.store(1);
  futex_wake(stop_, 1);
  ring_keeper(engine_->segment);
  if (thread_.joinable()) thread_.join();
}

void Keeper::run() noexcept {
  // The kernel wakes us on the CPU of the process that dies, where unmapping a big table takes milliseconds.
  ask_for_short_time_slices();
  if (is_dedicated_) static_cast<void>(try_share_byte(engine_->locks.file(), dedicated_lock_byte));
  // Stands for election at least once, so that jobs of a process that ends at once are journaled.
  do {
    const Sign seen = sign_of_keeper();  // keep.B1
    if ((seen.keeper == 0 || is_marked_dead(seen.robust_word)) && is_dedicated_there()) {
      futex_wait(stop_, 0, head_start_ns);
    }
    try {
      const auto elected = try_lock_byte(engine_->locks.file(), keeper_lock_byte);  // keep.B2
      if (elected && *elected) {
        keep();
      } else {
        stand_by(seen);
        still_keeper_.look();
      }
    } catch (const std::exception& thrown) {  // before a term has begun
      unlock_byte(engine_->locks.file(), keeper_lock_byte);
      say(error_of(thrown));
      futex_wait(stop_, 0, failed_term_pause_ns);
    }
  } while (stop_.load() == 0);
  if (is_dedicated_) unlock_byte(engine_->locks.file(), dedicated_lock_byte);
}

bool Keeper::is_dedicated_there() const noexcept {
  return !is_dedicated_ && is_byte_locked_by_other(engine_->locks.file(), dedicated_lock_byte);
}

bool Keeper::hands_over(std::uint64_t now_ns) noexcept {
  if (is_dedicated_ || now_ns < hand_over_at_ns_) return false;
  hand_over_at_ns_ = now_ns + hand_over_every_ns;
  return is_dedicated_there();
}

Keeper::Sign Keeper::sign_of_keeper() const noexcept {
  Sign sign;
  const Untrusted keeper = engine_->segment.signals().keeper_participant.load_once();
  sign.keeper = keeper.below(engine_->segment.participants_end() + 1).value_or(0);
  sign.keeper_word = keeper.unbounded();
  if (sign.keeper != 0) {
    sign.robust_word = engine_->segment.participant(sign.keeper - 1).robust_word.load();
  }
  return sign;
}

/// Sleeps until the present keeper may have left, or died.
void Keeper::stand_by(Sign seen) noexcept {
  if (is_marked_dead(seen.robust_word)) {
    // Its lock comes free only after the kernel has unmapped its memory.
    futex_wait(stop_, 0, election_retry_ns);
    return;
  }
  const std::atomic<std::uint32_t>& keeper = engine_->segment.signals().keeper_participant.futex();
  if (seen.keeper == 0) {  // elected, and not in the registry yet; or the word is corrupted
    const std::array<FutexWatch, 2> watches{{{&stop_, 0}, {&keeper, seen.keeper_word}}};
    futex_wait_any(watches, longest_standby_ns);
    return;
  }
  const auto& robust_word = engine_->segment.participant(seen.keeper - 1).robust_word;
  const std::array<FutexWatch, 3> watches{{{&stop_, 0}, {&keeper, seen.keeper_word}, {&robust_word, seen.robust_word}}};
  futex_wait_any(watches, longest_standby_ns);  // keep.B3
}

void Keeper::keep() {
  const auto number = enter_engine(*engine_, Role::keeper);
  if (!number) {
    if (const std::string text = number.error().message(); text != said_) {
      said_ = text;
      log().error("the keeper cannot register: {}", text);
    }
    futex_wait(stop_, 0, registration_retry_ns);
    unlock_byte(engine_->locks.file(), keeper_lock_byte);
    return;
  }
  Signals& signals = engine_->segment.signals();
  hand_over_at_ns_ = steady_clock_ns() + (is_dedicated_there() ? hand_over_again_ns : hand_over_every_ns);
  signals.keeper_turned_at_ns.store(lease_clock_ns());  // it does not stand still: it has not begun
  signals.keeper_since_ns.store(wall_clock_ns());
  signals.keeper_participant.store(*number + 1);
  futex_wake(signals.keeper_participant.futex(), everybody);  // standbys watch our robust word from now on
  keeps_.store(true);
  bool is_over = false;
  try {
    is_over = serve(*number);
    has_said_ = false;
  } catch (const std::exception& thrown) {
    const Error error = error_of(thrown);
    tell_journal_failed(engine_->segment, error.code() == ErrorCode::out_of_memory ? ENOMEM : EAGAIN);
    say(error);
  }
  keeps_.store(false);
  leave_office(*number);
  if (!is_over) futex_wait(stop_, 0, failed_term_pause_ns);
}

/// Serves one term as the keeper. Returns false, or throws, if the process lacks memory or threads. That ends the term,
/// not the process. Another process may be the keeper next, and rebuilds the keeper's state as after a death. Callers
/// that wait for the journal get an error, unless it works again before.
bool Keeper::serve(std::uint32_t number) {
  Signals& signals = engine_->segment.signals();
  const JournalThread journal(*engine_);
  Burial burial(*engine_, number);
  const Scheduler scheduler(engine_);
  DeathWatch watch(engine_->segment);
  ProcessWatch processes(engine_->segment);
  KeeperWork work(*engine_, number, &watch, &processes);
  signals.keeper_longest_turn_ns.store(0);
  std::uint64_t last_thorough_ns = 0;
  while (stop_.load() == 0 && !journal.has_failed()) {
    const std::uint32_t bell = signals.keeper_doorbell.load();
    signals.keeper_sleeps_until_ns.store(0);  // due.C1
    const std::uint64_t now_ns = steady_clock_ns();
    const bool thorough = now_ns - last_thorough_ns >= thorough_every_ns;
    if (thorough) last_thorough_ns = now_ns;
    if (thorough && hands_over(now_ns)) break;
    work.turn(thorough);
    burial.add(work.timers().burying());
    count_turn(signals, steady_clock_ns() - now_ns);
    const std::uint64_t idle_ns = work.idle_ns();
    if (idle_ns == 0) continue;
    signals.keeper_sleeps_until_ns.store(later_by(lease_clock_ns(), idle_ns));  // due.C3
    if (!work.has_marks()) wait(bell, idle_ns);                                 // due.C4
  }
  // What died just before the end: a process that drains a level and ends leaves letters, not jobs to bury.
  if (!journal.has_failed()) {
    work.turn(false);
    burial.add(work.timers().burying());
  }
  return !journal.has_failed();
}

/// Logs an error once, if there is memory for that.
void Keeper::say(const Error& error) noexcept {
  if (std::exchange(has_said_, true)) return;
  try {
    log().error("this process cannot run the keeper, and retries each second: {}", error.message());
  } catch (const std::exception&) {
  }
}

void Keeper::leave_office(std::uint32_t number) noexcept {
  unlock_byte(engine_->locks.file(), keeper_lock_byte);  // keep.L1
  static_cast<void>(
      engine_->segment.signals().keeper_participant.swap(number + 1, 0));   // keep.L2, unless the next one is in
  engine_->registry.leave(number);                                          // keep.L3
  futex_wake(engine_->segment.participant(number).robust_word, everybody);  // keep.L4
}

/// Sleeps on the doorbell and on the robust words of living participants of the first group; DeathWatch watches the
/// others.
void Keeper::wait(std::uint32_t bell, std::uint64_t ns) noexcept {
  std::array<FutexWatch, most_watches> watches;
  std::size_t count = 0;
  watches[count++] = {&engine_->segment.signals().keeper_doorbell, bell};
  watches[count++] = {&stop_, 0};
  if (!DeathWatch::collect(engine_->segment, 0, watches, count)) return;
  futex_wait_any(std::span(watches).first(count), ns);
}

}  // namespace ringmill
