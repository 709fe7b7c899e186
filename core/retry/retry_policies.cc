#include "core/retry/retry_policies.h"

#include <algorithm>

#include "ipc/clock.h"

namespace ringmill {

namespace {

/// Names in shared memory have no comma.
std::string as_name(std::string text) {
  std::ranges::replace(text, ',', '/');
  return text;
}

}  // namespace

Result<RetryPolicy> RetryPolicies::intern(const Segment& segment, std::string_view text) {
  const auto policy = Backoff::parse(text);
  if (!policy) return std::unexpected(policy.error());
  const std::string canonical = policy->text();
  if (canonical == Backoff().text()) return RetryPolicy::standard;
  const std::string name = as_name(canonical);
  if (!is_valid_name(name)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a retry policy has at most 63 characters", canonical));
  }
  const auto number = segment.retry_policies().intern(name);
  if (!number) {
    return std::unexpected(Error(ErrorCode::no_space, "all 256 retry policies are in use",
                                 "end its processes, then `ringmill recover DIR --from-journal` gives back those that "
                                 "no job has; `ringmill status` counts them"));
  }
  return static_cast<RetryPolicy>(*number + 1);
}

std::optional<std::string> RetryPolicies::text_of(const Segment& segment, std::uint32_t policy) {
  if (policy == 0) return Backoff().text();
  auto name = segment.retry_policies().name_of(policy - 1);
  if (name) std::ranges::replace(*name, '/', ',');
  return name;
}

const std::optional<Backoff>& RetryPolicies::find(const Segment& segment, std::uint32_t policy) {
  if (known_.size() <= policy) known_.resize(policy + 1);
  if (!known_[policy]) {
    const auto text = text_of(segment, policy);
    if (const auto parsed = Backoff::parse(text.value_or("")); parsed) known_[policy] = *parsed;
  }
  return known_[policy];
}

bool RetryPolicies::knows(const Segment& segment, RetryPolicy policy) {
  const auto number = static_cast<std::uint32_t>(policy);
  return number <= most_retry_policies && find(segment, number).has_value();
}

std::uint64_t RetryPolicies::delay_ms(const Segment& segment, std::uint32_t policy, std::uint32_t attempts) {
  const Backoff backoff = policy <= most_retry_policies ? find(segment, policy).value_or(Backoff()) : Backoff();
  // splitmix64: any start will do, and a participant that begins anew must not repeat the one before it.
  if (random_ == 0) random_ = steady_clock_ns() | 1;
  random_ += 0x9e3779b97f4a7c15;
  std::uint64_t z = random_;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return backoff.delay_ms(attempts, z ^ z >> 31);
}

}  // namespace ringmill
