// Retrying dead letters: steps retry.T2 to retry.T4 (core/dead_letters/store.h), a batch at a time. The caller holds
// the lock of retry.T1.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/engine.h>

#include "core/dead_letters/store.h"

namespace ringmill {

class LetterRetry {
 public:
  /// `retried(letter, job)` is called for each letter that has become a job, when that is durable and the letter gone.
  LetterRetry(DeadLetterStore& store, Engine& engine, Participant& participant,
              std::function<void(JobId, JobId)> retried)
      : store_(store), engine_(engine), participant_(participant), retried_(std::move(retried)) {}

  /// Adds a letter to the batch. Returns false to stop: error() says why.
  bool add(const DeadLetter& letter);
  /// Enqueues what is added. To be called at the end. Returns as add().
  bool flush();

  std::uint64_t count() const noexcept { return count_; }
  /// Letters that cannot be retried; they do not hold up the others.
  std::uint64_t kept() const noexcept { return kept_; }
  const std::string& first_kept() const noexcept { return first_kept_; }
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  static constexpr std::chrono::seconds room_wait{5};
  static constexpr std::chrono::seconds disk_wait{10};

  /// Whether a job of this letter fits the engine with its tag, its trace and the letter's id beside it.
  bool can_have_notes(const DeadLetter& letter) const;
  /// Returns the job's own options, without delay and expiry.
  Result<JobOptions> options_of(const DeadLetter& letter);
  bool keep(const DeadLetter& letter, const Error& error);
  bool stop(const Error& error);

  DeadLetterStore& store_;
  Engine& engine_;
  Participant& participant_;
  std::function<void(JobId, JobId)> retried_;
  std::vector<DeadLetter> letters_;
  std::array<JobRequest, Participant::most_in_batch> requests_;
  std::uint64_t count_ = 0;
  std::uint64_t kept_ = 0;
  std::string first_kept_;
  std::optional<Error> error_;
};

}  // namespace ringmill
