// Settling a job as an outcome says: what all workers in this process have in common.
#pragma once

#include <algorithm>
#include <string>

#include <ringmill/error.h>
#include <ringmill/participant.h>
#include <ringmill/worker.h>

namespace ringmill {

/// The attempt counts, and the job may have others.
inline bool is_failed_attempt(const JobOutcome& outcome) noexcept {
  return outcome.what() == JobOutcome::What::fail || outcome.what() == JobOutcome::What::retry_in ||
         outcome.what() == JobOutcome::What::time_out;
}

inline bool is_failure(const JobOutcome& outcome) noexcept {
  return is_failed_attempt(outcome) || outcome.what() == JobOutcome::What::reject;
}

/// The job goes back, or waits, and no attempt counts.
inline bool is_giving_back(const JobOutcome& outcome) noexcept {
  return outcome.what() == JobOutcome::What::release || outcome.what() == JobOutcome::What::unable ||
         outcome.what() == JobOutcome::What::snooze;
}

/// True for the errors of a claim after which one looks again.
inline bool is_just_empty(const Error& error) noexcept {
  return error.code() == ErrorCode::would_block || error.code() == ErrorCode::timed_out;
}

/// A reason may hold a command's output: whatever it is, it takes one line of the log.
inline std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  return text;
}

/// Makes the call of Job that the outcome stands for. Returns what became of the job. Errors: as Job::complete().
Result<Settled> settle_by(Job& job, const JobOutcome& outcome);

/// What an exception that leaves a handler stands for. To be called where it is caught. A std::system_error for a lack
/// of descriptors, threads, processes or memory is unable(); any other is fail().
JobOutcome outcome_of_thrown();

}  // namespace ringmill
