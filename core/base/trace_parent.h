// The traceparent of W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a job belongs to, and which
// span made it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace ringmill {

struct TraceParent {
  std::array<std::uint8_t, 16> trace_id{};  // all zero: there is none
  std::array<std::uint8_t, 8> parent_id{};
  std::uint8_t flags = 0;

  constexpr explicit operator bool() const noexcept { return trace_id != std::array<std::uint8_t, 16>{}; }
  bool operator==(const TraceParent&) const noexcept = default;

  /// Takes `00-TRACE-PARENT-FLAGS` in lower-case hexadecimal digits. Of a version above 00 it takes what version 00
  /// has, as the standard asks. The error says what is wrong.
  static std::expected<TraceParent, const char*> parse(std::string_view text) noexcept;
  /// Returns it as version 00 writes it.
  std::array<char, 55> characters() const noexcept;
  /// The same. Empty: there is none.
  std::string text() const;
};

}  // namespace ringmill
