// The part of OptionReader that takes something of an engine: the number of a retry policy.
#include <utility>

#include "tools/cli/job_options.h"

namespace ringmill::cli {

Result<JobOptions> OptionReader::read(const OptionWords& words) {
  auto read = read_all_but_policy(words);
  if (!read || !words.backoff) return read;
  JobOptions options = *read;
  if (const auto known = policies_.find(*words.backoff); known != policies_.end()) {
    options.retry_policy = known->second;
    return options;
  }
  const auto policy = engine_.retry_policy(*words.backoff);
  if (!policy) return std::unexpected(policy.error());
  policies_.emplace(*words.backoff, *policy);
  options.retry_policy = *policy;
  return options;
}

}  // namespace ringmill::cli
