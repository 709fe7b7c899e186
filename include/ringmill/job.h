// What a job is to its users: an id, a kind, a level, a payload, and the states of its life.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ringmill {

/// Names one job, and never another one: the cell's index and the cell's generation. Zero names no job.
class JobId {
 public:
  constexpr JobId() noexcept = default;
  constexpr explicit JobId(std::uint64_t value) noexcept : value_(value) {}

  constexpr std::uint64_t value() const noexcept { return value_; }
  constexpr explicit operator bool() const noexcept { return value_ != 0; }
  constexpr auto operator<=>(const JobId&) const noexcept = default;

  /// Returns 16 lower-case hexadecimal digits.
  std::string to_string() const;
  /// Parses what to_string() writes, and nothing else.
  static std::optional<JobId> parse(std::string_view text) noexcept;

 private:
  std::uint64_t value_ = 0;
};

/// A task name that was interned in the engine: get one from Engine::kind(). Valid for the engine's life, in every
/// process. Kind{} is no kind; an engine refuses it, and the kinds of other engines.
enum class Kind : std::uint32_t {};

/// A priority level of one engine: get one from Engine::level(). A dynamic level's value is invalid after the level's
/// removal; a new level of the same name gets a new value. Level{} is no level: a job without one goes to the level
/// named `default`. An engine refuses the levels of other engines.
enum class Level : std::uint32_t {};

/// The state of a job, as every tool shows it. `ended`: the job is over, and nothing of it was asked to be kept.
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

/// Why a job was completed without its whole result.
enum class ResultRefusal : std::uint8_t {
  none,
  too_long,  ///< it is longer than any payload of the engine may be, or the engine has no arena
  no_room,   ///< the arena, or the table, had no room
  lost,      ///< its worker died while it ended, and shared memory was damaged
};
/// Returns a sentence; empty for none.
std::string_view reason_of(ResultRefusal refusal) noexcept;

/// A retry policy that was interned in the engine: get one from Engine::retry_policy(). The default one is
/// `exponential:1s,2,1h` with full jitter: before attempt n + 1 a job waits a random time of up to 2^(n-1) seconds, an
/// hour at most.
enum class RetryPolicy : std::uint16_t { standard = 0 };

/// What becomes of a job whose worker died, or held it for too long.
enum class OnWorkerLost : std::uint8_t {
  retry,  ///< the attempt counts, and another worker gets it at once
  bury,   ///< the outcome is unknown, so it goes to the dead letters; it does not run again unless it is retried there
};

/// How often a job is tried if it does not say otherwise. With the default retry policy the last attempt comes after
/// about two hours, four at most: longer than most outages, and short enough that a person sees the dead letter on
/// the same day.
inline constexpr std::uint16_t default_max_attempts = 15;

/// Options of a job. A job with any of retry_policy, expires and keep_result has 48 bytes less room in its cell.
struct JobOptions {
  /// The number of attempts after which the job is dead; 0: no bound.
  std::uint16_t max_attempts = default_max_attempts;
  RetryPolicy retry_policy = RetryPolicy::standard;
  OnWorkerLost on_worker_lost = OnWorkerLost::retry;
  /// The time before the job can be claimed. It runs on CLOCK_BOOTTIME: steps of the wall clock do not change it, and
  /// the time that the machine sleeps counts. At most ten years, as all times here.
  std::chrono::milliseconds delay{0};
  /// Or: the wall-clock time at which the job can be claimed. A step of the wall clock moves it. Zero: at once.
  std::chrono::system_clock::time_point at{};
  /// A job that is not begun within this wall-clock time after its enqueue is dead, with the cause `expired`. A job
  /// with a counted attempt was begun: its retries come, however late. Zero: it never expires.
  std::chrono::milliseconds expires{0};
  /// How long result and history are kept after the job's end. Zero: not at all.
  std::chrono::milliseconds keep_result{0};
};

/// The bytes of a payload or a result: of a text, or of any contiguous range of bytes. It refers to them; a call copies
/// them before it returns.
class Payload : public std::span<const std::byte> {
 public:
  constexpr Payload() noexcept = default;
  constexpr Payload(std::span<const std::byte> bytes) noexcept : span(bytes) {}
  Payload(std::string_view text) noexcept : span(std::as_bytes(std::span<const char>(text.data(), text.size()))) {}
  /// A text that ends with NUL, which is left out.
  Payload(const char* text) noexcept : Payload(std::string_view(text)) {}
  /// std::string, std::vector<std::uint8_t>, std::array<std::byte, 64>, ...
  template <std::ranges::contiguous_range Range>
  requires std::ranges::sized_range<const Range> &&
      (!std::is_array_v<Range>)&&(sizeof(std::ranges::range_value_t<Range>) == 1) &&
      std::is_trivially_copyable_v<std::ranges::range_value_t<Range>> Payload(const Range& range) noexcept
      : span(std::as_bytes(std::span(std::ranges::data(range), std::ranges::size(range)))) {}
};

/// What later jobs of a serial key do while a job of it waits for its time: a retry, JobOptions::delay, Job::snooze().
enum class SerialRetry : std::uint8_t {
  wait,  ///< they wait: the order is kept
  skip,  ///< they go on; the job is the next one when its time has come
};

/// One job to be enqueued. The payload is copied during the call.
struct JobRequest {
  Kind kind{};
  /// None: the level named `default`, or the only one of the engine; for a follow-up, that of its parent. An engine
  /// with several levels, none of them `default`, refuses a job without a level.
  Level level{};
  Payload payload{};
  /// How long a worker may hold the job before the keeper revokes the lease. Zero: the engine's default lease.
  /// Rounded up to a millisecond, at most 24 days.
  std::chrono::milliseconds lease{0};
  Durability durability = Durability::journaled;
  JobOptions options{};
  /// A name of the caller's own, 1 to 31 bytes without control characters, by which jobs can be listed. Empty: none.
  /// A tag, a trace and a letter take 128 bytes of the cell together, the 48 of the options included. Texts and the
  /// payload are copied during the call.
  std::string_view tag{};
  /// The trace that the job belongs to: a `traceparent` of W3C Trace Context, such as
  /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`. Empty: that of the job that it follows, or waits for,
  /// if any.
  std::string_view trace_parent{};
  /// Jobs of one key run one at a time and in the order of their enqueue, whatever their kinds and levels: a job begins
  /// when all earlier ones of its key are over. 1 to 65535 bytes; empty: none. Two jobs are in order if the enqueue of
  /// the first had returned when that of the second began. Such a job waits for no others (LinkedRequest::after), and
  /// goes through the keeper twice: about 0.1 ms.
  std::string_view serial_key{};
  /// What happens to its key while the job waits for a retry, or for its time.
  SerialRetry serial_retry = SerialRetry::wait;
  /// The dead letter that the job comes from: shown with it. DeadLetters::retry() fills it in.
  JobId retried_from{};
};

/// What happens to a job when one of its parents is dead or was cancelled.
enum class OnParentDead : std::uint8_t {
  cancel,  ///< it goes to the dead letters, with the cause `parent_dead`; if no parent is dead, it is cancelled
  run,     ///< it runs when all its parents are over
};

/// One job with dependencies: it waits until its parents are over.
struct LinkedRequest {
  JobRequest request{};
  /// Parents that were enqueued before. A parent that ended and left no record (no kept result, no dead letter) counts
  /// as succeeded. Each id takes 8 bytes of the payload's room.
  std::span<const JobId> after{};
  /// Parents in the same call, by their index there; each must be smaller than the job's own.
  std::span<const std::uint32_t> after_earlier{};
  OnParentDead on_parent_dead = OnParentDead::cancel;
};

/// What is known of one job. Times are wall clock, to about 4 ms; zero if the moment has not come.
struct JobInfo {
  JobId id;
  std::string kind;
  std::string level;
  JobState state = JobState::ended;
  /// The number of attempts that began, the present one included.
  std::uint32_t attempts = 0;
  /// 0: no bound.
  std::uint32_t max_attempts = 0;
  std::uint32_t payload_size = 0;
  std::chrono::system_clock::time_point enqueued_at{};
  /// When the present attempt began; the last one, if the job asked for keep_result.
  std::chrono::system_clock::time_point started_at{};
  std::chrono::system_clock::time_point ended_at{};
  /// When a delayed job can be claimed.
  std::chrono::system_clock::time_point due_at{};
  /// The participant that holds it, or held it last; -1: none.
  int worker = -1;
  /// The error of the last failed attempt, as far as the cell has room for it (see Job::fail()). For a lost worker it
  /// says how the worker died.
  std::string last_error;
  /// Why the job is dead; nothing in any other state.
  std::optional<DeathCause> cause;
  /// A dead letter that was retried: the job that it became. Known for as long as letters are kept.
  JobId retried_as{};
  /// The dead letter that the job comes from.
  JobId retried_from{};
  /// As it was enqueued.
  std::string tag;
  /// As it was enqueued, or inherited.
  std::string trace_parent;
  /// The handler's result, while it is kept: any bytes.
  std::string result;
  /// True if the result was refused: `result` is what the cell had room for, its beginning, or nothing.
  bool result_cut = false;
  /// Why it was refused.
  ResultRefusal result_refused = ResultRefusal::none;
  /// With state `ended`: its result or history went before its time, because others needed the room. Known until
  /// another job takes the cell; `ended_at` is known as long.
  bool evicted = false;
  /// The parents: jobs that it waits for, or has waited for. The first `most_parents` of them; Job::parents() has all.
  std::vector<JobId> parents;
  static constexpr std::size_t most_parents = 100;
  /// The number of all parents.
  std::uint32_t parent_count = 0;
  /// The last progress that the running handler reported.
  std::uint64_t progress = 0;
  std::string progress_text;
};

/// Which jobs are meant. What is left out holds for all.
struct JobFilter {
  std::optional<JobState> state{};
  std::optional<std::string> kind{};
  std::optional<std::string> level{};
  std::optional<std::string> tag{};
};

/// Returns the bytes of a text.
inline std::span<const std::byte> as_payload(std::string_view text) noexcept {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

/// Returns a payload as text.
inline std::string_view as_text(std::span<const std::byte> payload) noexcept {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

}  // namespace ringmill
