// The words of statistics (PairCounts and DurationCounts in ipc/layout.h): what a pair is, and which bucket a duration
// belongs to.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "ipc/layout.h"

namespace ringmill {

/// PairCounts::pair: 1 | kind 16 | value of the Level 32. Zero is no pair; `other` stands for all that find no line.
class JobPair {
 public:
  constexpr JobPair() noexcept = default;
  constexpr JobPair(std::uint32_t level_value, std::uint32_t kind) noexcept
      : bits_(std::uint64_t{level_value} << 17 | (std::uint64_t{kind} & 0xffff) << 1 | 1) {}
  /// Returns the pair of jobs of which level or kind is unknown.
  static constexpr JobPair other() noexcept { return {~std::uint32_t{0}, 0xffff}; }
  static constexpr JobPair of_bits(std::uint64_t bits) noexcept {
    JobPair pair;
    pair.bits_ = bits;
    return pair;
  }
  constexpr std::uint64_t bits() const noexcept { return bits_; }
  constexpr std::uint32_t level_value() const noexcept { return static_cast<std::uint32_t>(bits_ >> 17); }
  constexpr std::uint32_t kind() const noexcept { return static_cast<std::uint32_t>(bits_ >> 1 & 0xffff); }
  constexpr explicit operator bool() const noexcept { return bits_ != 0; }
  constexpr bool operator==(const JobPair&) const noexcept = default;

 private:
  std::uint64_t bits_ = 0;
};

// Buckets are log-linear: eight of equal width in each power of two, so that a bucket's width is at most an eighth of
// the durations in it. They count units of 256 ns, the first eight one unit each; the last one ends at 2^42 ns, 73
// minutes, and has all that is longer.
inline constexpr std::uint32_t duration_unit_bits = 8;
inline constexpr std::uint32_t duration_grouping_bits = 3;

constexpr std::uint32_t duration_bucket(std::uint64_t ns) noexcept {
  const std::uint64_t units = ns >> duration_unit_bits;
  if (units < (1U << duration_grouping_bits)) return static_cast<std::uint32_t>(units);
  const auto power = static_cast<std::uint32_t>(std::bit_width(units)) - 1;
  const std::uint32_t shift = power - duration_grouping_bits;
  const auto within = static_cast<std::uint32_t>(units >> shift) & ((1U << duration_grouping_bits) - 1);
  return std::min((shift + 1) << duration_grouping_bits | within, duration_buckets - 1);
}
/// Returns the shortest duration of a bucket, which is also the end of the bucket before it. `bucket` is at most
/// duration_buckets.
constexpr std::uint64_t duration_begin_ns(std::uint32_t bucket) noexcept {
  const std::uint32_t per_power = 1U << duration_grouping_bits;
  if (bucket < per_power) return std::uint64_t{bucket} << duration_unit_bits;
  const std::uint32_t shift = bucket / per_power - 1;
  return std::uint64_t{per_power + bucket % per_power} << (shift + duration_unit_bits);
}
static_assert(duration_begin_ns(duration_buckets) == std::uint64_t{1} << 42);
static_assert(duration_bucket(duration_begin_ns(100)) == 100 && duration_bucket(duration_begin_ns(101) - 1) == 100);
static_assert(duration_bucket(~std::uint64_t{0}) == duration_buckets - 1);

}  // namespace ringmill
