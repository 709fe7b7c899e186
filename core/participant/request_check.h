// Which requests an engine takes.
#pragma once

#include <cstdint>

#include <ringmill/participant.h>

#include "core/retry/retry_policies.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

inline constexpr std::uint64_t most_lease_ms = 24ULL * 24 * 3600 * 1000;

/// Returns how many bytes a linked job has in front of its payload: the ids of the jobs that it waits for.
inline std::size_t bytes_of_ids(const LinkedRequest& linked) noexcept {
  return (linked.after.size() + linked.after_earlier.size()) * 8;
}
inline std::size_t bytes_of_body(const LinkedRequest& linked) noexcept {
  return bytes_of_ids(linked) + linked.request.payload.size();
}

/// Checks requests against the engine's limits, levels and retry policies. Writes nothing.
class RequestCheck {
 public:
  RequestCheck(const Segment& segment, RetryPolicies& retry_policies) noexcept
      : segment_(segment),
        retry_policies_(retry_policies),
        table_(segment),
        most_payload_(segment.geometry().max_payload),
        level_count_(segment.geometry().level_count),
        has_arena_(segment.geometry().arena_chunk_count != 0) {}

  /// Returns whether the engine takes such a job now. Here, because each enqueue asks it.
  bool accepts(const JobRequest& request) const {
    return request.payload.size() <= most_payload_ &&
           (static_cast<std::uint32_t>(request.level) < level_count_ || is_open(request.level)) &&
           static_cast<std::uint32_t>(request.kind) < most_kinds &&
           static_cast<std::uint64_t>(request.lease.count()) <= most_lease_ms &&
           (request.options == nullptr || accepts_options(request));
  }
  /// Says what is wrong with a request that accepts() refused.
  Error refusal_of(const JobRequest& request) const;
  /// Says that a payload fits no cell, in an engine without an arena. `room` is what a cell has for it.
  static Error too_large_for_cell(const JobRequest& request, std::uint32_t room);
  /// Returns the longest payload that stands in the job's cell.
  std::uint32_t inline_room(const JobRequest& request) const noexcept {
    return request.options != nullptr && has_cell_options(*request.options) ? table_.inline_bytes_beside_options()
                                                                            : table_.inline_bytes();
  }

  /// Returns whether a dynamic level takes jobs now, in the epoch that `level` names.
  bool is_open(Level level) const noexcept;
  /// Says why is_open() is false.
  Error refusal_of_level(Level level) const;

  /// Checks a linked job, which may wait for the `earlier` first jobs of its call. Errors: those of refusal_of(),
  /// not_found, invalid_argument, too_large.
  Result<void> check_linked(const LinkedRequest& linked, std::size_t earlier) const;

 private:
  /// Checks times, the retry policy, and the room beside the options.
  bool accepts_options(const JobRequest& request) const;

  const Segment& segment_;
  RetryPolicies& retry_policies_;
  const JobTable table_;
  const std::uint32_t most_payload_;
  const std::uint32_t level_count_;
  const bool has_arena_;
};

}  // namespace ringmill
