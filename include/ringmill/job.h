// What a job is to its users: an id, a kind, a level, a payload, and the states of its life.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmill {

/// Names one job for its whole life and never another one: the cell's index and the cell's generation.
/// Zero names no job.
class JobId {
 public:
  constexpr JobId() noexcept = default;
  constexpr explicit JobId(std::uint64_t value) noexcept : value_(value) {}

  constexpr std::uint64_t value() const noexcept { return value_; }
  constexpr explicit operator bool() const noexcept { return value_ != 0; }
  constexpr auto operator<=>(const JobId&) const noexcept = default;

  /// 16 lower-case hexadecimal digits.
  std::string to_string() const;
  /// Reads what to_string() writes; nothing else.
  static std::optional<JobId> parse(std::string_view text) noexcept;

 private:
  std::uint64_t value_ = 0;
};

/// A task name that was interned in the engine: get one from Engine::kind(). Valid for the engine's life, in every
/// process.
enum class Kind : std::uint32_t {};

/// A priority level of one engine: get one from Engine::level(). 0 is the most urgent of the fixed levels. A dynamic
/// level's value is invalid after the level's removal; a new level of the same name gets a new value.
enum class Level : std::uint32_t {};

/// Where a job stands, as every tool shows it. `ended` says: over, and nothing was asked to be kept.
enum class JobState { queued, delayed, blocked, running, completed, dead, cancelled, ended };

std::string_view name_of(JobState state) noexcept;
std::optional<JobState> job_state_of(std::string_view name) noexcept;

/// What a job survives.
enum class Durability : std::uint8_t {
  journaled,  ///< in the journal within about a millisecond (Participant::ticket() tells when): survives a power cut
  memory,     ///< shared memory only: survives any process, but not a reboot
  durable,    ///< on the device when the call returns
};
std::string_view name_of(Durability durability) noexcept;
std::optional<Durability> durability_of(std::string_view name) noexcept;

/// Why a job is dead.
enum class DeathCause : std::uint8_t {
  failed,         ///< its attempts are used up; the last one failed
  rejected,       ///< its handler said that it can never succeed
  worker_lost,    ///< its worker died in the last attempt, or in any, if OnWorkerLost::bury was asked for
  lease_expired,  ///< its worker held it for too long in the last attempt
  timeout,        ///< its command ran for too long and was ended
  expired,        ///< it was not begun in time
  parent_dead,    ///< a job that it waited for is dead
};
std::string_view name_of(DeathCause cause) noexcept;
std::optional<DeathCause> death_cause_of(std::string_view name) noexcept;

/// A retry policy that was interned in the engine: get one from Engine::retry_policy(). The default one is
/// `exponential:1s,2,1h` with full jitter: before attempt n + 1 a job waits a random time of up to 2^(n-1) seconds, an
/// hour at most.
enum class RetryPolicy : std::uint16_t { standard = 0 };

/// What becomes of a job whose worker died, or held it for too long.
enum class OnWorkerLost : std::uint8_t {
  retry,  ///< the attempt counts, and another worker gets it at once
  bury,   ///< the outcome is unknown: it goes to the dead letters, and never runs twice by itself
};

/// How often a job is tried if it does not say otherwise. With the default retry policy the last attempt comes after
/// about two hours, four at most: longer than most outages, and short enough that a person sees the dead letter on
/// the same day.
inline constexpr std::uint16_t default_max_attempts = 15;

/// What a job may ask for beyond the plain. A job with any of retry_policy, expires and keep_result has 48 bytes less
/// room in its cell.
struct JobOptions {
  /// Attempts until it is dead; 0: no bound.
  std::uint16_t max_attempts = default_max_attempts;
  RetryPolicy retry_policy = RetryPolicy::standard;
  OnWorkerLost on_worker_lost = OnWorkerLost::retry;
  /// It waits for so long before it can be claimed. CLOCK_BOOTTIME: a step of the wall clock does not matter, the time
  /// that the machine sleeps counts. At most ten years, as all times here.
  std::chrono::milliseconds delay{0};
  /// Or: it waits until the wall clock shows this. A step of the wall clock moves it. Zero: at once.
  std::chrono::system_clock::time_point at{};
  /// Not begun within this time (of the wall clock) after its enqueue, it is dead, with the cause `expired`. A job of
  /// which an attempt has counted was begun: its retries come, however late. Zero: never.
  std::chrono::milliseconds expires{0};
  /// How long result and history are kept after its end. Zero: not.
  std::chrono::milliseconds keep_result{0};
};

/// One job to be enqueued. The payload is copied during the call.
struct JobRequest {
  Kind kind{};
  Level level{};
  std::span<const std::byte> payload{};
  /// How long a worker may hold the job before the keeper takes it back. Zero: the engine's default lease.
  /// Rounded up to a millisecond, at most 24 days.
  std::chrono::milliseconds lease{0};
  Durability durability = Durability::journaled;
  /// Nothing: the plain job. Read during the call.
  const JobOptions* options = nullptr;
};

/// What becomes of a job when one that it waits for is dead, or was cancelled.
enum class OnParentDead : std::uint8_t {
  cancel,  ///< it goes to the dead letters, with the cause `parent_dead`, and so do those that wait for it
  run,     ///< it runs when all the others are over
};

/// One job that is linked to others: it waits until they are over, or comes together with them.
struct LinkedRequest {
  JobRequest request{};
  /// Jobs that were enqueued before. A parent that ended and left no record (no kept result, no dead letter) counts as
  /// succeeded. Each id takes 8 bytes of the payload's room.
  std::span<const JobId> after{};
  /// Jobs that come with it: their places in the same call, each before its own.
  std::span<const std::uint32_t> after_earlier{};
  OnParentDead on_parent_dead = OnParentDead::cancel;
};

/// What is known of one job. Times are wall clock, to about 4 ms; zero where the moment did not come.
struct JobInfo {
  JobId id;
  std::string kind;
  std::string level;
  JobState state = JobState::ended;
  /// Attempts that began, the present one included.
  std::uint32_t attempts = 0;
  /// 0: no bound.
  std::uint32_t max_attempts = 0;
  std::uint32_t payload_size = 0;
  std::chrono::system_clock::time_point enqueued_at{};
  /// Of the present attempt; of the last one where the job asked for keep_result.
  std::chrono::system_clock::time_point started_at{};
  std::chrono::system_clock::time_point ended_at{};
  /// When a delayed job can be claimed.
  std::chrono::system_clock::time_point due_at{};
  /// The participant that holds it, or held it last; -1: none.
  int worker = -1;
  /// What the last failed attempt said, as far as the cell has room for it (see Job::fail()); of a lost worker, how it
  /// died.
  std::string last_error;
  /// Why it is dead; nothing in any other state.
  std::optional<DeathCause> cause;
  /// What the handler gave, while it is kept.
  std::string result;
  /// The handler gave more than there was room for: `result` is its beginning.
  bool result_cut = false;
  /// The jobs that it waits for, or has waited for.
  std::vector<JobId> parents;
  /// Of the running handler: what it said last.
  std::uint64_t progress = 0;
  std::string progress_text;
};

/// Bytes of a text, for a payload.
inline std::span<const std::byte> as_payload(std::string_view text) noexcept {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

/// A payload read as text.
inline std::string_view as_text(std::span<const std::byte> payload) noexcept {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

}  // namespace ringmill
