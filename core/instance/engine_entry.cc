// Entering an engine that is open. Its memory may have been replaced since: a process is in only once it holds an
// entry's lock byte, and what makes memory anew takes all of them first (core/engine/engine_recovery.cc).
#include <chrono>
#include <memory>
#include <thread>

#include "core/instance/engine_core.h"

namespace ringmill {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// While memory is made anew, all entries are taken.
constexpr milliseconds longest_making_wait{5000};
constexpr milliseconds making_pause{5};

/// True: a making, or a removal, was under way when this was called. It is over, or takes longer than we wait.
bool wait_for_maker(const File& probe) {
  if (!is_byte_locked_by_other(probe, structure_lock_byte)) return false;
  const auto end = steady_clock::now() + longest_making_wait;
  while (is_byte_locked_by_other(probe, structure_lock_byte) && steady_clock::now() < end) {
    std::this_thread::sleep_for(making_pause);
  }
  return true;
}

}  // namespace

Result<std::uint32_t> enter_engine(EngineCore& core, Role role, Binding binding) {
  auto number = core.registry.enter(role, binding);
  if (!number && number.error().code() == ErrorCode::too_many_participants && wait_for_maker(core.probe.file())) {
    number = core.registry.enter(role, binding);
  }
  if (!number) return number;
  const auto leave = [&core](const std::uint32_t* entered) { core.registry.leave(*entered); };
  std::unique_ptr<const std::uint32_t, decltype(leave)> entered(&*number, leave);  // also when something throws
  if (auto current = core.directory.check_memory(core.segment); !current) return std::unexpected(current.error());
  static_cast<void>(entered.release());
  return number;
}

}  // namespace ringmill
