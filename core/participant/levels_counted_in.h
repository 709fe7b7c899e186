// Jobs of several bounded levels that are counted in together, and not published yet (core/table/level_bound.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "core/participant/context.h"
#include "core/table/level_bound.h"

namespace ringmill {

/// At the end of the scope they are counted out again, unless they were published.
class LevelsCountedIn {
 public:
  explicit LevelsCountedIn(ParticipantContext& context) noexcept : context_(context) {}
  LevelsCountedIn(const LevelsCountedIn&) = delete;
  LevelsCountedIn& operator=(const LevelsCountedIn&) = delete;
  ~LevelsCountedIn() { leave(); }

  /// Adds a job to those that enter() counts in.
  void add(std::uint32_t level_value) {
    if (is_bounded(context_.segment, level_value)) ++wanted_[level_value];
  }
  bool is_wanted(std::uint32_t level_value) const { return wanted_.contains(level_value); }
  std::uint32_t wanted(std::uint32_t level_value) const { return wanted_.at(level_value); }

  /// bound.B1 and bound.B2 for all or none: two that hold a part each would wait for each other. Returns the level that
  /// is full.
  std::optional<std::uint32_t> enter() noexcept {
    if (wanted_.empty()) return std::nullopt;
    between_.emplace(context_.entry);
    for (auto level = wanted_.begin(); level != wanted_.end(); ++level) {
      if (LevelCount(context_.segment, level_number(level->first)).enter(level->second)) continue;
      leave_until(level);
      return level->first;
    }
    return std::nullopt;
  }
  /// bound.B4.
  void note_published() noexcept { between_.reset(); }

 private:
  using Levels = std::map<std::uint32_t, std::uint32_t>;

  void leave() noexcept {
    if (between_) leave_until(wanted_.end());
  }
  void leave_until(Levels::const_iterator end) noexcept {
    for (auto level = wanted_.cbegin(); level != end; ++level) {
      LevelCount(context_.segment, level_number(level->first)).leave(level->second);
    }
    wake_for_space(context_.segment);
    between_.reset();
  }

  ParticipantContext& context_;
  Levels wanted_;  // jobs, by the value that users name a level by
  std::optional<BetweenSteps> between_;
};

}  // namespace ringmill
