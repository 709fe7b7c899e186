// Text that a terminal would obey, and what must not be left of it in the output of a command.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/base/shown_text.h"
#include "tests/support/program.h"

namespace ringmill::test {

/// Each begins with X and ends with Y, so that it is found again where it is escaped.
inline const std::vector<std::string>& corpus() {
  static const std::vector<std::string> texts{"X\x1b[31mY",
                                              "X\x1b]0;title\x07Y",
                                              "X\x7fY",
                                              "X\u009b31mY",
                                              "X\u009d0;title\u009cY",
                                              "X\u0085Y",
                                              "X\u202edetrevniY",
                                              "X\u2066isolate\u2069Y",
                                              "X\u200e\u200f\u061cY",
                                              "X\u2028\u2029Y",
                                              "X\xff\xc2Y",
                                              "X\xc0\x9bY",
                                              "X\rY\bZ",
                                              "X\x9b"
                                              "31mY"};
  return texts;
}

/// All of it as one name.
inline std::string whole_corpus() {
  std::string text;
  for (const std::string& one : corpus()) text += one;
  return text;
}

inline bool is_escaped(std::string_view out) {
  if (!is_utf8(out)) return false;
  for (const char c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) return false;
  }
  return shown_lines(std::string(out)) == out;
}

inline void expect_escaped(const Ran& ran, const std::string& text, const std::string& command) {
  EXPECT_TRUE(is_escaped(ran.out)) << command << ": " << shown(text) << "\n" << shown(ran.out);
  EXPECT_TRUE(is_escaped(ran.err)) << command << ": " << shown(text) << "\n" << shown(ran.err);
}

}  // namespace ringmill::test
