// Text that came from jobs, files or names, before it reaches a terminal: output, errors and the log, all by this.
//
// Characters that a terminal would obey, or that would make a line look like another one, are written as escapes:
// control characters (C0, DEL, C1), controls of the writing direction, the line and paragraph separators, and bytes
// that are no UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace ringmill {

/// Text that is a value, on one line: `\n`, `\x1b`, `\u009b`. A backslash is doubled, so that nothing is ambiguous.
std::string shown(std::string_view text);

/// A sentence that may hold values that were shown() before: a newline becomes a blank, a backslash stays.
std::string shown_line(std::string_view sentence);

/// Many lines, for a terminal: newlines, tabs and backslashes stay.
std::string shown_lines(std::string_view text);

/// The same characters in JSON text, which has them inside strings alone, as \u009b. The text is valid UTF-8.
std::string shown_json(std::string json);

bool is_utf8(std::string_view text) noexcept;

}  // namespace ringmill
