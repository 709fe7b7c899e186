// What a user's tag may be (JobRequest::tag).
#pragma once

#include <cstddef>
#include <string_view>

namespace ringmill {

/// The longest tag; bytes.
inline constexpr std::size_t most_tag_bytes = 31;

/// Returns what is wrong with a tag; nullptr: it is 1 to 31 bytes without control characters.
const char* fault_of_tag(std::string_view tag) noexcept;

}  // namespace ringmill
