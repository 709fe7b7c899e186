// Which jobs are timed, and where their times are counted: statistics, which nothing in the engine decides by.
//
// To time a job costs two looks at a clock, which is too much for a job of 50 ns. So a participant times a sample:
//
//   - It divides the jobs that it is handed, in their order, into strata of `weight` jobs. One job of each stratum is
//     timed, chosen uniformly and before the stratum begins. What it took is counted `weight` times.
//   - The weight of a stratum is chosen before it begins, by what came before: twice that of the last one if samples
//     come faster than `busy_gap_ns`, half if slower than `calm_gap_ns`, 1 after a sleep, at most `most_weight`.
//
// So each job is timed with the probability 1 / weight and counts `weight` times: every count and every sum over the
// jobs of a histogram is unbiased, whatever the jobs are. A handler that takes longer than about `calm_gap_ns` has each
// of its runs timed. A stratum that a sleep cuts short changes nothing in that: a sleep does not depend on the choice.
// A run that its participant does not settle, because it died, is not in the histograms.
//
// A run's time is that from being handed out to being settled, by CLOCK_BOOTTIME. A wait is that from the enqueue to
// the claim, by the coarse wall clock, exact to a scheduler tick; or, of a job that was put off, from its time on. What
// a job waits for by itself does not count: a delay, parents, its former attempts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "ipc/segment.h"
#include "ipc/statistics.h"

namespace ringmill {

/// Counts a duration. ORDER relaxed: each word counts by itself.
inline void record_duration(DurationCounts& histogram, std::uint64_t ns, std::uint64_t weight) noexcept {
  histogram.sum_ns.fetch_add(ns * weight, std::memory_order_relaxed);
  histogram.count[duration_bucket(ns)].fetch_add(weight, std::memory_order_relaxed);
}

/// Returns the histogram of a kind's runs: its own, or that of all kinds that came too late for one.
inline DurationCounts& runs_of_kind(const Segment& segment, std::uint32_t kind) noexcept {
  for (std::uint32_t probe = 0; probe < run_histograms - 1; ++probe) {
    DurationCounts& histogram = segment.runs((kind + probe) % (run_histograms - 1));
    // ORDER relaxed: its counts count by themselves.
    const std::uint64_t owner = histogram.kind.load_once(std::memory_order_relaxed).unbounded();
    if (owner == kind + 1 || (owner == 0 && histogram.kind.swap(0, kind + 1))) return histogram;
    if (owner == 0 && histogram.kind.load_once() == kind + 1) return histogram;  // another was faster
  }
  return segment.runs(run_histograms - 1);
}

/// Returns the histogram of a level's waits: its own, or that of all dynamic levels.
inline DurationCounts& waits_of_level(const Segment& segment, std::uint32_t level) noexcept {
  return segment.waits(level < segment.geometry().level_count ? level : wait_histograms - 1);
}

class RunSampler {
 public:
  static constexpr std::uint64_t busy_gap_ns = 100'000;
  static constexpr std::uint64_t calm_gap_ns = 400'000;
  static constexpr std::uint64_t most_weight = 256;

  struct Timed {
    std::uint64_t began_ns = 0;  // lease clock
    std::uint64_t weight = 0;
  };

  /// `seed` is any number.
  explicit RunSampler(std::uint64_t seed) noexcept : random_(seed | 1) {}

  /// Counts jobs that are handed out. Returns how many of them come before the one that is timed, for which begin()
  /// follows: those behind it are counted after that. `jobs`: none of them is timed.
  std::uint64_t pass(std::uint64_t jobs) noexcept {
    if (until_ <= jobs) return until_ - 1;
    until_ -= jobs;
    return jobs;
  }

  /// Begins to time the job in a lease slot. Returns its weight.
  std::uint64_t begin(std::uint32_t slot, std::uint64_t now_ns) noexcept {
    const std::uint64_t weight = weight_;
    timed_[slot] = {.began_ns = now_ns, .weight = weight};
    const std::uint64_t left = weight - 1 - place_;
    const std::uint64_t gap_ns = now_ns - last_ns_;
    last_ns_ = now_ns;
    if (gap_ns < busy_gap_ns && weight_ < most_weight) weight_ *= 2;
    if (gap_ns > calm_gap_ns && weight_ > 1) weight_ /= 2;
    place_ = random() % weight_;
    until_ = left + place_ + 1;
    return weight;
  }
  const Timed& timed(std::uint32_t slot) const noexcept { return timed_[slot]; }

  /// The participant has slept: the next job begins a stratum of one.
  void restart() noexcept {
    weight_ = 1;
    place_ = 0;
    until_ = 1;
  }

 private:
  std::uint64_t random() noexcept {  // xorshift64
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ >> 11;
  }

  std::uint64_t until_ = 1;   // jobs to the next one that is timed, that one included
  std::uint64_t weight_ = 1;  // of the present stratum, or of the next one if this one's sample was taken
  std::uint64_t place_ = 0;   // of the sample in it
  std::uint64_t last_ns_ = 0;
  std::uint64_t random_;
  std::array<Timed, lease_slots> timed_{};
};

}  // namespace ringmill
