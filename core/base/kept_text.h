// Shortens an error to the room in the cell: the reason, a mark, and the end of the output.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "ipc/layout.h"

namespace ringmill {

/// At most the first `most` bytes of a text, without the beginning of a UTF-8 character that does not fit whole.
std::string_view beginning_of(std::string_view text, std::size_t most) noexcept;

/// At most the last `most` bytes of a text. They begin with a line where one begins in their first half, else with a
/// whole UTF-8 character. Blanks and line ends behind the text are left out.
std::string_view end_of(std::string_view text, std::size_t most) noexcept;

/// "reason: said" when that fits, else "reason: [...] END": programs say last why they fail. Without `said` the reason
/// keeps its beginning and its end. A reason that leaves too little room for the end is cut as well.
class KeptText {
 public:
  KeptText(std::string_view reason, std::string_view said, std::size_t room) noexcept;

  std::string_view text() const noexcept { return {bytes_.data(), size_}; }

 private:
  void add(std::string_view text) noexcept;

  std::array<char, most_staged_bytes> bytes_;  // the first size_ are set
  std::size_t size_ = 0;
};

}  // namespace ringmill
