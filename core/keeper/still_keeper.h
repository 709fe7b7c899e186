// A keeper that stands still, as one that stands by sees it: what it says of it, and when it ends it.
//
// A stopped process can be continued at any instruction, so no other process may keep beside it: it holds chunks of
// memory that it is about to give back, writes of the journal, locks of databases (docs/decisions/0054). So a keeper is
// followed when it has ended. One whose process does nothing else (OpenOptions::dedicated_keeper) is ended for that.
#pragma once

#include <cstdint>

#include "core/instance/engine_core.h"

namespace ringmill {

/// A dedicated keeper that is stopped or frozen is killed after so long without a turn. Tests make it shorter.
inline std::uint64_t still_keeper_ends_after_ns = 10'000'000'000;

class StillKeeper {
 public:
  explicit StillKeeper(const EngineCore& engine) noexcept : engine_(&engine) {}

  /// One look. The caller stands by: another process holds the keeper's lock. Counts only the time that the caller
  /// itself has lived through: where both were frozen, or the machine slept, nothing stood still.
  void look() noexcept;

 private:
  void say();
  void end();

  const EngineCore* engine_;
  std::uint32_t keeper_word_ = 0;  // of the last look
  std::uint64_t turned_at_ns_ = 0;
  std::uint64_t looked_at_ns_ = 0;
  std::uint64_t still_ns_ = 0;
  std::uint64_t end_again_at_ns_ = 0;
  bool has_said_ = false;
};

}  // namespace ringmill
