#include "workers/async_state.h"

#include <algorithm>
#include <limits>

#include "ipc/clock.h"
#include "ipc/futex.h"

namespace ringmill {

AsyncState::AsyncState(std::uint32_t threads, std::uint32_t in_flight) : fork_generation_(fork_generation()) {
  const std::uint32_t needed = (in_flight + Participant::most_leases - 1) / Participant::most_leases;
  const std::uint32_t count = std::max(needed, threads);
  for (std::uint32_t n = 0; n < count; ++n) {
    AsyncHolder& holder = holders_.emplace_back();
    holder.most = in_flight / count + (n < in_flight % count ? 1 : 0);
  }
}

void AsyncState::stop() noexcept {
  stopping_.store(true);
  note_change();
}

std::uint32_t AsyncState::in_flight() const noexcept {
  std::uint32_t count = 0;
  for (const AsyncHolder& holder : holders_) count += holder.held.load();
  return count;
}

void AsyncState::note_change() noexcept {
  changes_.fetch_add(1);
  // Both sides are seq_cst: either we see the sleeper, or it sees the change and does not sleep.
  if (waiting_.load() != 0) futex_wake(changes_, std::numeric_limits<int>::max());
}

void AsyncState::wait_for_change(std::uint32_t seen, std::uint64_t wait_ns) noexcept {
  waiting_.fetch_add(1);
  if (changes_.load() == seen) futex_wait(changes_, seen, wait_ns);
  waiting_.fetch_sub(1);
}

void AsyncState::pause_for(std::uint64_t ns) noexcept { pause_until_ns_.store(later_by(steady_clock_ns(), ns)); }

}  // namespace ringmill
