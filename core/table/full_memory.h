// After the tmpfs was full it is asked again, but not by each caller that finds no room.
#pragma once

#include <cstdint>

#include "ipc/clock.h"

namespace ringmill {

/// One participant's memory of a refusal.
class FullMemory {
 public:
  bool may_ask() const noexcept { return not_before_ns_ == 0 || steady_clock_ns() >= not_before_ns_; }
  /// Whether the last answer was a refusal.
  bool is_full() const noexcept { return not_before_ns_ != 0; }
  void note(bool given) noexcept { not_before_ns_ = given ? 0 : steady_clock_ns() + apart_ns; }

 private:
  static constexpr std::uint64_t apart_ns = 5'000'000;

  std::uint64_t not_before_ns_ = 0;
};

}  // namespace ringmill
