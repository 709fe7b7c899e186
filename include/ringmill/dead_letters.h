// Dead letters: the jobs that ended badly, with their history, until they are retried or purged.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

namespace ringmill {

class Engine;

/// A dead job, with all that another try needs.
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
  /// Any bytes, at most 4096.
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
  /// As JobRequest::tag and JobRequest::trace_parent: the job's own, or inherited.
  std::string tag{};
  std::string trace_parent{};
  /// The letter that the dead job itself came from.
  JobId retried_from{};
  /// The hash of its serial key: 16 bytes, or none.
  std::string serial_key_hash{};
};

/// Which letters are meant. What is left out holds for all.
struct DeadLetterFilter {
  std::optional<std::string> kind{};
  std::optional<std::string> level{};
  std::optional<DeathCause> cause{};
  std::optional<std::chrono::system_clock::time_point> died_before{};
  std::optional<std::string> tag{};
};

/// What became of letters that were to be retried.
struct RetriedLetters {
  std::uint64_t retried = 0;
  /// They cannot run again: their level is gone, not all of their payload was kept.
  std::uint64_t kept = 0;
  /// Of the first one that was kept.
  std::string why_kept{};
};

/// The dead letters of one engine, durable in its directory. One thread at a time. Each call reads or writes a
/// database, and waits for the disk if it writes. Errors of all calls: busy, permission_denied, no_space, corrupt,
/// incompatible, system.
class DeadLetters {
 public:
  /// The engine must outlive this.
  explicit DeadLetters(Engine& engine);
  DeadLetters(DeadLetters&&) noexcept;
  DeadLetters& operator=(DeadLetters&&) noexcept;
  ~DeadLetters();

  /// Returns how many there are.
  [[nodiscard]] Result<std::uint64_t> count(const DeadLetterFilter& filter = {});
  /// Calls `visit` for each, the newest first, until it returns false. Returns how many it saw. No lock is held during
  /// a visit, which may retry or purge.
  [[nodiscard]] Result<std::uint64_t> list(const DeadLetterFilter& filter,
                                           const std::function<bool(const DeadLetter&)>& visit);
  /// Error not_found: there is no letter of this job.
  [[nodiscard]] Result<DeadLetter> find(JobId id);

  /// Enqueues the job again, durably, under a new id, which is returned; the letter is gone then, and Engine::job() of
  /// the old id says where it went (JobInfo::retried_as). The calling thread attaches for the time of the call. A kill
  /// in between leaves the letter, the new job, or both. Errors: not_found, busy (another process retries), too_large,
  /// would_block (the engine is full), too_many_participants.
  [[nodiscard]] Result<JobId> retry(JobId id);
  /// The same for all that are meant, the oldest first. Letters that cannot run again hold up no others.
  [[nodiscard]] Result<RetriedLetters> retry(const DeadLetterFilter& filter);

  /// Removes letters for good. Returns how many.
  [[nodiscard]] Result<std::uint64_t> purge(const DeadLetterFilter& filter);
  /// Returns whether there was one.
  [[nodiscard]] Result<bool> purge(JobId id);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
