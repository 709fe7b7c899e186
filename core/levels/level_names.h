// Which levels there are, and what they are called, as the segment says.
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

/// The number of a level that is in use, first levels included.
std::optional<std::uint32_t> find_level(const Segment& segment, std::string_view name) noexcept;
/// The same, as its users name it. Error not_found: the message lists the levels that are.
Result<Level> level_named(const Segment& segment, std::string_view name);
/// What its users name it by.
Level level_of_number(const Segment& segment, std::uint32_t number) noexcept;
/// The numbers of all levels, the first ones and those made at run time.
std::vector<std::uint32_t> levels_in_use(const Segment& segment);
/// Also of one that was removed, until its number is another one's.
std::string level_name(const Segment& segment, std::uint32_t level);
/// True also for a removed level: a job that is kept may be of one.
bool has_ever_been_level(const Segment& segment, std::uint32_t level);

}  // namespace ringmill
