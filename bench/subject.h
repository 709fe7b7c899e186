// What every process of a run does with the engine before it begins: opens it, attaches, names its kind and level.
#pragma once

#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <ringmill/engine.h>

namespace ringmill::bench {

/// An engine and a participant of this thread. `participant` goes first.
struct Subject {
  Engine engine;
  std::unique_ptr<Participant> participant;
  Kind kind;
  Level level;  // the level "default"

  /// With `keeper`, this process may become the keeper.
  static std::expected<Subject, std::string> join(const std::filesystem::path& directory, Role role, bool keeper);
  /// As a worker that claims only from `level`; nothing else is changed.
  std::expected<void, std::string> claim_only(std::string_view level_name);
};

/// Says on standard error what failed, for a child that is about to end. Always false.
bool report_failure(std::string_view what, std::string_view why);

}  // namespace ringmill::bench
