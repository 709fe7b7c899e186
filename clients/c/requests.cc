#include "clients/c/requests.h"

#include <limits>

#include "clients/c/codes.h"

namespace ringmill::c {

RequestGiven::RequestGiven(const void* given, std::uint32_t size) noexcept {
  const Given<rm_request> known(given, size);
  if (!known) {
    why_not_ = "rm_request is NULL, states no size, or sets a field that this library does not know";
    return;
  }
  const auto durability = durability_of(known->durability);
  if (!durability) {
    why_not_ = "rm_request.durability is none of RM_JOURNALED, RM_MEMORY, RM_DURABLE";
    return;
  }
  request_.kind = Kind{known->kind};
  request_.level = Level{known->level};
  request_.payload = span_of(known->payload);
  request_.lease = std::chrono::milliseconds(known->lease_ms);
  request_.durability = *durability;
  if (known->options != nullptr) take_options(known->options);
}

void RequestGiven::take_options(const rm_job_options* given) noexcept {
  const Given<rm_job_options> known(given, given->size);
  if (!known) {
    why_not_ = "rm_job_options states no size, or sets a field that this library does not know";
    return;
  }
  if (known->max_attempts == RM_UNBOUNDED) {
    request_.options.max_attempts = 0;
  } else if (known->max_attempts > std::numeric_limits<std::uint16_t>::max()) {
    why_not_ = "rm_job_options.max_attempts is 1 to 65535, or RM_UNBOUNDED";
  } else if (known->max_attempts != 0) {
    request_.options.max_attempts = static_cast<std::uint16_t>(known->max_attempts);
  }
  if (known->retry_policy > std::numeric_limits<std::uint16_t>::max()) {
    why_not_ = "rm_job_options.retry_policy is not one of rm_retry_policy()";
  }
  if (known->on_worker_lost > RM_BURY) why_not_ = "rm_job_options.on_worker_lost is neither RM_RETRY nor RM_BURY";
  request_.options.retry_policy = static_cast<RetryPolicy>(known->retry_policy);
  request_.options.on_worker_lost = known->on_worker_lost == RM_BURY ? OnWorkerLost::bury : OnWorkerLost::retry;
  request_.options.delay = std::chrono::milliseconds(known->delay_ms);
  request_.options.at = std::chrono::system_clock::time_point(std::chrono::milliseconds(known->at_unix_ms));
  request_.options.expires = std::chrono::milliseconds(known->expires_ms);
  request_.options.keep_result = std::chrono::milliseconds(known->keep_result_ms);
}

}  // namespace ringmill::c
