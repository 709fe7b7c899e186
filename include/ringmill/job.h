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

/// A priority level of one engine: get one from Engine::level(). 0 is the most urgent of the first levels.
enum class Level : std::uint16_t {};

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

/// Why a job became a dead letter.
enum class DeathCause : std::uint8_t {
  failed,         ///< its last attempt failed
  rejected,       ///< its handler said that no attempt can succeed
  worker_lost,    ///< its worker died, at the last attempt or once too often
  lease_expired,  ///< its worker held it past its lease, at the last attempt
  timeout,        ///< its run took longer than it may, at the last attempt
  expired,        ///< it waited until its time was over, and never ran
  parent_dead,    ///< a job that it waited for became a dead letter
};
std::string_view name_of(DeathCause cause) noexcept;
std::optional<DeathCause> death_cause_of(std::string_view name) noexcept;

/// One job to be enqueued. The payload is copied during the call.
struct JobRequest {
  Kind kind{};
  Level level{};
  std::span<const std::byte> payload{};
  /// How long a worker may hold the job before the keeper takes it back. Zero: the engine's default lease.
  /// Rounded up to a millisecond, at most 24 days.
  std::chrono::milliseconds lease{0};
  Durability durability = Durability::journaled;
};

/// What is known of one job. Times are wall clock, to about 4 ms; zero where the moment did not come.
struct JobInfo {
  JobId id;
  std::string kind;
  std::string level;
  JobState state = JobState::ended;
  /// Attempts that began, the present one included.
  std::uint32_t attempts = 0;
  std::uint32_t payload_size = 0;
  std::chrono::system_clock::time_point enqueued_at{};
  std::chrono::system_clock::time_point started_at{};
  /// The participant that holds it, or -1.
  int worker = -1;
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
