#include "core/keeper/burial.h"

#include <sys/prctl.h>

#include <algorithm>
#include <chrono>

#include "core/inspect.h"
#include "core/log.h"
#include "core/retry_policies.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// In one transaction.
constexpr std::size_t most_at_once = 256;
/// After a failure: the disk is full, or the letters are, and somebody has to make room.
constexpr std::chrono::seconds try_again_after{1};

std::chrono::milliseconds as_ms(std::uint64_t ms) noexcept {
  return std::chrono::milliseconds(std::min(ms, most_wait_ms));
}

}  // namespace

Burial::Burial(EngineCore& engine, std::uint32_t number)
    : engine_(&engine), settling_(engine.segment, number), thread_([this] { run(); }) {}

Burial::~Burial() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
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

void Burial::run() {
  ::prctl(PR_SET_NAME, "ringmill-burial");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::size_t count = std::min(waiting_.size(), most_at_once);
    std::vector<CellIndex> cells(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    lock.unlock();
    const bool done = bury(cells);
    lock.lock();
    if (done) continue;
    waiting_.insert(waiting_.end(), cells.begin(), cells.end());
    changed_.wait_for(lock, try_again_after, [this] { return stop_; });
  }
}

bool Burial::bury(std::vector<CellIndex>& cells) {
  const JobTable& table = settling_.table();
  std::vector<DeadLetter> letters;
  std::vector<std::pair<CellIndex, StateWord>> buried;
  for (const CellIndex index : cells) {
    const StateWord word = table.word(index);
    if (word.state() != CellState::burying) continue;  // named twice
    auto letter = letter_of(index, word);
    if (!letter) continue;
    letters.push_back(*std::move(letter));
    buried.emplace_back(index, word);
  }
  if (letters.empty()) return true;
  if (!store_) {
    auto opened = DeadLetterStore::open(engine_->directory.path(), DeadLetterStore::Access::read_write);
    if (!opened) {
      say(opened.error());
      return false;
    }
    store_ = *std::move(opened);
  }
  if (const auto done = store_->bury(letters); !done) {  // G2
    say(done.error());
    return false;
  }
  has_said_ = false;
  for (const auto& [index, word] : buried) {
    if (!settling_.drop(index, word)) continue;  // G3
    engine_->segment.free_map().put(index & ~CellIndex{63}, std::uint64_t{1} << (index % 64));
  }
  wake_for_space(engine_->segment);
  return true;
}

std::optional<DeadLetter> Burial::letter_of(CellIndex index, StateWord word) const {
  const auto view = view_job(engine_->segment, index);
  if (!view || view->word != word) return std::nullopt;
  const JobTable& table = settling_.table();
  const CellHeader& header = table.header(index);
  DeadLetter letter;
  letter.id = view->info.id;
  letter.kind = view->info.kind;
  letter.level = view->info.level;
  letter.cause = view->info.cause.value_or(DeathCause::failed);
  letter.attempts = view->info.attempts;
  letter.max_attempts = view->info.max_attempts;
  letter.enqueued_at = view->info.enqueued_at;
  letter.died_at = view->info.ended_at;
  if (letter.died_at.time_since_epoch().count() == 0) letter.died_at = std::chrono::system_clock::now();
  letter.worker = view->info.worker;
  letter.last_error = view->info.last_error;
  auto payload = copy_payload(engine_->segment, *view);
  if (!payload) return std::nullopt;
  letter.payload = *std::move(payload);
  letter.lease = std::chrono::milliseconds(header.lease_ms.load());
  // What is no policy has no text.
  const std::uint32_t policy = header.retry_policy.load_once().at_most(most_retry_policies + 1);
  if (policy != 0) letter.backoff = RetryPolicies::text_of(engine_->segment, policy).value_or("");
  if (const CellOptions* const options = table.options(index); options != nullptr) {
    letter.keep_result = as_ms(options->keep_ms.load());
  }
  letter.bury_when_worker_lost = (header.flags.load() & cell_flag::bury_on_worker_lost) != 0;
  return letter;
}

void Burial::say(const Error& error) {
  if (has_said_) return;
  has_said_ = true;
  log().error("dead jobs cannot be written to the dead letters, and stay in the table until they can: {}",
              error.message());
}

}  // namespace ringmill
