// Which bound refuses a job of a level at this moment, in words. It only reads.
#pragma once

#include <cstdint>
#include <string>

#include "ipc/segment.h"

namespace ringmill {

/// Returns the bound that refuses a plain job of this level, with what the level holds; empty: none does. `level` is
/// the number of a level in use.
std::string refusal_at(const Segment& segment, std::uint32_t level);
/// Returns what bounds the level, and what is left of that.
std::string bounds_at(const Segment& segment, std::uint32_t level);

}  // namespace ringmill
