// A participant: a place in the engine, of one thread or of one process. It enqueues, claims and settles jobs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/role.h>

namespace ringmill {

class Participant;

/// The job that enqueue_unique() or follow_up_unique() found or made.
struct UniqueJob {
  JobId id;
  bool is_new = false;
};

/// The state of a job after one of its attempts was settled.
enum class Settled {
  waits,  ///< the job waits for another attempt, now or later
  dead,   ///< the job goes to the dead letters
  over,
};

/// A claimed job: this participant holds its lease. Settle it with exactly one of complete(), fail(), retry_in(),
/// snooze(), reject(), release(), cancel().
/// A Job that goes out of scope unsettled is released. Only what the participant is bound to may touch it, and it must
/// not outlive the participant. Each settling call costs one compare-and-swap in shared memory and no system call
/// (those after which the job waits may wake a sleeping worker, or the keeper).
class Job {
 public:
  /// Makes an empty Job, for claim_batch() to fill.
  Job() noexcept = default;
  Job(Job&& other) noexcept : lease_(other.lease_) { other.lease_.holder = nullptr; }
  Job& operator=(Job&& other) noexcept;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() {
    if (held()) give_back();
  }

  /// Returns false once the job is settled, its lease is known to be lost, or it is moved from.
  bool held() const noexcept { return lease_.holder != nullptr; }
  JobId id() const noexcept { return lease_.id; }
  Kind kind() const noexcept { return lease_.kind; }
  Level level() const noexcept { return lease_.level; }
  /// 1 for the first attempt.
  std::uint32_t attempt() const noexcept { return lease_.attempt; }
  /// Returns the payload, valid until this job is settled or this object is destroyed. An inline payload is a private
  /// copy. A longer one is read in place in shared memory, and stays unchanged until then, even if the lease is lost.
  std::span<const std::byte> payload() const noexcept { return lease_.payload; }

  /// Completes the job. Errors: lease_lost (the lease was revoked before, and another worker has the job: discard the
  /// work), not_held (this Job was settled before, a fault of the caller). The completion is in the journal within
  /// about a millisecond. Take a Participant::ticket() afterwards to wait for that: a job whose completion is durable
  /// never runs again.
  [[nodiscard]] Result<void> complete() { return complete(Payload()); }
  /// Completes the job with a result, any bytes, which is kept for JobOptions::keep_result, and dropped if the job did
  /// not ask for that. One that does not fit the cell goes to the arena. If it is longer than result_room(), or the
  /// arena is full, it is refused: what the cell has room for is kept, and JobInfo::result_refused says why. The job is
  /// completed in any case.
  [[nodiscard]] Result<void> complete(Payload result);
  /// Does the same with a result whose end is missing: JobInfo::result_cut says so.
  [[nodiscard]] Result<void> complete_cut(Payload beginning);
  /// Returns how many bytes of a result are kept while there is room: Engine::most_payload_bytes(). In an engine
  /// without an arena at most 1024, and less if the payload leaves less room in the cell. Returns the largest
  /// std::size_t if the job asked for no result: then nothing is kept.
  std::size_t result_room() const noexcept;
  /// Fails this attempt, which counts. The job waits as its retry policy says, or is dead when its attempts are used
  /// up; the returned value says which. Tools show `error` with the job, followed by `said`: the output of the run,
  /// such as a command's standard error. Both together keep up to 1024 bytes, or what the cell has room for. Longer
  /// text keeps the end of `said`, from the beginning of a line if possible, else the beginning and end of `error`;
  /// "[...]" marks the gap. Errors as complete().
  [[nodiscard]] Result<Settled> fail(std::string_view error = {}, std::string_view said = {});
  /// Does the same; the next attempt, if there is one, comes after `delay` instead of the policy's time.
  [[nodiscard]] Result<Settled> retry_in(std::chrono::milliseconds delay, std::string_view error = {},
                                         std::string_view said = {});
  /// Does as fail(), for a run that took too long: the dead letter's cause is `timeout`.
  [[nodiscard]] Result<Settled> time_out(std::string_view error = {}, std::string_view said = {});
  /// Puts the job off; the attempt does not count. Errors as complete().
  [[nodiscard]] Result<void> snooze(std::chrono::milliseconds delay);
  /// Ends a job that can never succeed: it is dead at once. Errors as complete().
  [[nodiscard]] Result<void> reject(std::string_view error = {}, std::string_view said = {});
  /// Ends the job as cancelled: for a handler that saw should_stop(). Errors as complete().
  [[nodiscard]] Result<void> cancel();
  /// Gives the job back as if it had not been claimed: the attempt does not count. Errors as complete().
  [[nodiscard]] Result<void> release();
  /// Extends the lease until `lease` from now. On success the keeper does not revoke it before then. Errors as
  /// complete().
  [[nodiscard]] Result<void> extend(std::chrono::milliseconds lease);

  /// Enqueues a job that becomes visible exactly when complete() succeeds. If this run ends in any other way, the new
  /// job is dropped. No crash leaves one without the other. `after_earlier` names earlier follow-ups of this job. A
  /// request without a level, or a trace, gets that of this job. Errors: as Participant::enqueue_together(). Allocates,
  /// but for the first one that waits for no other job.
  [[nodiscard]] Result<JobId> follow_up(const LinkedRequest& request,
                                        std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// Enqueues a job that waits until this one is completed, unless another job has the same key, as
  /// Participant::enqueue_unique() says: then this call returns that job's id. Unlike that of follow_up() it is there
  /// at once, blocked, and has the key. It outlives a run that fails: the next run's call finds it. If this job ends
  /// without being completed, it goes to the dead letters, or is cancelled, with it (OnParentDead::cancel). It may take
  /// room that is kept for follow-ups. Errors: as Participant::enqueue_unique(), and those of complete(). Allocates.
  [[nodiscard]] Result<UniqueJob> follow_up_unique(const JobRequest& request, std::string_view key,
                                                   std::chrono::milliseconds unique_for = {},
                                                   std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());
  /// Returns true if the last follow-up of this run, of either kind, got no room (would_block, timed_out). A run that
  /// fails for that reason is better put off with snooze(), which counts no attempt; a Worker does that by itself.
  bool lacked_room() const noexcept;
  /// Returns the number of follow-ups so far.
  std::uint32_t follow_ups() const noexcept;
  /// Returns the jobs that this one has waited for. Engine::job() has their results while this one is held. Allocates.
  std::vector<JobId> parents() const;

  /// Returns JobRequest::tag of this job. Allocates.
  std::string tag() const;
  /// Returns the trace that this job belongs to, as JobRequest::trace_parent has it: its own, or the one that it
  /// inherited. Allocates.
  std::string trace_parent() const;

  /// Returns how long the lease still holds. Zero or less: the keeper may have given the job to another worker.
  std::chrono::nanoseconds time_left() const noexcept;
  /// Returns JobRequest::lease of this job; zero: the engine's default lease.
  std::chrono::milliseconds lease() const noexcept;
  /// Returns true once Participant::cancel() has asked this run to stop. One load.
  bool should_stop() const noexcept;
  /// Publishes the progress of the run: any number, and a text of which 64 bytes are kept. A participant shows the
  /// progress of one job: that of its latest report.
  void report_progress(std::uint64_t number, std::string_view text = {}) noexcept;
  /// Names the session (setsid(2)) of a process that this run has started; 1: it is about to start one; 0: none is
  /// left. If this participant dies, the keeper kills what is left of the session before another worker gets the job.
  /// It looks for the entry `RINGMILL_JOB_ID=` with this job's id in the environment of the session's processes, and
  /// touches no other session. A participant names one session at a time.
  void note_session(int session) noexcept;

 private:
  friend class LeaseAccess;  // core/participant/held_lease.h
  /// Releases the job and ignores the outcome.
  void give_back() noexcept;

  /// What the job rests on. claim() fills it, the call that settles the job empties it.
  struct HeldLease {
    Participant* holder = nullptr;  // null: nothing is held
    JobId id{};
    std::uint64_t word = 0;  // the state word that the lease rests on; all ones: the lease was lost
    std::span<const std::byte> payload{};
    Kind kind{};
    std::uint32_t attempt = 0;
    std::uint32_t slot = 0;  // the lease slot in the holder's registry entry
    Level level{};
    std::uint16_t flags = 0;  // the cell's, and whether the run has a permit
  };
  HeldLease lease_;
};

/// A moment in the journal: when a ticket is durable, so is everything that its participant had done before it took the
/// ticket. Valid in every process, for as long as the engine's shared memory lives.
struct DurabilityTicket {
  std::uint64_t round = 0;
};

/// How claims choose among levels.
enum class Policy {
  weighted,  ///< each level gets its share by weight, so no level starves. The default.
  strict,    ///< always the most urgent level that has a job.
};

/// What a participant claims. Empty lists mean all.
struct ClaimOptions {
  std::vector<Level> levels{};
  std::vector<Kind> kinds{};
  Policy policy = Policy::weighted;
  /// The most jobs that one claim() takes in advance. It takes as many as last about 200 us by the measured time
  /// between claims: exactly one when handlers are slow. 1 to Participant::most_leases.
  std::uint32_t prefetch = 64;
};

/// The state in which cancel() found a job.
enum class Cancelled {
  before_start,   ///< the job was waiting and will never run.
  asked_to_stop,  ///< a worker runs the job and was asked to stop: the job may still complete.
  already_over,   ///< the job had ended before.
};

class EngineCore;

/// A wait for jobs that was begun and is slept through elsewhere: see Participant::begin_wait().
struct BegunWait {
  std::uint32_t sequence = 0;
};

/// A place in an engine: a registry entry, its leases, its cache of free cells.
/// Made by Engine::attach(). It belongs to the thread that attached it, or with Binding::process to that process, and
/// every call checks that (errors wrong_thread, after_fork). Not for signal handlers. If what it belongs to dies, the
/// keeper hands its jobs to other workers at once. Unless a call says otherwise it allocates nothing and takes no lock.
/// It makes a system call only to wake a sleeping participant, or to wait.
class Participant {
 public:
  /// The most jobs that one participant can hold at a time.
  static constexpr std::uint32_t most_leases = 64;
  /// The most jobs that one call can enqueue or claim.
  static constexpr std::uint32_t most_in_batch = 64;

  /// Releases the jobs that it holds and leaves the registry.
  ~Participant();
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;

  /// Returns an error if a call from here would: wrong_thread, after_fork.
  [[nodiscard]] Result<void> check_owner() const noexcept;

  /// Returns the number of the registry entry; tools show it.
  int number() const noexcept;

  /// Puts one job into its level. A worker may claim it before this call returns. `wait` bounds the whole call: the
  /// wait for room, and with Durability::durable that for the disk. A durable job without a `wait` waits for no room,
  /// and up to 10 s for the disk. Errors: would_block (the table, the level, or for a long payload the arena is full,
  /// or the journal is behind because the disk does not keep up; and `wait` is zero, or wake() ended it), timed_out
  /// (the same, for longer than `wait`), too_large, invalid_argument, level_removed, not_found (the engine was
  /// removed), out_of_memory. With Durability::durable also, and then the job is in: not_durable (the disk does not
  /// have it yet; the text says if the keeper stands still), journal_failed and no_space (as wait_durable()).
  [[nodiscard]] Result<JobId> enqueue(const JobRequest& request,
                                      std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Enqueues a job unless another job has the same key, and has not ended, or ended less than its own `unique_for`
  /// ago: then this call returns that job's id. Of any number of concurrent calls, in any processes, exactly one makes
  /// the job. The key is 1 to 65535 bytes of any value. An engine holds about half as many unique jobs as its capacity.
  /// Errors: as enqueue(), and no_space (too many unique jobs live). A retry after an error is safe.
  [[nodiscard]] Result<UniqueJob> enqueue_unique(const JobRequest& request, std::string_view key,
                                                 std::chrono::milliseconds unique_for = {},
                                                 std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Enqueues up to most_in_batch jobs, in order, with one update of each level's tail. Returns how many were enqueued:
  /// fewer than asked if the table is full after `wait`. `ids` must be as long as `requests` and gets the ids of the
  /// enqueued jobs. One bad request (too_large, invalid_argument) refuses the whole batch.
  [[nodiscard]] Result<std::size_t> enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids,
                                                  std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// The most jobs of one enqueue_together(), and the most follow-ups of one job.
  static constexpr std::uint32_t most_together = 131072;

  /// Enqueues jobs that may wait for each other, or for existing jobs: all of them or none, also across a crash of any
  /// process or of the machine. `ids` must be as long as `jobs`. JobGraph builds chains, groups and callbacks on this.
  /// A job's parents take 8 bytes each in front of its payload, and count towards the longest payload (else too_large):
  /// of 1 MiB, the default, 131,000 have room. What does not fit the cell goes to the arena. Either all jobs of a call
  /// are of Durability::memory, or none is. Errors: as enqueue(); not_found (a parent that cannot be), no_space
  /// (more jobs, or more bytes, than the engine can hold). Allocates.
  [[nodiscard]] Result<void> enqueue_together(std::span<const LinkedRequest> jobs, std::span<JobId> ids,
                                              std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Returns a ticket for all that this participant has enqueued, completed, failed or cancelled before (except jobs of
  /// Durability::memory). Two loads. Take one after many calls, then wait once.
  [[nodiscard]] DurabilityTicket ticket() const noexcept;
  /// Waits until the ticket is durable, that is, on the disk. A job that ended before the journal had written it needs
  /// no writing. Errors: timed_out (not durable yet; wait again or give up), journal_failed (a write failed: jobs still
  /// run, but nothing more becomes durable until the disk is repaired and another keeper has taken over), no_space (the
  /// journal's disk is full; writing resumes when there is room).
  [[nodiscard]] Result<void> wait_durable(DurabilityTicket ticket, std::chrono::nanoseconds wait);
  /// Returns whether the ticket is durable; never waits. Error journal_failed as above.
  [[nodiscard]] Result<bool> is_durable(DurabilityTicket ticket) const;
  /// Calls `done` when the ticket is durable, or with the error of wait_durable(): from within a later call of
  /// poll_durable() on this thread. Allocates.
  void when_durable(DurabilityTicket ticket, std::function<void(Result<void>)> done);
  /// Makes the due calls of when_durable(). Returns how many are outstanding. Those outstanding at the participant's
  /// destruction are dropped.
  std::size_t poll_durable();

  /// Sets what later calls of claim() and claim_batch() take. Allocates; releases jobs claimed in advance.
  /// Errors: invalid_argument (an unknown level or kind, a prefetch out of bounds), level_removed.
  [[nodiscard]] Result<void> subscribe(const ClaimOptions& options);

  /// Claims one job. With a `wait` it spins for 20 us, then sleeps until there is one. Errors: would_block (no job, and
  /// `wait` is zero, or wake() ended the wait), timed_out, level_removed (a level that subscribe() named was removed,
  /// before the call or while it waited). level_removed is returned once per level; the next call goes on with the
  /// other levels. When no level is left every call returns it.
  [[nodiscard]] Result<Job> claim(std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Claims up to out.size() jobs (at most most_in_batch); waits only for the first. Returns how many. Releases jobs
  /// that entries of `out` still hold before. Errors as claim().
  [[nodiscard]] Result<std::size_t> claim_batch(std::span<Job> out,
                                                std::chrono::nanoseconds wait = std::chrono::nanoseconds::zero());

  /// Completes every held job of the span and returns how many. The others had lost their lease. Every entry is settled
  /// afterwards.
  [[nodiscard]] std::size_t complete_batch(std::span<Job> jobs);

  /// Ends a waiting job, or asks a running one to stop. Error not_found: no job ever had this id.
  [[nodiscard]] Result<Cancelled> cancel(JobId id);

  /// Begins a wait for jobs without sleeping, for a program that sleeps elsewhere: in another thread, or in an event
  /// loop that another thread wakes. Any job that arrives from now on ends sleep(). Returns nothing if there may be a
  /// job already: claim, do not sleep. A wait that was begun before goes on. Errors: as claim() with no wait.
  [[nodiscard]] Result<std::optional<BegunWait>> begin_wait();
  /// Sleeps until a job may have arrived, wake() is called, or the time is over; a second at most. Returns true if
  /// something woke it. Any thread of the process, while the participant lives: it takes no part in other calls.
  bool sleep(BegunWait wait, std::chrono::nanoseconds timeout) const noexcept;
  /// Ends a wait. To be called before each claim that follows it, or when no claim follows: then `claims` is false, and
  /// a wake-up that came meanwhile is passed on to another participant that sleeps for the same jobs.
  void end_wait(bool claims) noexcept;
  /// Passes on a wake-up that ended sleep(), when the claim that it asks for does not come soon. Any thread.
  void pass_on_wake() const noexcept;

  /// Returns how many jobs this participant holds, those claimed in advance included.
  std::uint32_t held() const noexcept;

  /// Releases the jobs that claim() took in advance and did not return. Part of a graceful shutdown.
  void release_prefetched();

  /// Ends this participant's wait in claim() or enqueue(): the present one, or the next. This is the only call that
  /// another thread or a signal handler may make. In the child of a fork it does nothing.
  void wake() noexcept;

 private:
  friend Result<std::unique_ptr<Participant>> attach(const std::shared_ptr<EngineCore>& engine, Role role,
                                                     Binding binding);
  friend class Job;
  friend class Values;
  class Implementation;
  explicit Participant(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
