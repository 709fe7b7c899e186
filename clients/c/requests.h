// A job as a caller of the C interface describes it.
#pragma once

#include <string_view>

#include <ringmill/job.h>

#include "clients/c/call.h"

namespace ringmill::c {

/// Takes a caller's rm_request apart. It refers to the caller's payload: during one call only.
class RequestGiven {
 public:
  RequestGiven(const void* given, std::uint32_t size) noexcept;
  RequestGiven(const RequestGiven&) = delete;
  RequestGiven& operator=(const RequestGiven&) = delete;

  /// False: report_why() says why it cannot be taken.
  explicit operator bool() const noexcept { return why_not_.empty(); }
  rm_code report_why(rm_error* error) const noexcept { return report(error, RM_INVALID_ARGUMENT, why_not_); }
  const JobRequest& request() const noexcept { return request_; }

 private:
  void take_options(const rm_job_options* given) noexcept;

  JobRequest request_;
  std::string_view why_not_;
};

}  // namespace ringmill::c
