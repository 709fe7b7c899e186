// Jobs that stand in the table while something else is measured.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "bench/subject.h"

namespace ringmill::bench {

/// A table that holds a million standing jobs and leaves room to work. Runs with few standing jobs use it too, so
/// that the jobs are all that differs.
inline constexpr std::uint32_t capacity_above_a_million = 1'200'000;

std::expected<void, std::string> enqueue_standing_jobs(Subject& subject, std::string_view level_name,
                                                       std::uint64_t count);

}  // namespace ringmill::bench
