// What a Job holds, as the parts of a participant see it.
#pragma once

#include <algorithm>
#include <cstdint>

#include <ringmill/participant.h>

#include "core/base/handles.h"
#include "ipc/layout.h"
#include "ipc/statistics.h"

namespace ringmill {

/// The one way from a Job to its lease: no part of a participant needs friendship with Job.
class LeaseAccess {
 public:
  using HeldLease = Job::HeldLease;
  static HeldLease& of(Job& job) noexcept { return job.lease_; }
};

using HeldLease = LeaseAccess::HeldLease;

inline HeldLease& lease_of(Job& job) noexcept { return LeaseAccess::of(job); }
inline bool is_held(const HeldLease& lease) noexcept { return lease.holder != nullptr; }

/// Of HeldLease::flags, beside the cell's: the run has a permit.
inline constexpr std::uint16_t holds_permit = 1U << 15;
/// And: the run is one of those that are timed (core/table/run_sampler.h).
inline constexpr std::uint16_t is_timed = 1U << 14;
static_assert((cell_flag::all & (holds_permit | is_timed)) == 0);
/// Jobs that do not end by the short way.
inline constexpr std::uint16_t not_plain = cell_flag::has_options | cell_flag::in_arena | holds_permit | is_timed;

/// Returns level and kind, for the tally.
inline JobPair pair_of(const HeldLease& lease, const Handles& handles) noexcept {
  return {handles.value_of(lease.level), handles.number_of(lease.kind)};
}

/// Of HeldLease::word: the lease was lost, so there is nothing to settle.
inline constexpr std::uint64_t was_lost = ~std::uint64_t{0};

/// Returns how many attempts have ended when this run counts as one.
inline std::uint16_t attempts_of(const HeldLease& lease) noexcept {
  return static_cast<std::uint16_t>(std::min(lease.attempt, 65535U));
}
/// Returns how many attempts had ended before this run.
inline std::uint16_t attempts_before(const HeldLease& lease) noexcept {
  return static_cast<std::uint16_t>(std::min(lease.attempt - 1, 65535U));
}

}  // namespace ringmill
