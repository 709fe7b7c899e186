// Texts of the API: JSON that is safe to send, errors, and numbers of a query.
#pragma once

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "core/base/shown_text.h"
#include "server/http.h"

namespace ringmill {

/// Valid UTF-8, whatever stands in the value; what would steer a terminal or the writing direction is escaped.
inline std::string json_text(const nlohmann::ordered_json& json) {
  return shown_json(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)) + "\n";
}

inline HttpAnswer json_answer(const nlohmann::ordered_json& json) { return {.body = json_text(json)}; }

inline HttpAnswer error_answer(unsigned status, const std::string& message) {
  return {.status = status, .body = json_text({{"error", message}})};
}

inline HttpAnswer error_answer(const Error& error) {
  unsigned status = 500;
  switch (error.code()) {
    case ErrorCode::not_found:
      status = 404;
      break;
    case ErrorCode::invalid_argument:
      status = 400;
      break;
    case ErrorCode::permission_denied:
      status = 403;
      break;
    case ErrorCode::would_block:
    case ErrorCode::busy:
    case ErrorCode::timed_out:
      status = 503;
      break;
    default:
      break;
  }
  return error_answer(status, error.message());
}

inline std::optional<std::uint64_t> number_in(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace ringmill
