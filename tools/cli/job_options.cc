#include "tools/cli/job_options.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/values.h"
#include "core/table/job_table.h"
#include "ipc/layout.h"
#include "tools/cli/options.h"

namespace ringmill::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr nanoseconds most_time = std::chrono::milliseconds(most_wait_ms);

std::unexpected<Error> invalid(const char* summary, std::string detail = {}) {
  return std::unexpected(Error(ErrorCode::invalid_argument, summary, std::move(detail)));
}

std::optional<OnWorkerLost> on_worker_lost_of(std::string_view name) {
  if (name == "retry") return OnWorkerLost::retry;
  if (name == "bury") return OnWorkerLost::bury;
  return std::nullopt;
}

std::optional<SerialRetry> serial_retry_of(std::string_view name) {
  if (name == "wait") return SerialRetry::wait;
  if (name == "skip") return SerialRetry::skip;
  return std::nullopt;
}

Result<void> read_text(const std::string& key, const std::string& text, OptionWords& options) {
  if (key == "at") {
    options.at = parse_time(text);
    return options.at ? Result<void>()
                      : invalid("at is not a time like 2026-02-28T13:05:09Z, in a year from 1678 to 2261", text);
  }
  if (key == "backoff") {
    options.backoff = text;
    return {};
  }
  if (key == "tag" || key == "traceparent") {
    (key == "tag" ? options.tag : options.trace_parent) = text;  // the engine says what is wrong with them
    return {};
  }
  if (key == "serial") {
    options.serial_key = text;
    return {};
  }
  if (key == "serial_retry") {
    options.serial_retry = serial_retry_of(text);
    return options.serial_retry ? Result<void>() : invalid("serial_retry is wait or skip", text);
  }
  if (key == "on_worker_lost") {
    options.on_worker_lost = on_worker_lost_of(text);
    return options.on_worker_lost ? Result<void>() : invalid("on_worker_lost is retry or bury", text);
  }
  auto& duration = key == "delay" ? options.delay : key == "expires" ? options.expires : options.keep_result;
  duration = parse_duration(text);
  return duration ? Result<void>() : invalid("not a duration like 250us, 10ms, 30s, 5m, 2h, 7d", key + ": " + text);
}

}  // namespace

std::string name_of(OnWorkerLost what) { return what == OnWorkerLost::bury ? "bury" : "retry"; }

OptionWords OptionWords::or_else(const OptionWords& other) const {
  OptionWords both = *this;
  if (!delay && !at) {
    both.delay = other.delay;
    both.at = other.at;
  }
  if (!max_attempts) both.max_attempts = other.max_attempts;
  if (!backoff) both.backoff = other.backoff;
  if (!expires) both.expires = other.expires;
  if (!keep_result) both.keep_result = other.keep_result;
  if (!on_worker_lost) both.on_worker_lost = other.on_worker_lost;
  if (!tag) both.tag = other.tag;
  if (!trace_parent) both.trace_parent = other.trace_parent;
  if (!serial_key) both.serial_key = other.serial_key;
  if (!serial_retry) both.serial_retry = other.serial_retry;
  return both;
}

void add_job_options(CLI::App& words, OptionWords& options) {
  auto* delay = add_duration(words, "--delay", options.delay, "The job can be claimed after this time");
  const auto read_time = [&options](const std::string& text) {
    options.at = parse_time(text);
    if (!options.at)
      throw CLI::ValidationError("--at",
                                 "'" + text + "' is not a time like 2026-02-28T13:05:09Z, in a year from 1678 to 2261");
  };
  words
      .add_option_function<std::string>("--at", read_time,
                                        "The job can be claimed when the wall clock shows this (RFC 3339)")
      ->type_name("TIME")
      ->excludes(delay);
  words
      .add_option("--max-attempts", options.max_attempts,
                  "The number of attempts before the job is dead; 0: no bound (15)")
      ->type_name("N");
  words
      .add_option("--backoff", options.backoff,
                  "The wait between attempts: fixed:100ms, exponential:1s,2,1h (base, factor, cap; a random part of "
                  "it) or list:1s,10s,5m (exponential:1s,2,1h)")
      ->type_name("POLICY");
  add_duration(words, "--expires", options.expires, "A job that is not begun within this time is dead (never)");
  add_duration(words, "--keep-result", options.keep_result,
               "How long result and history are kept after the job's end (not at all)");
  const auto read_loss = [&options](const std::string& text) { options.on_worker_lost = on_worker_lost_of(text); };
  words
      .add_option_function<std::string>(
          "--on-worker-lost", read_loss,
          "When the job's worker dies: retry, or bury, for work that must not be repeated "
          "(retry)")
      ->check(CLI::IsMember({"retry", "bury"}))
      ->type_name("WHAT");
  words.add_option("--tag", options.tag, "A name of your own, by which jobs are listed: up to 31 bytes")
      ->type_name("TEXT");
  words
      .add_option("--traceparent", options.trace_parent,
                  "The trace that the job belongs to, as W3C Trace Context writes it (that of the job it waits for)")
      ->type_name("TRACE");
  words
      .add_option("--serial", options.serial_key,
                  "Jobs of one key run one at a time, in the order of their enqueue, retries included")
      ->type_name("KEY");
  words
      .add_option_function<std::string>(
          "--serial-retry", [&options](const std::string& text) { options.serial_retry = serial_retry_of(text); },
          "Whether the key's later jobs wait while this one waits for a retry or a delay: wait or skip (wait)")
      ->check(CLI::IsMember({"wait", "skip"}))
      ->type_name("WHAT");
}

Result<bool> read_option(const std::string& key, const nlohmann::ordered_json& value, OptionWords& options) {
  constexpr std::array text_keys{"delay",          "at",  "backoff",     "expires", "keep_result",
                                 "on_worker_lost", "tag", "traceparent", "serial",  "serial_retry"};
  if (key == "max_attempts") {
    const bool is_count =
        value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<std::uint16_t>::max();
    if (!is_count) return invalid("max_attempts is a number from 0 to 65535");
    options.max_attempts = value.get<std::uint16_t>();
    return true;
  }
  if (std::ranges::find(text_keys, key) == text_keys.end()) return false;
  if (!value.is_string()) return invalid("a string is expected for this key", key);
  if (const auto read = read_text(key, value.get<std::string>(), options); !read) return std::unexpected(read.error());
  if (options.delay && options.at) return invalid("a job has a delay or a time at which it begins, not both");
  return true;
}

Result<JobOptions> OptionReader::read_all_but_policy(const OptionWords& words) {
  for (const auto& time : {words.delay, words.expires, words.keep_result}) {
    if (time && *time > most_time) return invalid("a time is ten years at most", format_duration(*time));
  }
  if (words.at && words.at->time_since_epoch().count() < 0) return invalid("a job cannot begin before 1970");
  JobOptions options;
  const auto in_ms = [](const std::optional<nanoseconds>& time) {
    return std::chrono::ceil<milliseconds>(time.value_or(nanoseconds::zero()));
  };
  options.delay = in_ms(words.delay);
  options.expires = in_ms(words.expires);
  options.keep_result = in_ms(words.keep_result);
  if (words.at) options.at = *words.at;
  if (words.max_attempts) options.max_attempts = *words.max_attempts;
  if (words.on_worker_lost) options.on_worker_lost = *words.on_worker_lost;
  return options;
}

}  // namespace ringmill::cli
