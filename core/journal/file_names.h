// The names in the folder of an engine's journal: what is ours there, and what is not.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/file_names.h"
#include "core/journal/device.h"
#include "ipc/directory.h"

namespace ringmill {

/// The file of a slot: "0003.segment".
inline std::string file_name_of(SlotNumber slot) { return fmt::format("{:04}.segment", slot); }

/// The slot whose file has this name; nothing for any other name.
inline std::optional<SlotNumber> slot_of(std::string_view name) {
  constexpr std::size_t digits = 4;
  SlotNumber slot = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + std::min(digits, name.size()), slot);
  return error == std::errc{} && name == file_name_of(slot) ? std::optional(slot) : std::nullopt;
}

/// Where a recovery keeps the bytes of a damaged block.
inline std::string damaged_file_name(std::uint64_t segment, std::uint64_t offset) {
  return fmt::format("damaged-{}-{}", segment, offset);
}

/// The end of the name of a file that is being made (Directory::half_made_name()).
inline constexpr std::string_view half_made_ending = ".new";

/// True for a name that we give: nothing else is ever removed. Segments are 0000.segment, 0001.segment ...; a name with
/// `.new` behind it, and before that with a random word, is of a file that is being made; `probe` is of one that found
/// out what the file system can.
inline bool is_journal_file(std::string_view name) noexcept {
  const auto take_digits = [&name] {
    const std::size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
    name.remove_prefix(digits);
    return digits;
  };
  const auto take = [&name](std::string_view word) {
    if (!name.starts_with(word)) return false;
    name.remove_prefix(word.size());
    return true;
  };
  if (name.ends_with(half_made_ending)) {
    const std::size_t dot = name.rfind('.', name.size() - half_made_ending.size() - 1);
    const bool has_word = dot != std::string_view::npos && Directory::is_half_made(name, name.substr(0, dot));
    name = has_word ? name.substr(0, dot) : name.substr(0, name.size() - half_made_ending.size());
  }
  if (name == "probe") return true;
  if (take("damaged-")) return take_digits() != 0 && take("-") && take_digits() != 0 && name.empty();
  return take_digits() >= 4 && name == ".segment";
}

}  // namespace ringmill
