#include "core/durability/journal_thread.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "core/base/engine_thread.h"
#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "core/durability/open_journal.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/pause.h"
#include "ipc/time_slice.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ms = 1'000'000;
/// Journaled jobs are on their way to the device within this time; a round on its own begins at once.
constexpr std::uint64_t flush_interval_ns = 1 * ms;
/// After this long without a mark the thread sleeps until it is called.
constexpr std::uint64_t idle_after_ns = 4 * ms;
constexpr std::uint64_t open_retry_ns = 1'000 * ms;
/// Cells looked at for survivors between two rounds.
constexpr std::uint32_t copy_step = 8192;
constexpr std::uint64_t space_retry_ns = 100 * ms;
/// After a round that a caller waited for: about what a caller does between two.
constexpr std::uint64_t wanted_spin_ns = 20'000;
constexpr std::uint64_t longest_finish_ns = 5'000 * ms;
constexpr int everybody = std::numeric_limits<int>::max();

JournalMode mode_of(const JournalDevice& device) noexcept {
  const std::string_view name = device.mode();
  if (name == "io_uring") {
    return device.has_locked_buffers() ? JournalMode::io_uring : JournalMode::io_uring_unregistered;
  }
  return name == "pwritev2" ? JournalMode::pwritev2 : JournalMode::other;
}

void tell_waiters_of(JournalWords& words) noexcept {
  words.spinner.store(0);
  if (words.somebody_waits.exchange(0) == 0) return;  // dur.R2
  words.durable_sequence.fetch_add(1);
  futex_wake(words.durable_sequence, everybody);
}

/// The system's reason, for waiting callers.
int errno_of(const Error& error) noexcept {
  if (error.system_number() != 0) return error.system_number();
  switch (error.code()) {
    case ErrorCode::no_space:
      return ENOSPC;
    case ErrorCode::permission_denied:
      return EACCES;
    case ErrorCode::not_found:
      return ENOENT;
    default:
      return EIO;
  }
}

}  // namespace

JournalWork::JournalWork(EngineCore& engine, DeviceChoice choice)
    : engine_(&engine),
      choice_(choice),
      words_(&engine.segment.journal()),
      marks_(engine.segment.marks()),
      bytes_before_(words_->bytes_written.load()),
      records_before_(words_->records_written.load()),
      elided_before_(words_->jobs_elided.load()),
      visits_(words_->visit) {
  visits_.end();  // that of a thread that is dead
  // What failed for the keeper before us we try for ourselves; what it had in its hands we look at soon.
  set_condition(JournalCondition::none, 0);
  words_->behind_since_ns.store(0);
  if (marks_.any_pending()) ring_journal(engine.segment);
  // A round that it had begun and not published: a caller may wait for it, though no cell is marked or pending any
  // more.
  const std::uint64_t begun = words_->round_started.load();
  if (words_->round_durable.load() < begun) raise_to(words_->round_wanted, begun + 1);
}

bool JournalWork::is_wanted() const noexcept { return round_is_wanted() || marks_.any(); }

bool JournalWork::open() {
  if (writer_) return true;
  const std::uint64_t now_ns = lease_clock_ns();
  if (now_ns < open_again_at_ns_) return false;
  auto writer = open_journal(engine_->directory, words_->epoch.load() + 1, choice_, engine_->open_device);
  if (!writer) {
    open_again_at_ns_ = now_ns + open_retry_ns;
    const bool full = writer.error().code() == ErrorCode::no_space;
    const JournalCondition condition = full ? JournalCondition::no_space : JournalCondition::failed;
    if (!is_in(condition)) {
      log().error("the journal of {} cannot be opened, so jobs do not become durable: {}",
                  engine_->directory.path().string(), writer.error().message());
    }
    set_condition(condition, errno_of(writer.error()));
    return false;
  }
  writer_ = std::move(*writer);
  words_->epoch.store(writer_->epoch());
  words_->bytes_written_before.store(bytes_before_);
  words_->working_since_ns.store(lease_clock_ns());
  rounds_.emplace(engine_->segment, *writer_);
  device_.store(&writer_->device());
  note_statistics();
  set_condition(JournalCondition::working, 0);
  return true;
}

void JournalWork::turn(std::chrono::nanoseconds most_wait) {
  const std::uint32_t bell = words_->doorbell.load();
  const auto most_ns = is_woken_.exchange(false) ? 0 : static_cast<std::uint64_t>(most_wait.count());
  if (!writer_ && !is_wanted() && !marks_.any_pending()) {
    wait(bell, most_ns);
    return;
  }
  if (!open() || writer_->error()) {
    futex_wait(words_->doorbell, bell, std::min(most_ns, open_retry_ns / 4));
    return;
  }
  const auto advance_in_a_visit = [this] {
    const OneVisit visit(visits_);
    engine_->segment.forget_what_has_left();
    return advance();
  };
  if (!advance_in_a_visit()) wait(bell, most_ns);
}

bool JournalWork::advance() {
  writer_->collect(std::chrono::nanoseconds::zero());
  publish();
  if (writer_->error()) return false;
  const std::uint64_t now_ns = lease_clock_ns();
  const bool waited_for = round_is_wanted();
  if (!rounds_->is_under_way()) {
    if (!waited_for && now_ns - last_begin_ns_ < flush_interval_ns) return false;
    if (rounds_->begin(now_ns) == JournalRounds::Begin::nothing) return compacts() && writer_->blocks_in_flight() == 0;
    take_back_impossible_wish();
    last_begin_ns_ = now_ns;
    was_waited_for_ = waited_for;
    words_->behind_since_ns.store(rounds_->not_durable_since_ns());  // a write may hold us from here on
  }
  switch (rounds_->go_on()) {
    case JournalRounds::Step::done:
      static_cast<void>(compacts());
      return false;  // the device has it: wait for it, or for the next round
    case JournalRounds::Step::segments:
      return make_room();
    case JournalRounds::Step::buffers:
    case JournalRounds::Step::failed:
      break;
  }
  return false;
}

bool JournalWork::compacts() { return rounds_->compact(copy_step) == Compaction::Progress::more; }

/// No ticket names a round beyond the next one. A wish for more is corrupt, and would have us begin rounds
/// without an end.
void JournalWork::take_back_impossible_wish() noexcept {
  const std::uint64_t next = words_->round_started.load() + 1;
  std::uint64_t wanted = words_->round_wanted.load();
  if (wanted > next) words_->round_wanted.compare_exchange_strong(wanted, next);
}

/// No segment is free: the oldest one's survivors move, or the disk has no room for another file.
bool JournalWork::make_room() {
  if (writer_->no_space() && !is_in(JournalCondition::no_space)) {
    const int number = writer_->no_space_number();
    if (number == EFBIG) {
      log().error(
          "the journal of {} cannot grow beyond this process's limit on the size of files: journaled jobs are refused; "
          "restart the process with a higher `ulimit -f`",
          engine_->directory.path().string());
    } else {
      log().error("the disk under {} is full: journaled jobs are refused until there is space",
                  engine_->directory.path().string());
    }
    set_condition(JournalCondition::no_space, number);
  }
  const bool more = compacts();
  writer_->flush();
  return more && writer_->blocks_in_flight() == 0;
}

void JournalWork::publish() {
  const std::uint64_t now_ns = lease_clock_ns();
  const bool is_news = rounds_->publish() == JournalRounds::Published::rounds;
  note_statistics();
  if (is_news) tell_waiters();
  if (const auto& error = writer_->error(); error) {
    if (!is_in(JournalCondition::failed)) {
      log().error(
          "the journal of {} failed: {}; nothing more becomes durable. Mend the disk, then restart the process "
          "that keeps (`ringmill status` names it)",
          engine_->directory.path().string(), error->message());
      set_condition(JournalCondition::failed, errno_of(*error));
    }
    return;
  }
  const std::uint64_t since_ns = rounds_->not_durable_since_ns();
  const bool behind = since_ns != 0 && now_ns - since_ns > behind_after_ns;
  if (!lacks_space()) set_condition(behind ? JournalCondition::behind : JournalCondition::working, 0);
}

/// The writer notices space only when it tries to begin a segment. What waited for one may be over without having been
/// written: then nothing would be tried again, and every new job would be refused for ever.
bool JournalWork::lacks_space() const noexcept { return writer_->no_space() && rounds_->is_under_way(); }

void JournalWork::set_condition(JournalCondition condition, int error_number) {
  if (is_in(condition)) return;
  words_->error_number.store(static_cast<std::uint32_t>(error_number));
  words_->condition.store(static_cast<std::uint32_t>(condition));
  tell_waiters();
}

void JournalWork::tell_waiters() noexcept { tell_waiters_of(*words_); }

void JournalWork::fail(const Error& error) noexcept {
  tell_journal_failed(engine_->segment, error.code() == ErrorCode::out_of_memory ? ENOMEM : EIO);
  try {
    log().error("the journal of {} begins anew in a second: {}", engine_->directory.path().string(), error.message());
  } catch (const std::exception&) {  // nothing can be said without memory
  }
}

void JournalWork::call_keeper() noexcept { ring_keeper(engine_->segment); }

void tell_journal_failed(const Segment& segment, int error_number) noexcept {
  JournalWords& words = segment.journal();
  words.error_number.store(static_cast<std::uint32_t>(error_number));
  words.condition.store(static_cast<std::uint32_t>(JournalCondition::failed));
  tell_waiters_of(words);
}

void JournalWork::note_statistics() noexcept {
  words_->mode.store(static_cast<std::uint32_t>(mode_of(writer_->device())));  // it may leave io_uring on its way
  words_->segments.store(writer_->segments_in_use());
  words_->bytes_on_disk.store(writer_->bytes_on_disk());
  words_->bytes_written.store(bytes_before_ + writer_->bytes_written());
  words_->records_written.store(records_before_ + rounds_->records());
  words_->jobs_elided.store(elided_before_ + rounds_->elided());
  words_->behind_since_ns.store(rounds_->not_durable_since_ns());
}

void JournalWork::wait(std::uint32_t bell, std::uint64_t most_ns) {
  const std::uint64_t now_ns = lease_clock_ns();
  const std::uint64_t next_round_ns = last_begin_ns_ + flush_interval_ns;
  const std::uint64_t to_next_round_ns = next_round_ns > now_ns ? next_round_ns - now_ns : 0;
  if (writer_ && lacks_space()) {
    futex_wait(words_->doorbell, bell, std::min(most_ns, space_retry_ns));
    return;
  }
  if (writer_ && (writer_->blocks_in_flight() != 0 || rounds_->is_under_way())) {
    // Callers that come meanwhile share the next round; it begins when the device has answered.
    writer_->collect(std::chrono::nanoseconds(std::min(most_ns, std::max(to_next_round_ns, flush_interval_ns))));
    publish();
    return;
  }
  if (was_waited_for_ && most_ns != 0) {
    // The caller that waited for the last round asks for the next one within 20 us, if at all.
    was_waited_for_ = false;
    const std::uint64_t spin_end_ns = now_ns + wanted_spin_ns;
    while (!round_is_wanted() && lease_clock_ns() < spin_end_ns) pause_while_spinning();
    return;
  }
  if (writer_ && now_ns - last_begin_ns_ < idle_after_ns) {
    // Busy of late: looks by itself, so that no participant needs a system call to call us.
    if (to_next_round_ns != 0) rest(JournalRest::nap, bell, std::min(most_ns, to_next_round_ns));
    return;
  }
  rest(JournalRest::sleep, bell, std::min(most_ns, longest_journal_rest_ns));
}

void JournalWork::rest(JournalRest how, std::uint32_t bell, std::uint64_t most_ns) {
  words_->rest.store(static_cast<std::uint32_t>(how));
  const bool has_work = how == JournalRest::sleep ? is_wanted() : round_is_wanted();
  if (!has_work) futex_wait(words_->doorbell, bell, most_ns);
  words_->rest.store(static_cast<std::uint32_t>(JournalRest::none));
}

void JournalWork::finish(std::chrono::nanoseconds most) {
  const std::uint64_t end_ns = lease_clock_ns() + static_cast<std::uint64_t>(most.count());
  if (!is_wanted() && !marks_.any_pending()) return;
  // By the rounds' own count, because any process may write into the words: we would wait for a round that never comes.
  std::optional<std::uint64_t> last_round;
  while (!(last_round && rounds_->durable() >= *last_round) && lease_clock_ns() < end_ns) {
    if (is_in(JournalCondition::failed) || is_in(JournalCondition::no_space)) return;
    if (rounds_ && !last_round) {
      // One more round than has begun covers everything that was marked before this call.
      last_round = rounds_->begun() + 1;
      raise_to(words_->round_wanted, *last_round);
    }
    turn(std::chrono::milliseconds(10));
  }
}

void JournalWork::wake() noexcept {
  is_woken_.store(true);
  ring_journal(engine_->segment);
  if (JournalDevice* device = device_.load()) device->wake();
}

void hold_back_if_late(const Segment& segment) noexcept {
  JournalWords& words = segment.journal();
  const std::uint64_t since_ns = words.behind_since_ns.load();
  if (since_ns == 0 || lease_clock_ns() < since_ns + behind_after_ns) return;
  auto expected = static_cast<std::uint32_t>(JournalCondition::working);
  const auto behind = static_cast<std::uint32_t>(JournalCondition::behind);
  // Should the write have ended in this moment, the journal thread takes this back: it looks when it is rung.
  if (words.condition.compare_exchange_strong(expected, behind)) ring_journal(segment);
}

JournalThread::JournalThread(EngineCore& engine)
    : work_(engine), thread_(start_engine_thread("ringmill-journal", [this] { run(); })) {}

JournalThread::~JournalThread() {
  stop_.store(true);
  work_.wake();
  thread_.join();
}

void JournalThread::run() noexcept {
  ask_for_short_time_slices();
  try {
    while (!stop_.load()) work_.turn(std::chrono::nanoseconds(longest_journal_rest_ns));
    work_.finish(std::chrono::nanoseconds(longest_finish_ns));
  } catch (const std::exception& thrown) {
    work_.fail(error_of(thrown));
    has_failed_.store(true);
    work_.call_keeper();
  }
}

}  // namespace ringmill
