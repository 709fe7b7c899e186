// A DeadLetterFilter as SQL takes it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/dead_letters/schema.h"
#include "core/dead_letters/store.h"

namespace ringmill {

/// `?1` to `?4` and `?7` are the filter, `?5` the number behind which to go on, `?6` how many. `tag` stands for the
/// column of that name.
inline std::string select_by_filter(std::string_view columns, std::string_view tag, bool newest_first) {
  return fmt::format(
      "SELECT {} FROM letter WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR level = ?2) AND (?3 IS NULL OR cause = "
      "?3) AND died_at < ?4 AND (?7 IS NULL OR {} = ?7) AND number {} ?5 ORDER BY number {} LIMIT ?6",
      columns, tag, newest_first ? "<" : ">", newest_first ? "DESC" : "ASC");
}

/// A filter as the statements take it. It refers to the filter's texts.
struct FilterColumns {
  FilterColumns() = default;
  explicit FilterColumns(const DeadLetterFilter& filter) : kind(filter.kind), level(filter.level), tag(filter.tag) {
    if (filter.cause) cause = static_cast<std::int64_t>(*filter.cause);
    if (filter.died_before) died_before = time_column(*filter.died_before);
  }
  std::optional<std::string_view> kind;
  std::optional<std::string_view> level;
  std::optional<std::string_view> tag;
  std::optional<std::int64_t> cause;
  std::int64_t died_before = std::numeric_limits<std::int64_t>::max();
};

}  // namespace ringmill
