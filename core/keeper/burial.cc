#include "core/keeper/burial.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/engine_thread.h"
#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "core/base/tag.h"
#include "core/base/trace_parent.h"
#include "core/retry/retry_policies.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// The most burials in one transaction.
constexpr std::size_t most_at_once = 256;
/// The pause after a failure: the disk, or the store of letters, is full until an operator makes room.
constexpr std::chrono::seconds try_again_after{1};
/// How long the end of a term may take.
constexpr std::uint64_t longest_end_ns = 1'000'000'000;
/// The most refused letters of those tried one by one; then the rest waits, too.
constexpr std::size_t most_refused = 8;

/// Returns whether another letter may succeed after this error. `no_space` may concern one letter: a short one may
/// still fit.
bool may_be_of_one_letter(const Error& error) noexcept {
  return error.code() == ErrorCode::too_large || error.code() == ErrorCode::invalid_argument ||
         error.code() == ErrorCode::no_space;
}

std::chrono::milliseconds as_ms(std::uint64_t ms) noexcept {
  return std::chrono::milliseconds(std::min(ms, most_wait_ms));
}

}  // namespace

Burial::Burial(EngineCore& engine, std::uint32_t number)
    : engine_(&engine), settling_(engine.segment, number), visits_(engine.segment.signals().burial_visit) {
  visits_.end();  // that of a thread that is dead
  thread_ = start_engine_thread("ringmill-burial", [this] { run(); });
}

Burial::~Burial() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    stop_at_ns_ = steady_clock_ns() + longest_end_ns;
  }
  changed_.notify_one();
  thread_.join();
}

void Burial::add(std::vector<CellIndex>& cells) {
  if (cells.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), cells.begin(), cells.end());
  }
  cells.clear();
  changed_.notify_one();
}

void Burial::run() noexcept {
  bool is_over = false;
  while (!is_over) {
    try {
      bury_until_stopped();
    } catch (const std::exception& thrown) {  // what waits is still on the list
      say(error_of(thrown));
    }
    std::unique_lock lock(mutex_);
    is_over = changed_.wait_for(lock, try_again_after, [this] { return stop_; });
  }
}

void Burial::bury_until_stopped() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_ && (waiting_.empty() || steady_clock_ns() >= stop_at_ns_)) return;
    const std::size_t count = std::min(waiting_.size(), most_at_once);
    std::vector<CellIndex> cells(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    lock.unlock();
    const bool done = bury(cells);
    lock.lock();
    // Other threads add behind our cells. Our remaining cells go to the end, where they fit without an allocation.
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    if (done) continue;
    waiting_.insert(waiting_.end(), cells.begin(), cells.end());
    if (changed_.wait_for(lock, try_again_after, [this] { return stop_; })) return;
  }
}

bool Burial::bury(std::vector<CellIndex>& cells) {
  const OneVisit visit(visits_);
  engine_->segment.forget_what_has_left();
  const std::vector<Grave> graves = graves_of(cells);
  cells.clear();
  if (graves.empty()) return true;
  const auto put_back = [&] {
    for (const Grave& grave : graves) cells.push_back(grave.index);
    return false;
  };
  if (!open_store()) return put_back();
  const auto done = bury_all(graves);
  if (done) {
    has_said_ = false;
    return true;
  }
  say(done.error());
  if (graves.size() == 1 || !may_be_of_one_letter(done.error())) return put_back();
  cells = bury_each(graves);
  return cells.empty();
}

std::vector<Burial::Grave> Burial::graves_of(std::span<const CellIndex> cells) const {
  std::vector<Grave> graves;
  for (const CellIndex index : cells) {
    const auto view = view_job(engine_->segment, index);
    // The cell was named twice, or its job is gone. Only this thread moves a burying cell, so its view is consistent.
    if (!view || view->word.state() != CellState::burying) continue;
    graves.push_back({.index = index, .word = view->word, .letter = letter_of(*view)});
  }
  return graves;
}

std::vector<CellIndex> Burial::bury_each(std::span<const Grave> graves) {
  std::vector<CellIndex> refused;
  for (std::size_t n = 0; n < graves.size(); ++n) {
    const auto done = bury_all(graves.subspan(n, 1));
    if (done) continue;
    refused.push_back(graves[n].index);
    if (refused.size() < most_refused && may_be_of_one_letter(done.error())) continue;
    std::vector<CellIndex> left;
    for (const Grave& grave : graves.subspan(n + 1)) left.push_back(grave.index);
    left.insert(left.end(), refused.begin(), refused.end());
    return left;
  }
  return refused;
}

Result<void> Burial::bury_all(std::span<const Grave> graves) {
  std::vector<DeadLetter> letters;
  for (const Grave& grave : graves) letters.push_back(grave.letter);
  if (const auto done = store_->bury(letters); !done) return std::unexpected(done.error());  // bury.G2
  for (const Grave& grave : graves) {
    if (!settling_.drop(grave.index, grave.word)) continue;  // bury.G3
    engine_->segment.free_map().put_cell(grave.index);
  }
  wake_for_space(engine_->segment);
  return {};
}

bool Burial::open_store() {
  if (store_) return true;
  auto opened = DeadLetterStore::open(engine_->directory.folder(), DeadLetterStore::Access::read_write);
  if (!opened) {
    say(opened.error());
    return false;
  }
  store_ = *std::move(opened);
  return true;
}

DeadLetter Burial::letter_of(const JobView& view) const {
  const CellIndex index = index_of(view.info.id);
  const JobTable& table = settling_.table();
  const CellHeader& header = table.header(index);
  DeadLetter letter;
  letter.id = view.info.id;
  letter.kind = view.info.kind;
  letter.level = view.info.level;
  letter.cause = view.info.cause.value_or(DeathCause::failed);
  letter.attempts = view.info.attempts;
  letter.max_attempts = view.info.max_attempts;
  letter.enqueued_at = view.info.enqueued_at;
  letter.died_at = view.info.ended_at;
  if (letter.died_at.time_since_epoch().count() == 0) letter.died_at = std::chrono::system_clock::now();
  letter.worker = view.info.worker;
  letter.last_error = view.info.last_error;
  letter.payload = copy_payload(engine_->segment, view).value_or(std::vector<std::byte>());
  if (letter.payload.size() < view.info.payload_size) {
    letter.payload_cut_from = view.info.payload_size;
    log().error(
        "job {} is dead, and its payload cannot be read: another process wrote over the shared memory of {}; its "
        "letter goes without, and it cannot be retried",
        letter.id.to_string(), engine_->directory.path().string());
  }
  letter.lease = std::chrono::milliseconds(header.lease_ms.load_once().unbounded());
  // An invalid policy has no text.
  const std::uint32_t policy = header.retry_policy.load_once().at_most(most_retry_policies + 1);
  if (policy != 0) letter.backoff = RetryPolicies::text_of(engine_->segment, policy).value_or("");
  if (const CellOptions* const options = table.options(index); options != nullptr) {
    letter.keep_result = as_ms(options->keep_ms.load());
  }
  // Words that another process has spoilt are left out: the letter could not be read.
  if (fault_of_tag(view.info.tag) == nullptr) letter.tag = view.info.tag;
  if (TraceParent::parse(view.info.trace_parent)) letter.trace_parent = view.info.trace_parent;
  letter.retried_from = view.info.retried_from;
  letter.bury_when_worker_lost = (header.flags.load() & cell_flag::bury_on_worker_lost) != 0;
  return letter;
}

void Burial::say(const Error& error) noexcept {
  if (std::exchange(has_said_, true)) return;
  try {
    log().error("dead jobs cannot be written to the dead letters, and stay in the table until they can: {}",
                error.message());
  } catch (const std::exception&) {  // no memory to say it
  }
}

}  // namespace ringmill
