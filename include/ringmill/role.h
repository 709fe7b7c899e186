// What a participant is for.
#pragma once

#include <string_view>

namespace ringmill {

/// What a participant says it is for: shown by `ringmill status`. Each role but `producer` has registry entries that
/// the others leave free, so that callers that fill the registry cannot keep a worker, a tool or the keeper out.
enum class Role { producer, worker, keeper, tool };
/// "producer" and so on. Any thread; costs nothing.
std::string_view name_of(Role role) noexcept;

}  // namespace ringmill
