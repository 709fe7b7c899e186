#include "core/base/tag.h"

#include <algorithm>

namespace ringmill {

const char* fault_of_tag(std::string_view tag) noexcept {
  if (tag.empty() || tag.size() > most_tag_bytes) return "a tag has 1 to 31 bytes";
  const auto is_control = [](char character) {
    const auto byte = static_cast<unsigned char>(character);
    return byte < 0x20 || byte == 0x7f;
  };
  return std::ranges::any_of(tag, is_control) ? "a tag has no control characters" : nullptr;
}

}  // namespace ringmill
