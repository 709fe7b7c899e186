// The rules of one engine, pauses and limits, as its directory keeps them in flow-control.json.
//
// They are few and seldom change, so the file is written anew, whole, with each change. It is the truth about the
// rules; the words in shared memory follow it (core/flow_control/flow_book.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include <ringmill/error.h>
#include <ringmill/flow_control.h>

#include "core/base/file_names.h"
#include "ipc/directory.h"

namespace ringmill {

struct KindRules {
  std::uint64_t paused_since_ns = 0;  // wall clock; 0: not paused
  KindLimits limits;

  bool is_plain() const noexcept { return paused_since_ns == 0 && limits == KindLimits{}; }
  bool operator==(const KindRules&) const noexcept = default;
};

struct FlowRules {
  std::map<std::string, std::uint64_t> paused_levels;  // since when: wall clock
  std::map<std::string, KindRules> kinds;              // those that are not plain
  std::map<std::string, LevelLimits> level_limits;     // those that are bounded

  bool operator==(const FlowRules&) const noexcept = default;
};

/// Error invalid_argument: says which bound it breaks.
Result<void> check_limits(const KindLimits& limits);
Result<void> check_limits(const LevelLimits& limits);

std::string to_json(const FlowRules& rules);
/// Reads what to_json() writes; `path` is for messages. Errors: corrupt, incompatible.
Result<FlowRules> flow_rules_from_json(const std::string& text, const std::filesystem::path& path);

/// The rules of the engine in that directory: none where there is no file.
Result<FlowRules> read_flow_rules(const Directory& engine_directory);

}  // namespace ringmill
