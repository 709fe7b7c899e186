// Payloads as JSON, by nlohmann::json, which the program brings along.
#pragma once

#include <cstddef>
#include <exception>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/typed.h>

namespace ringmill {

/// For a type with to_json() and from_json(), as NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE makes them:
///
///   template <>
///   struct ringmill::PayloadTraits<Mail> : ringmill::JsonPayload<Mail> {};
template <class T>
struct JsonPayload {
  static std::string encode(const T& value) { return nlohmann::json(value).dump(); }
  [[nodiscard]] static Result<T> decode(std::span<const std::byte> bytes) try {
    return nlohmann::json::parse(as_text(bytes)).template get<T>();
  } catch (const std::exception& thrown) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "no JSON of this type", thrown.what()));
  }
};

}  // namespace ringmill
