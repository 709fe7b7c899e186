// What a participant is for.
#pragma once

#include <string_view>

namespace ringmill {

/// The purpose that a participant states; `ringmill status` shows it. Each role but `producer` has reserved registry
/// entries, so producers that fill the registry cannot keep a worker, a tool or the keeper out.
enum class Role { producer, worker, keeper, tool };
/// "producer" and so on. Any thread; costs nothing.
std::string_view name_of(Role role) noexcept;

}  // namespace ringmill
