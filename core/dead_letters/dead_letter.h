// What is kept of a dead letter, and how it is shown as a job.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ringmill/dead_letters.h>
#include <ringmill/job.h>

namespace ringmill {

inline constexpr std::size_t most_error_bytes = 4096;
/// The bytes that are kept of a payload that is cut: enough to recognise it.
inline constexpr std::size_t most_cut_payload_bytes = 4096;

/// A dead job, with its history.
inline JobInfo info_of(const DeadLetter& letter) {
  JobInfo info;
  info.id = letter.id;
  info.kind = letter.kind;
  info.level = letter.level;
  info.state = JobState::dead;
  info.attempts = letter.attempts;
  info.max_attempts = letter.max_attempts;
  info.payload_size =
      static_cast<std::uint32_t>(letter.payload_cut_from != 0 ? letter.payload_cut_from : letter.payload.size());
  info.enqueued_at = letter.enqueued_at;
  info.ended_at = letter.died_at;
  info.worker = letter.worker;
  info.last_error = letter.last_error;
  info.cause = letter.cause;
  info.tag = letter.tag;
  info.trace_parent = letter.trace_parent;
  info.retried_from = letter.retried_from;
  return info;
}

}  // namespace ringmill
