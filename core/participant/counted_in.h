// Jobs that a producer has counted into bounded levels and not published yet (core/table/level_bound.h).
#pragma once

#include <cstdint>
#include <optional>

#include "core/participant/context.h"
#include "core/table/level_bound.h"

namespace ringmill {

/// Of one job. At the end of the scope it is counted out again, unless it was published.
class CountedIn {
 public:
  CountedIn(ParticipantContext& context, std::uint32_t level_value) noexcept
      : context_(context), count_(context.segment, level_number(level_value)) {}
  CountedIn(const CountedIn&) = delete;
  CountedIn& operator=(const CountedIn&) = delete;
  ~CountedIn() { leave(); }

  /// bound.B1 and bound.B2. False: the level is full.
  bool enter() noexcept {
    between_.emplace(context_.entry);
    if (count_.enter(1)) return true;
    between_.reset();
    return false;
  }
  void leave() noexcept {
    if (!between_) return;
    count_.leave(1);
    wake_for_space(context_.segment);
    between_.reset();
  }
  /// bound.B4.
  void note_published() noexcept { between_.reset(); }
  const LevelCount& level() const noexcept { return count_; }

 private:
  ParticipantContext& context_;
  LevelCount count_;
  std::optional<BetweenSteps> between_;
};

}  // namespace ringmill
