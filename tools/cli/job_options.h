// What a job asks for beyond the plain, as words: options of the command line, and keys of a job's JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <ringmill/engine.h>

namespace ringmill::cli {

/// Where one says nothing, the next one that is asked, or the engine's default, holds.
struct OptionWords {
  std::optional<std::chrono::nanoseconds> delay{};
  std::optional<std::chrono::system_clock::time_point> at{};
  std::optional<std::uint16_t> max_attempts{};
  std::optional<std::string> backoff{};
  std::optional<std::chrono::nanoseconds> expires{};
  std::optional<std::chrono::nanoseconds> keep_result{};
  std::optional<OnWorkerLost> on_worker_lost{};
  /// Of JobRequest, not of JobOptions.
  std::optional<std::string> tag{};
  std::optional<std::string> trace_parent{};
  std::optional<std::string> serial_key{};
  std::optional<SerialRetry> serial_retry{};

  /// These words, and those of `other` where these say nothing. A delay and a time are one thing.
  OptionWords or_else(const OptionWords& other) const;
};

/// --delay, --at, --max-attempts, --backoff, --expires, --keep-result, --on-worker-lost, --tag, --traceparent,
/// --serial, --serial-retry.
void add_job_options(CLI::App& words, OptionWords& options);

/// False: the key is none of these. Error invalid_argument: its value is off.
Result<bool> read_option(const std::string& key, const nlohmann::ordered_json& value, OptionWords& options);
/// Keys that read_option() takes, for messages.
inline constexpr const char* option_keys =
    "delay, at, max_attempts, backoff, expires, keep_result, on_worker_lost, tag, traceparent, serial, "
    "serial_retry";

/// Words become what the engine takes; retry policies are interned once.
class OptionReader {
 public:
  explicit OptionReader(Engine& engine) : engine_(engine) {}
  /// All but the retry policy: nothing of the engine is taken. Error invalid_argument.
  static Result<JobOptions> read_all_but_policy(const OptionWords& words);
  /// Errors: invalid_argument, no_space (too many retry policies).
  Result<JobOptions> read(const OptionWords& words);

 private:
  Engine& engine_;
  std::map<std::string, RetryPolicy> policies_;
};

/// retry or bury.
std::string name_of(OnWorkerLost what);

}  // namespace ringmill::cli
