// Allocations that fail on demand, for the whole test program.
#pragma once

#include <cstdint>

namespace ringmill::test {

/// From now on the allocation number `n` of the calling thread fails, and so do those behind it, until the end of the
/// scope. Counts from 1.
class FailingAllocations {
 public:
  explicit FailingAllocations(std::uint64_t n) noexcept;
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
  ~FailingAllocations();

  /// Whether it came to that.
  static bool some_has_failed() noexcept;
};

/// Until the end of the scope each allocation of every other thread fails.
class ForeignAllocationsFail {
 public:
  ForeignAllocationsFail() noexcept;
  ForeignAllocationsFail(const ForeignAllocationsFail&) = delete;
  ForeignAllocationsFail& operator=(const ForeignAllocationsFail&) = delete;
  ~ForeignAllocationsFail();
};

}  // namespace ringmill::test
