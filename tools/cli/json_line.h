// A JSON object on one line, cut into its members without changing a byte of their values.
//
// A value that goes to a worker must come as it was written: a number of 23 digits, `1.10`, a key that stands twice. So
// the text is checked (RFC 8259) and cut, and what is inside a value is not read. The scan is a loop with a bound on
// nesting: no line, however deep, takes stack.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

namespace ringmill::cli {

/// Objects and arrays in one another, the line's own object among them.
inline constexpr std::size_t most_json_levels = 1000;

struct JsonMember {
  std::string key;
  std::string_view value;  // its text in the line, without blanks around it
};

/// The members in their order. Error invalid_argument: no JSON object, a key that stands twice in it, or nested too
/// deep; the detail says at which byte of the line.
Result<std::vector<JsonMember>> members_of(std::string_view line);

/// The text of a JSON string with its quotes, as of members_of(). Nothing: it is another value, or no Unicode.
std::optional<std::string> json_string(std::string_view value);

}  // namespace ringmill::cli
