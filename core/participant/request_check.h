// Which requests an engine takes.
#pragma once

#include <cstdint>
#include <optional>

#include <ringmill/participant.h>

#include "core/base/handles.h"
#include "core/levels/level_names.h"
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

/// What RequestCheck has made of a request that it accepted: one word, which each enqueue makes. Without an initial
/// value, so that a batch costs nothing for the jobs that it does not have.
class Checked {
 public:
  Checked() = default;
  /// `level` is a level_value().
  constexpr Checked(std::uint32_t level, std::uint32_t kind, bool has_options) noexcept
      : bits_(std::uint64_t{level} << 32 | kind | (has_options ? options_bit : 0)) {}
  static constexpr Checked of_handles(std::uint64_t both) noexcept {
    Checked checked;
    checked.bits_ = both;
    return checked;
  }

  std::uint32_t level() const noexcept { return static_cast<std::uint32_t>(bits_ >> 32); }
  std::uint32_t kind() const noexcept { return static_cast<std::uint32_t>(bits_) & ~options_bit; }
  bool has_options() const noexcept { return (bits_ & options_bit) != 0; }
  Checked with_options() const noexcept { return {level(), kind(), true}; }
  Checked without_options() const noexcept { return {level(), kind(), false}; }
  /// Whether both are of one kind and level, and have options, or have none.
  bool operator==(const Checked&) const noexcept = default;

 private:
  static constexpr std::uint32_t options_bit = std::uint32_t{1} << 31;
  std::uint64_t bits_;
};

/// What a job carries beside its payload. 0: nothing; else its cell has notes.
inline std::uint64_t bits_of_notes(const JobRequest& request) noexcept {
  return request.tag.size() | request.trace_parent.size() | request.serial_key.size() | request.retried_from.value();
}
inline bool has_notes(const JobRequest& request) noexcept { return bits_of_notes(request) != 0; }

/// Returns whether a job says nothing but the defaults, and carries nothing beside its payload. The hot path asks it of
/// each job, so it has few branches.
inline bool are_default(const JobRequest& request) noexcept {
  const JobOptions& options = request.options;
  auto words = static_cast<std::uint64_t>(options.delay.count());
  // One register: the compiler would gather the words in vectors, which takes longer than to combine them.
  asm("" : "+r"(words));
  words |= static_cast<std::uint64_t>(options.at.time_since_epoch().count());
  words |= static_cast<std::uint64_t>(options.expires.count());
  words |= static_cast<std::uint64_t>(options.keep_result.count());
  words |= bits_of_notes(request);
  return words == 0 && options.max_attempts == default_max_attempts && options.retry_policy == RetryPolicy::standard &&
         options.on_worker_lost == OnWorkerLost::retry;
}

/// Checks requests against the engine's limits, levels and retry policies. Writes nothing.
class RequestCheck {
 public:
  RequestCheck(const Segment& segment, RetryPolicies& retry_policies) noexcept
      : segment_(segment),
        retry_policies_(retry_policies),
        table_(segment),
        handles_(segment),
        most_payload_(segment.geometry().max_payload),
        level_count_(segment.geometry().level_count),
        default_level_(default_level(segment)),
        has_arena_(segment.geometry().arena_chunk_count != 0) {}

  /// Returns whether the engine takes such a job now, and then what it is in `checked`. Here, because each enqueue asks
  /// it.
  bool accepts(const JobRequest& request, Checked& checked) const {
    const std::uint64_t both = handles_.both_of(request.kind, request.level);
    checked = Checked::of_handles(both);
    if (both >> 32 < level_count_ && static_cast<std::uint32_t>(both) < most_kinds && is_plain_beside_names(request))
        [[likely]]
      return true;
    return accepts_other(request, checked);
  }
  /// Returns whether a job is accepted because one of its kind and level was: it is plain otherwise.
  bool is_plain_beside_names(const JobRequest& request) const noexcept {
    return request.payload.size() <= most_payload_ &&
           static_cast<std::uint64_t>(request.lease.count()) <= most_lease_ms && are_default(request);
  }
  /// Says what is wrong with a request that accepts() refused.
  Error refusal_of(const JobRequest& request) const;
  /// Says that a payload fits no cell, in an engine without an arena. `room` is what a cell has for it.
  static Error too_large_for_cell(const JobRequest& request, std::uint32_t room);
  /// Returns the longest payload that stands in the job's cell.
  std::uint32_t inline_room(const JobRequest& request, const Checked& checked) const noexcept {
    return checked.has_options() ? room_beside(request) : table_.inline_bytes();
  }
  /// The same for a linked job: with the ids of those that it waits for.
  std::uint32_t linked_room(const JobRequest& request) const noexcept {
    constexpr std::uint16_t linked = cell_flag::has_options | cell_flag::has_links;
    return table_.inline_bytes_beside(linked | notes_flag(request));
  }
  /// Returns the longest payload that stands in the cell of a job with CellOptions.
  std::uint32_t room_beside_options(const JobRequest& request) const noexcept {
    return table_.inline_bytes_beside(cell_flag::has_options | notes_flag(request));
  }

  const Handles& handles() const noexcept { return handles_; }
  /// Returns whether a dynamic level takes jobs now, in the epoch that the level_value() names.
  bool is_open(std::uint32_t level) const noexcept;
  static Error no_kind_of_this_engine();
  /// Says why is_open() is false.
  Error refusal_of_level(std::uint32_t level) const;

  /// Checks a linked job, which may wait for the `earlier` first jobs of its call. Errors: those of refusal_of(),
  /// not_found, invalid_argument, too_large.
  Result<Checked> check_linked(const LinkedRequest& linked, std::size_t earlier) const;

 private:
  static std::uint16_t notes_flag(const JobRequest& request) noexcept {
    return has_notes(request) ? cell_flag::has_notes : 0;
  }
  std::uint32_t room_beside(const JobRequest& request) const noexcept;
  /// Finds the level of a job that names no fixed one.
  [[gnu::noinline]] bool accepts_level(Level level, std::uint32_t& value) const noexcept;
  /// accepts() for a job that is not plain, or not sound.
  [[gnu::noinline]] bool accepts_other(const JobRequest& request, Checked& checked) const;
  /// Checks times, the retry policy, the notes, and the room beside them.
  bool accepts_options(const JobRequest& request) const;
  /// Says what is wrong with the notes of a request. Nothing: they are right.
  std::optional<Error> refusal_of_notes(const JobRequest& request) const;

  const Segment& segment_;
  RetryPolicies& retry_policies_;
  const JobTable table_;
  const Handles handles_;
  const std::uint32_t most_payload_;
  const std::uint32_t level_count_;
  const std::uint32_t default_level_;  // level_count_: there is none
  const bool has_arena_;
};

}  // namespace ringmill
