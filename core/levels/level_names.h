// Numbers and names of levels, read from the segment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "ipc/segment.h"

namespace ringmill {

/// Returns the number of a level in use, fixed levels included.
std::optional<std::uint32_t> find_level(const Segment& segment, std::string_view name) noexcept;
/// Returns the Level of this name. Error not_found: the message lists the levels that exist.
Result<Level> level_named(const Segment& segment, std::string_view name);
/// Returns the Level value of a number.
Level level_of_number(const Segment& segment, std::uint32_t number) noexcept;
/// Returns the number of the level that a job without one goes to: the fixed level of the name `default`, or the only
/// fixed one. Returns Geometry::level_count if there is none.
std::uint32_t default_level(const Segment& segment) noexcept;
/// Returns the numbers of all levels, fixed and dynamic.
std::vector<std::uint32_t> levels_in_use(const Segment& segment);
/// Returns a level's name; also of a removed level, until its number is reused.
std::string level_name(const Segment& segment, std::uint32_t level);
/// Returns true also for a removed level: a kept job may belong to one.
bool has_ever_been_level(const Segment& segment, std::uint32_t level);

}  // namespace ringmill
