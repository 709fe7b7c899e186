// A dead letter: a job that ended badly, with its history, and with all that another try needs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ringmill/job.h>

namespace ringmill {

struct DeadLetter {
  JobId id{};
  std::string kind{};
  std::string level{};
  DeathCause cause = DeathCause::failed;
  /// Attempts that began.
  std::uint32_t attempts = 0;
  /// 0: not bounded.
  std::uint32_t max_attempts = 0;
  std::chrono::system_clock::time_point enqueued_at{};
  std::chrono::system_clock::time_point died_at{};
  /// The participant that had it last, or -1.
  int worker = -1;
  /// Any bytes. The store keeps the first most_error_bytes of them.
  std::string last_error{};
  std::vector<std::byte> payload{};
  /// How long the payload was, if less of it than that is kept: it was longer than all letters may be together, or
  /// could not be read. Such a letter is not retried. 0: all of it is there.
  std::uint64_t payload_cut_from = 0;

  // As the job was enqueued, for another try.
  /// 0: the engine's default.
  std::chrono::milliseconds lease{0};
  /// In its canonical text, as `exponential:1s,2,1h`; empty: none.
  std::string backoff{};
  std::chrono::milliseconds keep_result{0};
  /// Whether the death of its worker was to bury it at once.
  bool bury_when_worker_lost = false;
};

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
  return info;
}

}  // namespace ringmill
