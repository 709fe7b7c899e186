// What a participant claims from: levels and kinds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ringmill/participant.h>

#include "core/participant/claiming.h"
#include "core/participant/context.h"
#include "core/participant/request_check.h"

namespace ringmill {

class Subscription {
 public:
  Subscription(ParticipantContext& context, const RequestCheck& check, Claiming& claiming) noexcept
      : context_(context), check_(check), claiming_(claiming), level_count_(context.level_count) {}

  /// Claims from these levels and kinds from now on. Allocates. Errors: invalid_argument, level_removed.
  Result<void> subscribe(const ClaimOptions& options);
  /// Returns whether levels were made or removed since the subscription last followed them.
  bool have_levels_changed() const noexcept {
    return context_.segment.signals().levels_version.load() != levels_version_;
  }
  /// Claims from the levels that there are now. Error level_removed: a level that was asked for by name is gone; the
  /// others are claimed from on.
  Result<void> follow_levels();
  /// Returns the public value of a claimed job's dynamic level. Returns nothing if the level was removed and its number
  /// reused.
  std::optional<Level> dynamic_level_of(std::uint32_t number) const noexcept;

 private:
  /// A level, and the word that a dynamic level had when it was taken.
  struct Subscribed {
    std::uint32_t number = 0;
    std::uint64_t word = 0;
  };

  /// Fills `levels_` with all levels, or with those of `options`. Errors: invalid_argument, level_removed.
  Result<void> take_levels(const ClaimOptions& options);
  /// Hands `levels_` to claiming, and shows them to producers that wake.
  void claim_from_levels();

  ParticipantContext& context_;
  const RequestCheck& check_;
  Claiming& claiming_;
  const std::uint32_t level_count_;
  std::vector<Subscribed> levels_;  // by number
  bool all_levels_ = true;
  Policy policy_ = Policy::weighted;
  KindSet kinds_;
  std::uint32_t levels_version_ = 0;
};

}  // namespace ringmill
