// A participant: one thread's place in the engine. It enqueues, claims and settles jobs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/role.h>

namespace ringmill {

class Participant;

/// What became of a job whose attempt was settled.
enum class Settled {
  waits,  ///< for another attempt, now or later
  dead,   ///< it goes to the dead letters
  over,
};

/// A claimed job: this participant holds its lease. Settle it with exactly one of complete(), fail(), retry_in(),
/// snooze(), reject(), release(), cancel().
/// A Job that goes out of scope unsettled is released. Only the participant's own thread may touch it, and it must not
/// outlive the participant. Each settling call costs one compare-and-swap in shared memory and no system call (those
/// after which the job waits may wake a sleeping worker, or the keeper).
class Job {
 public:
  /// Holds nothing. Room for claim_batch() to fill.
  Job() noexcept = default;
  Job(Job&& other) noexcept
      : participant_(std::exchange(other.participant_, nullptr)),
        id_(other.id_),
        word_(other.word_),
        payload_(other.payload_),
        kind_(other.kind_),
        attempt_(other.attempt_),
        slot_(other.slot_),
        level_(other.level_),
        flags_(other.flags_) {}
  Job& operator=(Job&& other) noexcept;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() {
    if (held()) give_back();
  }

  /// False once settled, lost or moved from.
  bool held() const noexcept { return participant_ != nullptr; }
  JobId id() const noexcept { return id_; }
  Kind kind() const noexcept { return kind_; }
  Level level() const noexcept { return level_; }
  /// 1 for the first attempt.
  std::uint32_t attempt() const noexcept { return attempt_; }
  /// Valid until this job is settled, or this object goes. A payload that stands in its cell is a private copy; a
  /// longer one is read where it lies in shared memory, and stays there unchanged until then, even with the lease lost.
  std::span<const std::byte> payload() const noexcept { return payload_; }

  /// The job is done. Error lease_lost: the lease was revoked before, and another worker has the job: drop what was
  /// done. The journal knows within about a millisecond; take a Participant::ticket() afterwards to wait for that: a
  /// job whose completion is durable does not run again, whatever happens.
  Result<void> complete() { return complete({}); }
  /// The same with a result, which is kept for as long as the job asked for (JobOptions::keep_result; else it is
  /// dropped). Of one that is longer than result_room() the beginning is kept, and JobInfo::result_cut says so: the
  /// job is completed all the same.
  Result<void> complete(std::span<const std::byte> result);
  /// How many bytes of a result are kept: 1024 at most, and less where the payload leaves less room in the cell. The
  /// largest number there is: the result was not asked for, and nothing of it is kept.
  std::size_t result_room() const noexcept;
  /// This attempt failed; the attempt counts, and what is returned says whether there is another one. The job waits as
  /// its retry policy says, or is dead when its attempts are used up. `error` is shown with the job, with `said` behind
  /// it: what the run wrote meanwhile, such as a command's standard error. Both together have 1024 bytes, or what the
  /// cell has room for; of more the end of `said` is kept, from a line's beginning where there is one, else beginning
  /// and end of `error`, with the mark "[...]" in the gap. Error lease_lost as above.
  Result<Settled> fail(std::string_view error = {}, std::string_view said = {});
  /// The same, and if there is a next attempt, it comes after this time, whatever the policy says.
  Result<Settled> retry_in(std::chrono::milliseconds delay, std::string_view error = {}, std::string_view said = {});
  /// As fail(), because it ran for too long: the dead letter says `timeout`.
  Result<Settled> time_out(std::string_view error = {}, std::string_view said = {});
  /// Later: the attempt does not count. Error lease_lost as above.
  Result<void> snooze(std::chrono::milliseconds delay);
  /// It can never succeed: it is dead at once. Error lease_lost as above.
  Result<void> reject(std::string_view error = {}, std::string_view said = {});
  /// It ends as cancelled: what a handler does when should_stop() says so. Error lease_lost as above.
  Result<void> cancel();
  /// Gives the job back as if it had not been claimed: the attempt does not count. Error lease_lost as above.
  Result<void> release();
  /// Holds the lease until `lease` from now. When this says yes, the keeper does not revoke before then.
  /// Error lease_lost as above.
  Result<void> extend(std::chrono::milliseconds lease);

  /// Enqueues a job that becomes visible exactly when complete() succeeds; however else this run ends, it never was.
  /// No crash, of whatever, leaves one without the other. `after_earlier` speaks of earlier follow-ups of this job.
  /// Errors: as Participant::enqueue_together(). Allocates.
  Result<JobId> follow_up(const LinkedRequest& request,
                          std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// How many follow-ups it has by now.
  std::uint32_t follow_ups() const noexcept;
  /// The jobs that this one has waited for. Their results can be had by Engine::job() while this one is held.
  /// Allocates.
  std::vector<JobId> parents() const;

  /// How long the lease still holds; zero or less: the keeper may have given the job to others.
  std::chrono::nanoseconds time_left() const noexcept;
  /// JobRequest::lease of this job.
  std::chrono::milliseconds timeout() const noexcept;
  /// True once Participant::cancel() has asked that this run stops. One load.
  bool should_stop() const noexcept;
  /// Shows how far the run is: any number, and a text of which 64 bytes are kept. A participant shows the progress of
  /// one job, the one that said something last.
  void report_progress(std::uint64_t number, std::string_view text = {}) noexcept;

 private:
  friend class Participant;
  /// Releases the job and ignores the outcome.
  void give_back() noexcept;

  Participant* participant_ = nullptr;
  JobId id_{};
  std::uint64_t word_ = 0;  // the state word that our lease rests on
  std::span<const std::byte> payload_{};
  Kind kind_{};
  std::uint32_t attempt_ = 0;
  std::uint32_t slot_ = 0;  // our lease slot in the registry entry
  Level level_{};
  std::uint16_t flags_ = 0;  // the cell's
};

/// A moment in the journal: everything that a participant had done before it took the ticket is durable when the
/// ticket is. Valid in every process, for as long as the engine's shared memory lives.
struct DurabilityTicket {
  std::uint64_t round = 0;
};

/// How claims choose among levels.
enum class Policy {
  weighted,  ///< each level gets its share by weight while all have jobs: nothing starves. The default.
  strict,    ///< always the most urgent level that has a job.
};

/// What a participant claims. Empty lists mean all.
struct ClaimOptions {
  std::vector<Level> levels{};
  std::vector<Kind> kinds{};
  Policy policy = Policy::weighted;
  /// The most jobs that one claim() takes in advance, when handlers are fast. It takes so many that they last about 200
  /// us by the measured time between claims, and exactly one when handlers are slow. 1 to Participant::most_leases.
  std::uint32_t prefetch = 64;
};

/// What enqueue_unique() found or made.
struct UniqueJob {
  JobId id;
  bool is_new = false;
};

/// What cancel() found.
enum class Cancelled {
  before_start,   ///< it was waiting and will never run.
  asked_to_stop,  ///< a worker runs it, and was asked to stop: it may still end well.
  already_over,   ///< it had ended before.
};

class EngineCore;

/// One thread's place in an engine: a registry entry, its leases, its cache of free cells.
/// Made by Engine::attach(); it belongs to the thread that attached it, and every call checks that (errors
/// wrong_thread, after_fork). Not for signal handlers. If the thread or its process dies, the keeper hands its jobs to
/// others at once. After attach() the calls below allocate nothing, take no lock, and make no system call unless
/// another participant sleeps or they are asked to wait.
class Participant {
 public:
  /// The most jobs that one participant can hold at a time.
  static constexpr std::uint32_t most_leases = 64;
  /// The most jobs that one call can enqueue or claim.
  static constexpr std::uint32_t most_in_batch = 64;

  /// Gives back what it holds and leaves the registry.
  ~Participant();
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;

  /// The number of our registry entry; tools show it.
  int number() const noexcept;

  /// Puts one job into its level. When it returns, any worker may have it already.
  /// Errors: would_block (the table, or for a long payload the arena, is full, and `wait` is zero), timed_out,
  /// too_large, invalid_argument, level_removed.
  Result<JobId> enqueue(const JobRequest& request, std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Puts a job in unless there is one with the same key, which lives, or has ended less than `unique_for` ago (as that
  /// one asked for): then that one's id comes back. Of any number of calls at the same time, in any processes, one
  /// makes the job. The key is 1 to 65535 bytes, of any kind. About half as many unique jobs as the engine's capacity
  /// fit at a time. Errors: as enqueue(), and no_space (too many unique jobs live). A retry after an error is safe.
  Result<UniqueJob> enqueue_unique(const JobRequest& request, std::string_view key,
                                   std::chrono::milliseconds unique_for = {},
                                   std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Puts up to most_in_batch jobs, in order, with one update of the level's tail; the jobs of one batch may be of
  /// several levels. Returns how many went in: fewer than asked when the table is full after `wait`. `ids` must be as
  /// long as `requests` and gets the ids of those that went in. Bad requests (too_large, invalid_argument) refuse the
  /// whole batch.
  Result<std::size_t> enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids,
                                    std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// The most jobs of one enqueue_together(), and the most follow-ups of one job.
  static constexpr std::uint32_t most_together = 65536;

  /// Puts in jobs that may wait for each other, or for jobs that are there: all of them or none, also across a crash
  /// of any process, or of the machine. `ids` must be as long as `jobs`. JobGraph makes chains, groups and callbacks
  /// of this. A job that waits for others has 8 bytes for each of them in front of its payload, which count towards the
  /// longest payload; they have to fit its cell beside 72 bytes (else too_large), a payload that does not fit goes to
  /// the arena. All jobs of a call are of Durability::memory, or none is. Errors: as enqueue(); not_found (a parent
  /// that cannot be), no_space (more jobs, or more bytes, than the engine can hold). Allocates.
  Result<void> enqueue_together(std::span<const LinkedRequest> jobs, std::span<JobId> ids,
                                std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Stands for all that this participant has enqueued, completed, failed or cancelled until now (but for jobs of
  /// Durability::memory). Two loads. Take one after many calls, then wait once.
  DurabilityTicket ticket() const noexcept;
  /// Waits until the ticket is durable: the disk has it. A job that ended before the journal had written it needs no
  /// writing. Errors: timed_out (not durable yet; wait again or give up), journal_failed (a write failed: what is in
  /// memory still runs, but nothing more becomes durable until the disk is mended and another keeper has taken over),
  /// no_space (the journal's disk is full; it goes on by itself).
  Result<void> wait_durable(DurabilityTicket ticket, std::chrono::nanoseconds wait);
  /// True once it is durable; never waits. Error journal_failed as above.
  Result<bool> is_durable(DurabilityTicket ticket) const;
  /// Calls `done` when the ticket is durable, or with the error of wait_durable(): from within a later call of
  /// poll_durable() on this thread. Allocates.
  void when_durable(DurabilityTicket ticket, std::function<void(Result<void>)> done);
  /// Makes the calls that when_durable() has promised and that are due. Returns how many are still promised. What is
  /// promised when the participant goes is dropped.
  std::size_t poll_durable();

  /// What claim() and claim_batch() take from now on. Costs an allocation; gives back jobs claimed in advance.
  /// Errors: invalid_argument (an unknown level or kind, a prefetch out of bounds), level_removed.
  Result<void> subscribe(const ClaimOptions& options);

  /// Takes one job. With a `wait` it spins briefly, then sleeps until there is one.
  /// Errors: would_block (none, `wait` zero), timed_out, interrupted waits end with would_block after wake();
  /// level_removed: a level that subscribe() named is gone, also while this waits. It is said once, and the next call
  /// goes on with the other levels; with none left every call says so.
  Result<Job> claim(std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Takes up to out.size() jobs (at most most_in_batch), without waiting once there is one. Returns how many.
  /// Entries of `out` that still hold a job are released first. Errors as claim().
  Result<std::size_t> claim_batch(std::span<Job> out, std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Completes every held job of the span; returns how many. The others had lost their lease.
  /// Every entry is settled afterwards.
  std::size_t complete_batch(std::span<Job> jobs);

  /// Ends a job that waits; asks one that runs to stop. Error not_found: no such job ever was.
  Result<Cancelled> cancel(JobId id);

  /// How many jobs this participant holds, those claimed in advance included.
  std::uint32_t held() const noexcept;

  /// Gives back the jobs that claim() took in advance and did not return yet. Part of a graceful shutdown.
  void release_prefetched();

  /// Ends this participant's wait in claim() or enqueue() soon, now or the next time it waits. The one call that
  /// another thread, or a signal handler, may make; in the child of a fork it does nothing.
  void wake() noexcept;

 private:
  friend Result<std::unique_ptr<Participant>> attach(const std::shared_ptr<EngineCore>& engine, Role role);
  friend class Job;
  class Implementation;
  explicit Participant(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
