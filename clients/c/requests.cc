#include "clients/c/requests.h"

#include <limits>

namespace ringmill::c {

std::string_view take_options(const rm_job_options* given, JobRequest& request) noexcept {
  JobOptions& options = request.options;
  const Given<rm_job_options> known(given, given->size);
  if (!known) return "rm_job_options states no size, or sets a field that this library does not know";
  constexpr std::uint32_t most_of_16_bits = std::numeric_limits<std::uint16_t>::max();
  if (known->max_attempts == RM_UNBOUNDED) {
    options.max_attempts = 0;
  } else if (known->max_attempts > most_of_16_bits) {
    return "rm_job_options.max_attempts is 1 to 65535, or RM_UNBOUNDED";
  } else if (known->max_attempts != 0) {
    options.max_attempts = static_cast<std::uint16_t>(known->max_attempts);
  }
  if (known->retry_policy > most_of_16_bits) return "rm_job_options.retry_policy is not one of rm_retry_policy()";
  if (known->on_worker_lost > RM_BURY) return "rm_job_options.on_worker_lost is neither RM_RETRY nor RM_BURY";
  options.retry_policy = static_cast<RetryPolicy>(known->retry_policy);
  options.on_worker_lost = known->on_worker_lost == RM_BURY ? OnWorkerLost::bury : OnWorkerLost::retry;
  options.delay = std::chrono::milliseconds(known->delay_ms);
  options.at = std::chrono::system_clock::time_point(std::chrono::milliseconds(known->at_unix_ms));
  options.expires = std::chrono::milliseconds(known->expires_ms);
  options.keep_result = std::chrono::milliseconds(known->keep_result_ms);
  request.tag = text_of(known->tag);
  request.trace_parent = text_of(known->trace_parent);
  request.serial_key = text_of(known->serial_key);
  request.serial_retry = known->serial_skips != 0 ? ringmill::SerialRetry::skip : ringmill::SerialRetry::wait;
  return {};
}

}  // namespace ringmill::c
