// A keeper that lives and does not move: how that is seen, and what is said of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ipc/registry.h"
#include "ipc/segment.h"

namespace ringmill {

/// The keeper takes a turn every 50 ms at least. After so long without one it is said to stand still.
inline constexpr std::uint64_t keeper_stands_still_after_ns = 2'000'000'000;

/// For how long the keeper has taken no turn; nothing if there is no keeper, or if it turns. Whether it lives is for
/// the caller to ask.
std::optional<std::uint64_t> keeper_still_ns(const Segment& segment) noexcept;

/// "process 4711 has stood still for 12 s: it is stopped (state T)"; empty as above. Reads /proc.
std::string keeper_trouble(const Segment& segment);

}  // namespace ringmill
