// How the crash programs let an attempt fail.
#pragma once

#include <chrono>

#include <ringmill/participant.h>

namespace ringmill::test {

/// The attempt counts, and whatever the job's policy says the next one comes at once: waits would only slow them down.
inline Result<void> fail_once(Job& job, std::chrono::milliseconds delay = {}, std::string_view error = {}) {
  if (const auto settled = job.retry_in(delay, error); !settled) return std::unexpected(settled.error());
  return {};
}

}  // namespace ringmill::test
