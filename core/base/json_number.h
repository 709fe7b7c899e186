// Numbers of JSON files that other users may have written.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace ringmill {

/// A whole number as it stands in the text. Throws std::out_of_range where it is none, or one that T cannot hold:
/// nlohmann's get<T>() would cut it.
template <std::integral T>
T number_of(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (std::in_range<T>(number)) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (std::in_range<T>(number)) return static_cast<T>(number);
  }
  throw std::out_of_range("a number is no whole one, or out of its bounds");
}

/// The same of a member; std::out_of_range names it. Throws nlohmann::json::exception where it is not there.
template <std::integral T>
T number_at(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = object.at(name);
  try {
    return number_of<T>(value);
  } catch (const std::out_of_range&) {
    throw std::out_of_range(std::string(name) + " is no whole number, or out of its bounds");
  }
}

template <std::integral T>
T number_at(const nlohmann::json& object, const char* name, T otherwise) {
  return object.contains(name) ? number_at<T>(object, name) : otherwise;
}

}  // namespace ringmill
