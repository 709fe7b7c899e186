// What a participant is for, and what it is bound to.
#pragma once

#include <string_view>

namespace ringmill {

/// The purpose that a participant states; `ringmill status` shows it. Each role but `producer` has reserved registry
/// entries, so producers that fill the registry cannot keep a worker, a tool or the keeper out.
enum class Role { producer, worker, keeper, tool };
/// "producer" and so on. Any thread; costs nothing.
std::string_view name_of(Role role) noexcept;

/// What a participant is bound to.
enum class Binding {
  /// The thread that attached it. Each call checks that. Its death is seen when the thread ends, after about 0.1 ms.
  thread,
  /// The process. Any thread may call, one at a time: the caller's lock sees to that, and nothing checks it. Its death
  /// is seen when the process has ended, by its lock byte, after up to 50 ms.
  process,
};

}  // namespace ringmill
