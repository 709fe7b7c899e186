// Text of others, before a terminal gets it.
#include "core/base/shown_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "core/base/log.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

std::string utf8(char32_t code) {
  const auto byte = [](char32_t bits) { return static_cast<char>(bits); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xc0 | code >> 6), byte(0x80 | (code & 0x3f))};
  return {byte(0xe0 | code >> 12), byte(0x80 | (code >> 6 & 0x3f)), byte(0x80 | (code & 0x3f))};
}

TEST(ShownText, a_value_is_one_line_and_can_be_read_back) {
  EXPECT_EQ(shown("plain text, with \"quotes\""), "plain text, with \"quotes\"");
  EXPECT_EQ(shown("a\nb\\n"), "a\\nb\\\\n");
  EXPECT_EQ(shown("\x1b[31m\t\x7f"), "\\x1b[31m\\x09\\x7f");
  EXPECT_EQ(shown(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(shown("gr\u00fc\u00df, \u4e16\u754c, \U0001f600"), "gr\u00fc\u00df, \u4e16\u754c, \U0001f600");
}

TEST(ShownText, c1_controls_directions_and_separators_are_escaped_and_their_neighbours_are_not) {
  for (char32_t code = 0x80; code < 0x10000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const bool is_control = code <= 0x9f || code == 0x61c || code == 0x200e || code == 0x200f ||
                            (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    const std::string text = utf8(code);
    EXPECT_EQ(shown(text) != text, is_control) << std::hex << static_cast<std::uint32_t>(code);
    EXPECT_EQ(shown_json(text) != text, is_control) << std::hex << static_cast<std::uint32_t>(code);
  }
  EXPECT_EQ(shown("\u009b31m"), "\\u009b31m");
  EXPECT_EQ(shown("\u202e"), "\\u202e");
}

TEST(ShownText, only_the_bytes_that_are_no_utf_8_are_escaped) {
  EXPECT_EQ(shown("gr\u00fc\xff\xc3"), "gr\u00fc\\xff\\xc3");
  EXPECT_EQ(shown("\xc0\x80"), "\\xc0\\x80");                    // longer than need be
  EXPECT_EQ(shown("\xe0\x82\x9b"), "\\xe0\\x82\\x9b");           // U+009B, longer than need be
  EXPECT_EQ(shown("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(shown("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(shown("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");
  EXPECT_FALSE(is_utf8("\xe0\x82\x9b"));
  EXPECT_TRUE(is_utf8("gr\u00fc\U0001f600"));
}

TEST(ShownText, a_sentence_keeps_the_escapes_of_its_values_and_loses_its_newlines) {
  EXPECT_EQ(shown_line("it said: " + shown("a\\b\x1b") + "\nforged line\u2028"),
            "it said: a\\\\b\\x1b forged line\\u2028");
  EXPECT_EQ(shown_lines("a\tb\n\x1b"), "a\tb\n\\x1b");
}

TEST(ShownText, json_text_says_the_same_after_it) {
  EXPECT_EQ(shown_json("{\"k\":\"\x7f\u009d\u2029gr\u00fc\"}"), "{\"k\":\"\\u007f\\u009d\\u2029gr\u00fc\"}");
}

TEST(ShownText, a_log_line_holds_no_control_whatever_it_tells) {
  const LogCapture lines;
  log().warn("file {} cannot be read", "a\nforged: line \x1b]0;title\x07\u009b31m");
  ASSERT_EQ(lines.messages().size(), 1U);
  EXPECT_EQ(lines.messages()[0], "file a forged: line \\x1b]0;title\\x07\\u009b31m cannot be read");
}

}  // namespace
}  // namespace ringmill::test
