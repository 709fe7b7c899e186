// One seeded life of an engine over the modelled disk: producers and workers between any two steps of the journal
// thread and within its calls of the device, keepers that are killed there, power cuts after which the engine is
// recovered and goes on. At moments of it the power is cut on a copy, and what is recovered is held against the ledger.
//
// All of it is one process and one thread. What is the engine's own: shared memory, participants, marks, rounds, the
// writer, recovery, and of the keeper what its timers and dependencies do. Left out: the journal thread's clock, the
// keeper that reaps (tools/kill-sweep has that), and the file of dead letters: that a letter is written happens when
// the seed says so.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <ringmill/engine.h>

#include "core/durability/rounds.h"
#include "core/instance/engine_core.h"
#include "core/journal/writer.h"
#include "core/keeper/reaper.h"
#include "core/keeper/timers.h"
#include "ipc/state_word.h"
#include "tests/crash/crash_report.h"
#include "tests/crash/fiber.h"
#include "tests/crash/journal_ledger.h"
#include "tests/journal/disk_model.h"
#include "tests/support/scratch.h"

namespace ringmill::crash {

/// In two parts of the journal.
inline constexpr std::uint32_t most_large_payload = 40'000;

class EngineRun {
 public:
  EngineRun(std::uint64_t seed, CrashReport& report);
  ~EngineRun();
  EngineRun(const EngineRun&) = delete;
  EngineRun& operator=(const EngineRun&) = delete;

  void run();

 private:
  /// What changes during a job's life.
  struct Version {
    JournaledState state = JournaledState::waits;  // one that runs waits, for the journal
    std::uint16_t attempts = 0;                    // that have ended
    std::string text;                              // the last error, or the result
    bool operator==(const Version&) const = default;
  };
  static constexpr std::uint64_t never = ~std::uint64_t{0};
  struct Said {
    Version version;
    std::uint64_t ticket = never;  // never: the journal need not know it
  };
  /// What a participant was told of one job, and when it is durable.
  struct Row {
    std::uint64_t content = 0;
    std::uint64_t options = 0;
    std::uint64_t notes = 0;
    std::string key;  // of a unique job
    std::uint64_t links = 0;
    std::vector<JobId> parents;
    bool runs_all_the_same = false;
    /// The leader of those that it came together with, and the job with whose completion it came: if the journal has
    /// to know of both. 0: none.
    std::uint64_t bundle = 0;
    std::uint64_t follows = 0;
    bool memory_only = false;
    bool end_begun = false;
    std::optional<std::uint64_t> end_ticket;
    /// From its enqueue on. The oldest that counts is the last one that is durable.
    std::deque<Said> versions;
    std::uint16_t attempts() const { return versions.back().version.attempts; }
    JournaledState state() const { return versions.back().version.state; }
  };
  /// A cell's job as a recovery has it.
  struct Found {
    std::uint64_t content = 0;
    std::uint64_t options = 0;
    std::uint64_t notes = 0;
    std::uint64_t links = 0;
    Version version;
  };
  using Jobs = std::map<std::uint64_t, Found>;
  using Rows = std::map<std::uint64_t, Row>;
  struct Complaint {
    CrashTrouble trouble;
    std::string what;
  };

  /// A linked job that is about to be enqueued: what its request points to.
  struct Wanted {
    std::vector<std::byte> payload;
    JobOptions options;
    std::vector<JobId> after;
    std::vector<std::uint32_t> after_earlier;
    LinkedRequest linked;
  };
  /// A follow-up that becomes visible when its job is complete, if it ever is.
  struct FollowUp {
    JobId id;
    Row row;
  };
  /// The keeper's private memory.
  struct Keeping {
    Keeping(EngineCore& core, std::uint32_t number) : reaper(core, number), timers(core.segment, reaper) {}
    Reaper reaper;
    Timers timers;
  };

  // Participants: engine_run_life.cc.
  void act();
  void enqueue();
  void enqueue_batch();
  void claim();
  void settle_one();
  void cancel();
  void enqueue_unique();
  JobOptions options();
  JobRequest request(std::vector<std::byte>& payload, const JobOptions& options);
  void note_enqueued(JobId id, const JobRequest& request, std::string_view key = {});
  void note_given(JobId id, Row row);
  /// After a call that settled the job: what the table says of it now was acknowledged.
  void note_settled(JobId id, std::uint64_t ticket);
  void note_evicted();
  std::uint64_t ticket() const { return participants_[0]->ticket().round; }
  std::optional<JobId> some_job_in(std::initializer_list<CellState> states);
  static Version version_in(const Segment& segment, CellIndex index);
  static std::uint64_t options_in(const Segment& segment, CellIndex index);
  static std::uint64_t notes_in(const Segment& segment, CellIndex index);
  std::chrono::milliseconds later_delay() noexcept;

  // Jobs that are linked, and the keeper: engine_run_linked.cc.
  void enqueue_together();
  void add_follow_ups(Job& job);
  /// The run of this job has ended: its follow-ups have come with its completion, or never were.
  void note_follow_ups(JobId id, bool is_complete);
  /// `place`: so many come before it in the same call.
  void fill_wanted(Wanted& wanted, std::uint32_t place, Durability durability);
  std::optional<JobId> some_parent();
  Row row_of(JobId id, const LinkedRequest& linked, std::span<const JobId> earlier);
  void begin_keeping();
  void keeper_turn();
  /// Calls `work`, and takes note of what became of each job by that.
  template <class Work>
  void as_keeper(const Work& work);
  void check_release(JobId id);
  void write_a_letter();
  static std::vector<Complaint> complaints_of_links(const Jobs& jobs, const Rows& rows, std::uint64_t durable_round);

  void open_engine();
  void close_engine();

  // The journal thread.
  void live_one_keeper();
  bool open_journal();
  void act_beside();
  void advance();
  void drain();
  bool may_fail() const noexcept { return disk_->faults_met() > 0 || disk_is_small_; }

  // Cuts.
  void at_moment();
  void check_cut();
  void check(const Jobs& jobs);
  static std::string complaint_of(const Row& row, const Found& found, std::uint64_t durable_round);
  static std::vector<Complaint> complaints(const Jobs& jobs, const Rows& rows, std::uint64_t durable_round);
  std::optional<Jobs> recovered(const std::shared_ptr<test::Disk>& disk);
  std::optional<Jobs> replayed(const std::shared_ptr<test::Disk>& disk);
  void cut_for_real();
  static Jobs jobs_in(const Segment& segment);
  void take_rows(const Jobs& jobs);
  void found(CrashTrouble trouble, const std::string& what);
  bool is_durable(std::uint64_t ticket) const;

  CrashReport* report_;
  test::DiskRandom random_;   // of what is done
  test::DiskRandom cutting_;  // of what is cut
  test::ScratchPlace place_;
  std::optional<Engine> engine_;
  std::shared_ptr<EngineCore> core_;
  std::vector<std::unique_ptr<Participant>> participants_;
  std::vector<std::vector<Job>> held_;                         // by participant
  std::map<std::uint64_t, std::vector<FollowUp>> follow_ups_;  // by the job that is held
  std::unique_ptr<Keeping> keeping_;
  std::vector<Kind> kinds_;
  std::vector<RetryPolicy> policies_;
  std::uint64_t delays_ = 0;  // so many were given, each to end after all before it

  std::shared_ptr<test::Disk> disk_;
  JournalGeometry geometry_;
  bool disk_is_small_ = false;
  bool has_large_payloads_ = false;
  std::unique_ptr<Fiber> fiber_ = std::make_unique<Fiber>();
  test::DiskModel* device_ = nullptr;
  std::unique_ptr<JournalWriter> writer_;
  std::optional<JournalRounds> rounds_;
  std::uint64_t kill_in_ = 0;  // moments; 0: not within a call
  bool looks_ = false;
  bool acts_ = false;
  std::uint64_t steps_left_ = 0;
  std::uint64_t one_cut_in_ = 1;
  std::uint64_t cuts_at_once_ = 1;

  Rows rows_;
  std::vector<std::uint64_t> recent_;            // ids, for cancels
  std::set<std::uint64_t> over_;                 // ids of earlier worlds that may not come again
  std::optional<std::uint64_t> durable_before_;  // while a power cut is checked: the last durable round before it
  std::uint64_t moments_ = 0;
  std::uint64_t keepers_ = 0;
  std::uint64_t worlds_ = 0;
};

}  // namespace ringmill::crash
