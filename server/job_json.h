// A job, and what goes with it, as JSON: the same in every command and answer.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include <ringmill/job.h>
#include <ringmill/status.h>

namespace ringmill {

/// The keys of `job`, in the contract's order. What is not known is null.
nlohmann::ordered_json job_json(const JobInfo& info);

/// Bytes under this name, or in base64 under NAME_base64 where they are not UTF-8.
void put_bytes(nlohmann::ordered_json& json, std::string_view name, const std::string& bytes);

nlohmann::ordered_json totals_json(const Totals& totals);

/// Its handler has said how far it is.
/// What is said of the result of a job with JobInfo::evicted.
inline constexpr std::string_view text_of_evicted =
    "it went before its time, because others needed the room (init --results, --capacity)";

bool has_progress(const JobInfo& info) noexcept;

/// A time, or nothing for a moment that did not come.
std::string time_text(std::chrono::system_clock::time_point time, std::string_view none = "-");
nlohmann::ordered_json time_json(std::chrono::system_clock::time_point time);

}  // namespace ringmill
