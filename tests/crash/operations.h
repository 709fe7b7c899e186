// What the sweeps kill and stop in the middle of: one engine call each, in a child process of its own.
//
// Jobs of a trial are told apart by a serial number in their payload. The child writes into a page that it shares
// with the sweep what it asked for and what it was told, in this order: the question, the call, the answer. A kill
// leaves a question without an answer: then both outcomes are right. A question with an answer binds the engine.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <ringmill/engine.h>

namespace ringmill::crash {

/// The jobs that an operation is about have serials below this; fillers, which only make traffic, have the next ones.
inline constexpr std::uint32_t most_serials = 32;
/// The first serial that a child enqueues itself; those below are enqueued for it.
inline constexpr std::uint32_t first_own_serial = 24;
inline constexpr std::uint32_t most_fillers = 4096;
inline constexpr std::size_t payload_bytes = 64;
inline constexpr std::array<std::string_view, 3> level_names{"high", "default", "low"};
/// A dynamic level with the smallest ring: the level behind those.
inline constexpr std::string_view tube_name = "tube";
inline constexpr std::size_t tube = level_names.size();
inline constexpr std::uint32_t tube_ring = 16;

/// Sixty-four bytes that no other job has: trial, serial, and a pattern from both.
using Payload = std::array<std::byte, payload_bytes>;
Payload payload_of(std::uint64_t trial, std::uint32_t serial) noexcept;
/// The same bytes, and the first of them once more: too long for a cell of the sweep's engine.
inline constexpr std::size_t large_payload_bytes = 208;
using LargePayload = std::array<std::byte, large_payload_bytes>;
LargePayload large_payload_of(std::uint64_t trial, std::uint32_t serial) noexcept;
/// The serial, when every byte of either is right for this trial.
std::optional<std::uint32_t> serial_in(std::span<const std::byte> payload, std::uint64_t trial) noexcept;

/// What a job is left with by an operation that says something.
inline constexpr std::string_view result_text = "the result of a job, of some forty bytes";
/// One that does not fit its cell: the result above, again and again.
inline constexpr std::size_t large_result_bytes = 2000;
std::string_view large_result() noexcept;
inline constexpr std::string_view error_text = "no route to host";

/// `retry` is judged as `fail`, `snooze` as `release`: the job is delayed for a millisecond in between. `keep` is
/// judged as `complete`: the job is kept for a millisecond, with a result; so is `keep_large`. `bury` fails the only
/// attempt of a job.
enum class Ask : std::uint32_t {
  nothing,
  complete,
  fail,
  release,
  extend,
  extend_briefly,
  cancel,
  reject,
  bury,
  retry,
  snooze,
  keep,
  keep_large
};
enum class Answer : std::uint32_t {
  none,
  yes,
  no,  // would_block for an enqueue, lease_lost for a settling, "not before its start" for a cancel
};

/// What the child was about with one job.
struct JobReport {
  std::atomic<std::uint64_t> id;            // told by enqueue; of jobs that were there before: written by the sweep
  std::atomic<std::uint32_t> is_enqueuing;  // 1: asked for by the child
  std::atomic<Answer> enqueued;
  std::atomic<std::uint32_t> has_one_attempt;  // 1: it is dead when that fails, or is lost
  std::atomic<std::uint32_t> is_claimed;       // 1: a claim returned it to the child
  std::atomic<std::uint32_t> has_result;       // 1: the child completes it with result_text; 2: with large_result()
  std::atomic<std::uint32_t> is_extended;      // 1: extend said yes, for longer than a trial lasts
  std::atomic<Ask> asked;                      // the settling call that was made last
  std::atomic<Answer> answered;
};

struct Report {
  std::atomic<std::uint64_t> trial;
  /// 1: the child may hold jobs, or give back jobs, that is_claimed does not show.
  std::atomic<std::uint32_t> is_claiming;
  /// ErrorCode + 1 of an answer that no call may give here; the first one.
  std::atomic<std::uint32_t> surprise;
  /// So many jobs from first_own_serial on come all or none.
  std::atomic<std::uint32_t> together;
  /// 1: the job first_own_serial is a follow-up of the job 0: it is there exactly if the child has completed that one.
  std::atomic<std::uint32_t> follows;
  std::array<JobReport, most_serials> jobs;
  /// How often a worker that was woken completed each job.
  std::array<std::atomic<std::uint8_t>, most_serials> woken_ends;
  /// How often the child completed each filler.
  std::array<std::atomic<std::uint8_t>, most_fillers> filler_ends;

  void clear(std::uint64_t new_trial) noexcept;
};

/// The child's side of one trial. Where it cannot even begin, the process ends with could_not_prepare.
class Child {
 public:
  static constexpr int could_not_prepare = 3;

  /// Opens the engine for itself.
  Child(const std::filesystem::path& directory, Report& report, std::chrono::milliseconds lease);

  void attach();
  /// Claims one by one, from the urgent level only, until it holds `count` jobs.
  void claim_urgent(std::size_t count);
  JobRequest request(std::uint32_t serial, std::size_t level) const noexcept;
  JobRequest large_request(std::uint32_t serial, std::size_t level) const noexcept;
  /// Takes over what a claim returned.
  void hold(Job job);
  /// Asks, calls, notes the answer.
  void settle(Job& job, Ask ask);
  void surprised_by(ErrorCode code) noexcept;
  /// Completes what it still holds, leaves, closes. After this the child may end.
  void finish();
  void leave() { participant_.reset(); }
  /// The kind of all jobs is limited from now on, until a survivor takes that off.
  void limit_kind(const KindLimits& limits);

  const std::filesystem::path& directory() const noexcept { return directory_; }
  Engine& engine() noexcept { return *engine_; }
  Participant& participant() noexcept { return *participant_; }
  Report& report() noexcept { return *report_; }
  std::array<Job, 4>& held() noexcept { return held_; }

 private:
  std::filesystem::path directory_;
  Report* report_;
  std::chrono::milliseconds lease_;
  std::optional<Engine> engine_;
  std::unique_ptr<Participant> participant_;
  std::array<Job, 4> held_;  // gone before the participant
  Kind kind_{};
  std::array<Level, tube + 1> levels_{};
  std::array<Payload, most_serials> payloads_{};
  std::array<LargePayload, most_serials> large_payloads_{};
};

/// Levels of jobs that stand before the child starts: this much more means a large payload.
inline constexpr std::size_t large_standing = 100;

/// `plain`: all cells are there from the beginning. `growing`: of three chunks of cells the last one comes when jobs
/// need it, and goes at once when they do not.
enum class Shape : std::uint8_t { plain, growing };

struct Operation {
  std::string_view name;
  /// Levels of the jobs that are enqueued before the child starts, as indices of level_names, or tube. Job n: serial n.
  std::vector<std::size_t> standing;
  /// In the child, before the begin marker.
  void (*prepare)(Child& child);
  /// In the child, between the markers.
  void (*act)(Child& child);
  /// Of the jobs that are enqueued before.
  JobOptions options{};
  /// Results that are kept until others need the room, then fillers, that stand there as well.
  std::uint32_t kept = 0;
  std::uint32_t fillers = 0;
  Shape shape = Shape::plain;
  /// In the child, behind the end marker: gives up what Child does not know of.
  void (*leave)(Child& child) = nullptr;
};

/// Everything that a producer or a worker does.
std::span<const Operation> operations();
/// The same by way of the C interface.
std::span<const Operation> operations_in_c();
/// The operation of that name, which must be one of them.
const Operation& operation_named(std::string_view name);

}  // namespace ringmill::crash
