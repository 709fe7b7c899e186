// The jobs that a participant has claimed in advance, and how many it claims next. Private memory alone: no step of a
// protocol is here.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/table/lease_book.h"
#include "ipc/invariant.h"

namespace ringmill {

class PrefetchWindow {
 public:
  /// A batch of claims should last this long by the measured handler time.
  static constexpr std::uint64_t batch_target_ns = 200'000;
  /// Slower handlers than this get their freed cells listed at each claim.
  static constexpr std::uint64_t slow_handler_ns = 5'000;
  /// A claim that found fewer jobs than this lets the next ones gather.
  static constexpr std::uint32_t gather_count = 16;
  /// About 50 ns: what a producer takes for a job.
  static constexpr std::uint32_t pauses_per_job = 2;

  /// Begins anew with batches of one job, and of `most` jobs later.
  void restart(std::uint32_t most) noexcept {
    most_ = most;
    batch_ = 1;
  }

  bool is_empty() const noexcept { return next_ == count_; }
  /// Returns the claim that is handed out next.
  const Claim& next() noexcept {
    RINGMILL_INVARIANT(next_ < count_ && count_ <= lease_slots);  // claims handed out are within the window
    return claims_[next_++];
  }

  /// Drops the claims that are not handed out and that `keep(claim)` returns false for.
  template <class Keep>
  void keep_if(Keep&& keep) noexcept {
    std::uint32_t kept = next_;
    for (std::uint32_t n = next_; n < count_; ++n) {
      if (keep(claims_[n])) claims_[kept++] = claims_[n];
    }
    count_ = kept;
  }

  /// Returns how many jobs to claim now. The batch grows at most twofold, to as many jobs as take `batch_target_ns` by
  /// the time that the last batch took for each of its jobs.
  std::uint32_t adapt(std::uint64_t now_ns) noexcept {
    RINGMILL_INVARIANT(is_empty());
    is_slow_ = false;
    if (count_ != 0) {
      const std::uint64_t each_ns = std::max<std::uint64_t>((now_ns - began_ns_) / count_, 1);
      const std::uint64_t fitting = std::clamp<std::uint64_t>(batch_target_ns / each_ns, 1, most_);
      batch_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(fitting, std::uint64_t{batch_} * 2));
      is_slow_ = each_ns > slow_handler_ns;
    }
    return batch_;
  }
  /// Returns whether the last batch took longer than `slow_handler_ns` for each of its jobs.
  bool is_slow() const noexcept { return is_slow_; }

  /// Empties the window and returns the room for the next claims. The batch begins at `now_ns`, or later by begin_at().
  Claim* begin(std::uint64_t now_ns) noexcept {
    next_ = count_ = 0;
    began_ns_ = now_ns;
    return claims_.data();
  }
  /// The claim has waited: its batch begins when it has found jobs.
  void begin_at(std::uint64_t now_ns) noexcept { began_ns_ = now_ns; }
  /// Ends what begin() began: so many claims were written.
  void fill(std::uint32_t count) noexcept {
    RINGMILL_INVARIANT(count <= lease_slots);
    count_ = count;
  }

  /// Notes how many jobs the first look of a claim has found.
  void note_found(std::uint32_t count) noexcept { last_found_ = count; }
  /// Returns how many pauses the next claim of up to `most` jobs makes first.
  ///
  /// When jobs stream in and the worker is faster than they come, two processes fight over each line of the ring. A
  /// pause of some hundred nanoseconds after a short batch makes the next one longer, and both sides faster. There is
  /// none before a first job, and none when handlers are slow: then `most` is small.
  std::uint32_t pauses_to_gather(std::uint32_t most) const noexcept {
    if (last_found_ == 0 || last_found_ >= gather_count || most < gather_count) return 0;
    return (gather_count - last_found_) * pauses_per_job;
  }

 private:
  std::array<Claim, lease_slots> claims_{};  // claimed and not handed out: from next_ to count_
  std::uint32_t next_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t most_ = lease_slots;
  std::uint32_t batch_ = 1;
  std::uint32_t last_found_ = 0;
  bool is_slow_ = false;
  std::uint64_t began_ns_ = 0;
};

}  // namespace ringmill
