#include "core/base/trace_parent.h"

#include <optional>
#include <span>

namespace ringmill {

static constexpr std::size_t version_00_bytes = 55;

namespace {

constexpr std::size_t trace_begin = 3;
constexpr std::size_t parent_begin = 36;
constexpr std::size_t flags_begin = 53;
/// The flags of version 00 that have a meaning: sampled, random.
constexpr std::uint8_t known_flags = 3;

std::optional<std::uint8_t> digit_of(char character) noexcept {
  if (character >= '0' && character <= '9') return static_cast<std::uint8_t>(character - '0');
  if (character >= 'a' && character <= 'f') return static_cast<std::uint8_t>(character - 'a' + 10);
  return std::nullopt;
}

/// Reads two digits for each byte of `to`.
bool read_hex(std::string_view digits, std::span<std::uint8_t> to) noexcept {
  for (std::size_t n = 0; n < to.size(); ++n) {
    const auto high = digit_of(digits[2 * n]);
    const auto low = digit_of(digits[2 * n + 1]);
    if (!high || !low) return false;
    to[n] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return true;
}

void write_hex(std::span<const std::uint8_t> bytes, char* to) noexcept {
  constexpr std::string_view digits = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
  }
}

bool has_all_dashes(std::string_view text) noexcept {
  return text[trace_begin - 1] == '-' && text[parent_begin - 1] == '-' && text[flags_begin - 1] == '-';
}

}  // namespace

std::expected<TraceParent, const char*> TraceParent::parse(std::string_view text) noexcept {
  constexpr const char* form = "it has the form 00-TRACE-PARENT-FLAGS: 2, 32, 16 and 2 lower-case hexadecimal digits";
  if (text.size() < version_00_bytes || !has_all_dashes(text)) return std::unexpected(form);
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  TraceParent parent;
  const bool is_hex = read_hex(text, version) && read_hex(text.substr(trace_begin), parent.trace_id) &&
                      read_hex(text.substr(parent_begin), parent.parent_id) &&
                      read_hex(text.substr(flags_begin), flags);
  if (!is_hex) return std::unexpected(form);
  if (version[0] == 0xff) return std::unexpected("version ff is none");
  if (version[0] == 0 && text.size() != version_00_bytes) return std::unexpected("of version 00 it has 55 characters");
  if (text.size() > version_00_bytes && text[version_00_bytes] != '-') return std::unexpected(form);
  if (!parent) return std::unexpected("a trace id of zeros is none");
  if (parent.parent_id == std::array<std::uint8_t, 8>{}) return std::unexpected("a parent id of zeros is none");
  parent.flags = version[0] == 0 ? flags[0] : flags[0] & known_flags;
  return parent;
}

std::array<char, version_00_bytes> TraceParent::characters() const noexcept {
  std::array<char, version_00_bytes> characters;
  characters.fill('-');
  write_hex(std::array<std::uint8_t, 1>{0}, characters.data());
  write_hex(trace_id, characters.data() + trace_begin);
  write_hex(parent_id, characters.data() + parent_begin);
  write_hex(std::span(&flags, 1), characters.data() + flags_begin);
  return characters;
}

std::string TraceParent::text() const {
  if (!*this) return {};
  const auto all = characters();
  return {all.data(), all.size()};
}

}  // namespace ringmill
