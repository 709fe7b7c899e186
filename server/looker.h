// Looks at an engine again and again, whatever becomes of it: its memory may go, come back, or be another one. Opened
// to read, it recovers nothing and writes nothing.
#pragma once

#include <filesystem>
#include <optional>

#include <ringmill/error.h>

#include "core/inspect/engine_view.h"
#include "server/look.h"

namespace ringmill {

class Looker {
 public:
  explicit Looker(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Returns the numbers at this moment. Errors: those of EngineView::open(), as long as there is no engine.
  Result<EngineStatistics> statistics();
  /// Returns statistics() with the rates since the look before this one.
  Result<Look> look();
  /// Returns the dead letters in numbers; nothing if they cannot be read.
  std::optional<DeadLetterCount> dead_letters() const;
  /// Returns the view of the last look, or opens one.
  Result<const EngineView*> view();

 private:
  std::filesystem::path directory_;
  std::optional<EngineView> view_;
  std::optional<EngineStatistics> before_;
};

}  // namespace ringmill
