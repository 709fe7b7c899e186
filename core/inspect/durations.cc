#include <ringmill/statistics.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ipc/statistics.h"

namespace ringmill {

JobTotals& JobTotals::operator+=(const JobTotals& other) noexcept {
  enqueued += other.enqueued;
  attempts += other.attempts;
  failed += other.failed;
  retried += other.retried;
  completed += other.completed;
  dead += other.dead;
  cancelled += other.cancelled;
  return *this;
}

std::uint64_t Durations::count() const noexcept {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

std::optional<std::chrono::nanoseconds> Durations::quantile(double share) const noexcept {
  const std::uint64_t all = count();
  if (all == 0) return std::nullopt;
  const double wanted = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(all));
  const std::uint64_t rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, all);
  std::uint64_t seen = 0;
  std::uint32_t bucket = 0;
  while (seen + counts_[bucket] < rank) seen += counts_[bucket++];
  return std::chrono::nanoseconds((duration_begin_ns(bucket) + duration_begin_ns(bucket + 1)) / 2);
}

std::uint64_t Durations::count_below(std::chrono::nanoseconds limit) const noexcept {
  if (limit.count() <= 0) return 0;
  const std::uint32_t end = duration_bucket(static_cast<std::uint64_t>(limit.count()));
  std::uint64_t below = 0;
  for (std::uint32_t bucket = 0; bucket < end && bucket < counts_.size(); ++bucket) below += counts_[bucket];
  return below;
}

Durations Durations::since(const Durations& earlier) const {
  Durations rest = *this;
  const std::size_t common = std::min(rest.counts_.size(), earlier.counts_.size());
  // Counters of a memory that was made anew are smaller: then all of them are new.
  for (std::size_t n = 0; n < common; ++n) {
    if (rest.counts_[n] < earlier.counts_[n]) return *this;
  }
  for (std::size_t n = 0; n < common; ++n) rest.counts_[n] -= earlier.counts_[n];
  rest.sum_ = std::max(rest.sum_ - earlier.sum_, std::chrono::duration<double>(0));
  return rest;
}

void Durations::add(const Durations& others) {
  if (counts_.size() < others.counts_.size()) counts_.resize(others.counts_.size());
  for (std::size_t n = 0; n < others.counts_.size(); ++n) counts_[n] += others.counts_[n];
  sum_ += others.sum_;
}

}  // namespace ringmill
