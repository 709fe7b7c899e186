// Options that several commands have, checked as they are read.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>

#include "core/base/values.h"

namespace ringmill::cli {

inline CLI::Option* add_directory(CLI::App& words, std::filesystem::path& directory) {
  return words.add_option("DIR", directory, "The engine's directory")->required();
}

/// An option with a value like 250us, 10ms, 30s, 5m, 2h, 7d: nanoseconds, or an optional of them.
template <class Duration>
CLI::Option* add_duration(CLI::App& words, const std::string& name, Duration& value, const std::string& description) {
  const auto read = [name, &value](const std::string& text) {
    const auto parsed = parse_duration(text);
    if (!parsed) throw CLI::ValidationError(name, "'" + text + "' is no duration like 250us, 10ms, 30s, 5m, 2h, 7d");
    value = *parsed;
  };
  return words.add_option_function<std::string>(name, read, description)->type_name("DURATION");
}

/// An option that says how many: digits, without a sign, of at most as many bits as the value has.
template <class Count>
CLI::Option* add_count(CLI::App& words, const std::string& name, std::optional<Count>& value,
                       const std::string& description) {
  const auto read = [name, &value](const std::string& text) {
    const auto parsed = parse_number(text);
    if (!parsed || *parsed > std::numeric_limits<Count>::max()) {
      throw CLI::ValidationError(
          name, "'" + text + "' is no number from 0 to " + std::to_string(std::numeric_limits<Count>::max()));
    }
    value = static_cast<Count>(*parsed);
  };
  return words.add_option_function<std::string>(name, read, description)->type_name("N");
}

/// An option with a value like 4096, 64KiB, 1MiB, of at most as many bits as the value has.
template <class Size>
CLI::Option* add_size(CLI::App& words, const std::string& name, Size& value, const std::string& description) {
  const auto read = [name, &value](const std::string& text) {
    const auto parsed = parse_size(text);
    if (!parsed || *parsed > std::numeric_limits<Size>::max()) {
      throw CLI::ValidationError(name, "'" + text + "' is no size like 4096, 64KiB, 1MiB");
    }
    value = static_cast<Size>(*parsed);
  };
  return words.add_option_function<std::string>(name, read, description)->type_name("SIZE");
}

}  // namespace ringmill::cli
