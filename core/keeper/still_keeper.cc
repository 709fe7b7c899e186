#include "core/keeper/still_keeper.h"

#include <algorithm>
#include <exception>

#include "core/base/log.h"
#include "core/instance/keeper_stand.h"
#include "ipc/clock.h"
#include "ipc/process_stand.h"
#include "ipc/registry.h"

namespace ringmill {

namespace {

/// What counts of the time between two looks. Twice the time that one that stands by sleeps at most.
constexpr std::uint64_t most_between_looks_ns = 200'000'000;
/// Looking for the holder of a lock reads all of /proc.
constexpr std::uint64_t end_every_ns = 1'000'000'000;

}  // namespace

void StillKeeper::look() noexcept {
  const Signals& signals = engine_->segment.signals();
  const std::uint32_t keeper_word = signals.keeper_participant.load_once().unbounded();
  const std::uint64_t turned_at_ns = signals.keeper_turned_at_ns.load();
  const std::uint64_t now_ns = steady_clock_ns();
  const std::uint64_t since_ns = now_ns - std::min(now_ns, looked_at_ns_);
  looked_at_ns_ = now_ns;
  if (keeper_word != keeper_word_ || turned_at_ns != turned_at_ns_) {
    keeper_word_ = keeper_word;
    turned_at_ns_ = turned_at_ns;
    still_ns_ = 0;
    has_said_ = false;
    return;
  }
  still_ns_ += std::min(since_ns, most_between_looks_ns);
  if (still_ns_ < still_keeper_ends_after_ns || now_ns < end_again_at_ns_) return;
  end_again_at_ns_ = now_ns + end_every_ns;
  try {
    say();
    end();
  } catch (const std::exception&) {  // no memory for the text: again in a second
  }
}

void StillKeeper::say() {
  if (has_said_) return;
  const std::string trouble = keeper_trouble(engine_->segment);
  if (trouble.empty()) return;
  has_said_ = true;
  log().warn("the keeper of {}, {}: nothing becomes durable, and no job is handed over",
             engine_->directory.path().string(), trouble);
}

void StillKeeper::end() {
  const File& locks = engine_->locks.file();
  if (!is_byte_locked_by_other(locks, dedicated_lock_byte)) return;
  const auto killed = kill_stopped_holder_of(locks, {.byte = keeper_lock_byte, .is_exclusive = true},
                                             {.byte = dedicated_lock_byte, .is_exclusive = false});
  if (!killed) return;
  log().warn("process {} did nothing but keep {}, and was stopped: it was killed, and another process keeps now",
             *killed, engine_->directory.path().string());
}

}  // namespace ringmill
