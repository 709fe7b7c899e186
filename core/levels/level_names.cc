#include "core/levels/level_names.h"

#include "core/base/handles.h"
#include "ipc/dynamic_level.h"
#include "ipc/layout.h"
#include "ipc/name_table.h"

namespace ringmill {

bool has_ever_been_level(const Segment& segment, std::uint32_t level) {
  if (level < segment.geometry().level_count) return true;
  return level < segment.geometry().level_numbers() && segment.level_word(level).state != LevelState::unused;
}

std::optional<std::uint32_t> find_level(const Segment& segment, std::string_view name) noexcept {
  if (!is_valid_name(name)) return std::nullopt;
  const NameWords wanted = encode_name(name);
  for (std::uint32_t n = 0; n < segment.levels_end(); ++n) {
    if (!segment.has_level(n)) continue;
    const auto& words = segment.level(n).name;
    bool is_it = true;
    for (std::size_t i = 0; i < wanted.size() && is_it; ++i) is_it = words[i].load() == wanted[i];
    if (is_it && segment.has_level(n)) return n;
  }
  return std::nullopt;
}

Result<Level> level_named(const Segment& segment, std::string_view name) {
  if (const auto number = find_level(segment, name)) return level_of_number(segment, *number);
  std::string known;
  for (std::uint32_t n = 0; n < segment.geometry().level_count; ++n) {
    known += (n == 0 ? "" : ", ") + level_name(segment, n);
  }
  const std::size_t more = levels_in_use(segment).size() - segment.geometry().level_count;
  if (more != 0) known += " and " + std::to_string(more) + " dynamic ones";
  return std::unexpected(
      Error(ErrorCode::not_found, "no such level", std::string(name) + "; this engine has " + known));
}

Level level_of_number(const Segment& segment, std::uint32_t number) noexcept {
  const bool is_fixed = number < segment.geometry().level_count;
  return Handles(segment).level(is_fixed ? number : level_value(number, segment.level_word(number).epoch));
}

std::uint32_t default_level(const Segment& segment) noexcept {
  const std::uint32_t count = segment.geometry().level_count;
  const NameWords wanted = encode_name("default");
  for (std::uint32_t n = 0; n < count; ++n) {
    const auto& words = segment.level(n).name;
    bool is_it = true;
    for (std::size_t i = 0; i < wanted.size() && is_it; ++i) is_it = words[i].load() == wanted[i];
    if (is_it) return n;
  }
  return count == 1 ? 0 : count;
}

std::vector<std::uint32_t> levels_in_use(const Segment& segment) {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t n = 0; n < segment.levels_end(); ++n) {
    if (segment.has_level(n)) numbers.push_back(n);
  }
  return numbers;
}

std::string level_name(const Segment& segment, std::uint32_t level) {
  if (!has_ever_been_level(segment, level)) return "?";
  const std::uint64_t state = segment.level(level).dynamic_state.load();
  std::string name = decode_name(segment.level(level).name).value_or("?");
  // Its number may be reused at this moment.
  return segment.level(level).dynamic_state.load() == state ? name : "?";
}

}  // namespace ringmill
