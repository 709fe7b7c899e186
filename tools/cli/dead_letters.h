// Dead letters as the commands show them.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "core/dead_letters/store.h"

namespace ringmill::cli {

/// The store of the engine in `directory`, to be looked at. Nothing: no job was ever buried there. Its errors are those
/// of the engine's directory and of the store.
Result<std::optional<DeadLetterStore>> open_dead_letters_to_read(const std::filesystem::path& directory);

/// Nothing: no dead letter of this job. `path` is the engine's directory.
Result<std::optional<DeadLetter>> find_dead_letter(const std::filesystem::path& path, JobId id);

/// The same for `command`, which knows more than letters: where this user may not read them, standard error says so,
/// and nothing is returned.
Result<std::optional<DeadLetter>> look_for_letter(std::string_view command, const std::filesystem::path& path,
                                                  JobId id);

/// The job that a letter became when it was retried; none: it was not, or this user may not know.
JobId retried_as(const std::filesystem::path& directory, JobId id);

/// The letter's payload as text.
std::string payload_of(const DeadLetter& letter);

/// The keys of `job` in state dead, then `cause`.
nlohmann::ordered_json letter_json(const DeadLetter& letter);

/// Adds the key payload, or payload_base64 if it is no UTF-8.
void add_payload(nlohmann::ordered_json& json, const std::string& payload);

/// A line of `enqueue --from-json` that makes the job anew. Its history stands in `dead`, which `enqueue` passes over.
nlohmann::ordered_json export_json(const DeadLetter& letter);

}  // namespace ringmill::cli
