#include "core/base/shown_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace ringmill {

namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool is_valid = false;
};

/// The first character of a text that is not empty. What is no UTF-8 is one byte: no surrogates, no longer form than
/// needed, nothing above U+10FFFF.
Character first_of(std::string_view text) noexcept {
  const auto byte = [text](std::size_t n) { return static_cast<unsigned char>(text[n]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  char32_t code = lead & (0x7fU >> bytes);
  for (std::size_t n = 1; n < bytes; ++n) {
    if ((byte(n) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(n) & 0x3fU);
  }
  constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  if (code < least[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes, true};
}

/// C1 controls, directions and separators: all in the first plane, so four digits say them.
bool is_control_beyond_ascii(char32_t code) noexcept {
  constexpr std::array<std::pair<char32_t, char32_t>, 5> ranges{
      {{0x80, 0x9f}, {0x61c, 0x61c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}}};
  return std::ranges::any_of(ranges, [code](const auto& range) { return code >= range.first && code <= range.second; });
}

bool is_control(char32_t code) noexcept { return code < 0x20 || code == 0x7f || is_control_beyond_ascii(code); }

/// Appends the text, with what is a control escaped, but for what `plain` appends itself.
template <class Plain>
std::string escaped(std::string_view text, Plain&& plain) {
  std::string line;
  line.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_of(text);
    if (plain(line, character)) {
    } else if (!character.is_valid || (is_control(character.code) && character.code < 0x80)) {
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (is_control(character.code)) {
      fmt::format_to(std::back_inserter(line), "\\u{:04x}", static_cast<std::uint32_t>(character.code));
    } else {
      line += text.substr(0, character.bytes);
    }
    text.remove_prefix(character.bytes);
  }
  return line;
}

}  // namespace

std::string shown(std::string_view text) {
  return escaped(text, [](std::string& line, const Character& character) {
    if (!character.is_valid || (character.code != '\n' && character.code != '\\')) return false;
    line += character.code == '\n' ? "\\n" : "\\\\";
    return true;
  });
}

std::string shown_line(std::string_view sentence) {
  return escaped(sentence, [](std::string& line, const Character& character) {
    if (!character.is_valid || character.code != '\n') return false;
    line += ' ';
    return true;
  });
}

std::string shown_lines(std::string_view text) {
  return escaped(text, [](std::string& line, const Character& character) {
    if (!character.is_valid || (character.code != '\n' && character.code != '\t')) return false;
    line += static_cast<char>(character.code);
    return true;
  });
}

std::string shown_json(std::string json) {
  const auto is_plain = [](char c) { return static_cast<unsigned char>(c) < 0x7f; };
  if (std::ranges::all_of(json, is_plain)) return json;
  std::string text;
  text.reserve(json.size());
  for (std::string_view rest = json; !rest.empty();) {
    const Character character = first_of(rest);
    if (character.is_valid && character.code >= 0x7f && is_control(character.code)) {
      fmt::format_to(std::back_inserter(text), "\\u{:04x}", static_cast<std::uint32_t>(character.code));
    } else {
      text += rest.substr(0, character.bytes);
    }
    rest.remove_prefix(character.bytes);
  }
  return text;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const Character character = first_of(text);
    if (!character.is_valid) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

}  // namespace ringmill
