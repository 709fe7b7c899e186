#include "workers/own_trouble.h"

#include <algorithm>

#include "core/base/log.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// Reasons hold numbers and paths: a worker does not fill the log, nor its memory, with them.
constexpr std::size_t most_reasons_said = 8;

constexpr std::uint64_t to_ns(std::chrono::milliseconds time) noexcept {
  return static_cast<std::uint64_t>(time.count()) * ns_per_ms;
}

}  // namespace

void OwnTrouble::begin(std::chrono::milliseconds give_up_after) {
  const std::lock_guard lock(mutex_);
  give_up_after_ = give_up_after;
  since_ns_ = 0;
  last_ns_ = 0;
  said_.clear();
  is_there_.store(false);
}

void OwnTrouble::clear() noexcept {
  const std::lock_guard lock(mutex_);
  since_ns_ = 0;
  is_there_.store(false);
}

bool OwnTrouble::note(const std::string& reason, std::uint64_t began_ns, std::uint64_t now_ns, bool others_run) {
  const std::lock_guard lock(mutex_);
  if (is_new(reason, now_ns)) {
    log().warn(
        "this worker cannot run a job: {}; the job goes back, and the attempt does not count. It tries again, and ends "
        "when it could run nothing for {} s",
        reason, std::chrono::duration<double>(give_up_after_).count());
  }
  // The worker had nothing to run in between: that is no trouble.
  const bool was_idle = began_ns > last_ns_ && began_ns - last_ns_ > 2 * to_ns(longest_wait);
  if (since_ns_ == 0 || was_idle || others_run) since_ns_ = now_ns;
  last_ns_ = now_ns;
  longest_run_ns_.store(std::max(longest_run_ns_.load(), now_ns - std::min(began_ns, now_ns)));
  is_there_.store(true);
  return now_ns - since_ns_ >= to_ns(give_up_after_);
}

bool OwnTrouble::is_new(const std::string& reason, std::uint64_t now_ns) {
  if (now_ns - last_ns_ > to_ns(quiet_time)) said_.clear();
  if (said_.size() == most_reasons_said || std::ranges::count(said_, reason) != 0) return false;
  said_.push_back(reason);
  return true;
}

std::uint64_t OwnTrouble::sound_after_ns() const noexcept {
  return 2 * longest_run_ns_.load() + to_ns(std::chrono::seconds{1});
}

std::chrono::milliseconds OwnTrouble::wait_after(std::uint32_t failures_in_a_row) noexcept {
  const std::uint32_t doublings = std::min(failures_in_a_row, 16U);
  return std::min(first_wait * (1 << doublings), longest_wait);
}

}  // namespace ringmill
