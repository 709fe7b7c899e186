// Which level a claim looks at first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ringmill/participant.h>

#include "ipc/layout.h"

namespace ringmill {

/// Orders the subscribed levels for one claim. Strict: by urgency. Weighted: first the level whose turn it is by smooth
/// weighted round robin (in each round of `sum of weights` turns a level gets `weight` of them, spread evenly), then
/// the others by urgency, so a turn at an empty level costs nothing and no level with jobs waits longer than one round.
class LevelChoice {
 public:
  void subscribe(std::span<const std::uint32_t> levels, std::span<const std::uint32_t> weights, Policy policy) {
    turns_.clear();
    total_ = 0;
    policy_ = policy;
    for (std::size_t n = 0; n < levels.size(); ++n) {
      turns_.push_back({levels[n], static_cast<std::int64_t>(weights[n]), 0});
      total_ += weights[n];
    }
    count_ = static_cast<std::uint32_t>(turns_.size());
  }

  std::uint32_t count() const noexcept { return count_; }

  /// The place of the level that is first this time; a turn is used up.
  std::uint32_t first() noexcept {
    if (policy_ == Policy::strict || count_ <= 1) return 0;
    std::uint32_t best = 0;
    for (std::uint32_t n = 0; n < count_; ++n) {
      turns_[n].credit += turns_[n].weight;
      if (turns_[n].credit > turns_[best].credit) best = n;
    }
    turns_[best].credit -= total_;
    return best;
  }
  /// The n-th level to look at when `first` is the first.
  std::uint32_t at(std::uint32_t n, std::uint32_t first) const noexcept {
    if (n == 0) return turns_[first].level;
    return turns_[n <= first ? n - 1 : n].level;
  }

 private:
  struct Turn {
    std::uint32_t level = 0;
    std::int64_t weight = 0;
    std::int64_t credit = 0;
  };
  std::vector<Turn> turns_;
  std::uint32_t count_ = 0;
  std::int64_t total_ = 0;
  Policy policy_ = Policy::weighted;
};

}  // namespace ringmill
