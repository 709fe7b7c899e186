// An engine's statistics in the text format of Prometheus (0.0.4).
//
// Series are bounded by the engine: a line per level, per kind, and per pair of both that had jobs. Names of levels and
// kinds are the only foreign text; no job id, error text or process id is a label.
#pragma once

#include <string>

#include "server/look.h"

namespace ringmill {

inline constexpr const char* metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// `version` is the program's.
std::string metrics_text(const EngineStatistics& statistics, const std::optional<DeadLetterCount>& dead_letters,
                         std::string_view version);
/// What is to be said of an engine that cannot be looked at.
std::string metrics_text_of_absence();

}  // namespace ringmill
