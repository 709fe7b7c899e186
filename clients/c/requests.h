// A job as a caller of the C interface describes it.
#pragma once

#include <string_view>

#include <ringmill/job.h>

#include "clients/c/call.h"

namespace ringmill::c {

/// Returns why they cannot be taken; an empty text: they were.
std::string_view take_options(const rm_job_options* given, JobRequest& request) noexcept;

/// Takes a caller's rm_request apart into `request`, which has its defaults. It refers to the caller's payload: during
/// one call only. Returns why it cannot be taken; an empty text: it was.
[[gnu::always_inline]] inline std::string_view take_request(const void* given, std::uint32_t size,
                                                            JobRequest& request) noexcept {
  const Given<rm_request> known(given, size);
  if (!known) return "rm_request is NULL, states no size, or sets a field that this library does not know";
  if (known->durability > RM_DURABLE) {
    return "rm_request.durability is none of RM_JOURNALED, RM_MEMORY, RM_DURABLE";
  }
  static_assert(static_cast<int>(Durability::journaled) == RM_JOURNALED &&
                static_cast<int>(Durability::memory) == RM_MEMORY &&
                static_cast<int>(Durability::durable) == RM_DURABLE);
  request.kind = Kind{known->kind};
  request.level = Level{known->level};
  request.payload = span_of(known->payload);
  request.lease = std::chrono::milliseconds(known->lease_ms);
  request.durability = static_cast<Durability>(known->durability);
  return known->options == nullptr ? std::string_view() : take_options(known->options, request);
}

}  // namespace ringmill::c
