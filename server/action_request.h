// What a POST asks for, from its path and body alone: pure, and the one place where foreign JSON becomes an action.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/dead_letters/store.h"
#include "server/http.h"

namespace ringmill {

/// The letters that a request means: {"id": ...}, or any of kind, level, cause and tag, or {"all": true}.
struct LetterChoice {
  std::optional<JobId> id{};
  DeadLetterFilter filter{};
};

struct PauseAsked {
  enum class What { level, kind, schedule };
  What what;
  std::string name;
  /// False: it is to go on.
  bool pauses;
};
struct CancelAsked {
  JobId id;
};
struct RetryAsked {
  LetterChoice letters;
};
struct PurgeAsked {
  LetterChoice letters;
};
using ActionAsked = std::variant<PauseAsked, CancelAsked, RetryAsked, PurgeAsked>;

/// "levels", as it stands in a path.
const char* name_of(PauseAsked::What what) noexcept;

/// Errors: not_found (the path names no action), invalid_argument.
Result<ActionAsked> action_asked_by(const HttpRequest& request);

}  // namespace ringmill
