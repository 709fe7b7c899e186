// The engine that a sweep works on, and the survivors: one participant that enqueues, claims and completes, and
// the keeper's work, done turn by turn in this process, so that the sweep decides what happens before and after it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/engine.h>

#include "core/instance/engine_core.h"
#include "core/keeper/keeper.h"
#include "tests/crash/operations.h"

namespace ringmill::crash {

/// Directory, locks and segment of an engine, opened as the keeper opens them. Ends the process when that fails.
std::shared_ptr<EngineCore> open_core(const std::filesystem::path& directory);

/// What the survivors saw of one job.
struct JobRuns {
  std::uint32_t claims = 0;
  std::uint32_t completions = 0;
  std::uint32_t leases_lost = 0;
  std::uint32_t lowest_attempt = ~std::uint32_t{0};
  std::uint32_t highest_attempt = 0;
  std::uint64_t id = 0;  // of the last claim
  std::uint32_t burials = 0;
  std::uint32_t times_kept = 0;
  std::string text;  // what it was buried, or kept, with
};

/// What the survivors saw in one trial.
struct Runs {
  std::array<JobRuns, most_serials> jobs{};
  std::uint32_t fillers = 0;  // enqueued so far
  std::array<std::uint8_t, most_fillers> filler_completions{};
  std::uint32_t torn_payloads = 0;
  std::vector<std::string> refusals;  // calls of survivors that were refused without a reason
};

class World {
 public:
  /// Cells, and those of them that producers may take; the others are kept for running handlers.
  static constexpr std::uint32_t capacity = 192;
  static constexpr std::uint32_t plain_capacity = 128;

  /// Makes an engine below `folder`, its segment below `shm_folder`, and becomes its keeper. Ends the process when
  /// that fails.
  World(const std::filesystem::path& folder, const std::filesystem::path& shm_folder, Shape shape);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  const std::filesystem::path& directory() const noexcept { return directory_; }
  Shape shape() const noexcept { return shape_; }
  const Segment& segment() const noexcept { return core_->segment; }
  EngineCore& core() const noexcept { return *core_; }
  /// As if nothing had ever been journaled: no files, no notes, every job marked.
  void forget_journal();
  /// Some of everything that the journal has to write: the first job that can be claimed ends, the next one fails.
  void end_one_and_fail_one();

  /// Enqueues the jobs that stand there before an operation, and notes their ids. False: the engine refused.
  bool place_standing(const std::vector<std::size_t>& levels, Report& report, std::chrono::milliseconds lease,
                      const JobOptions& options = {});

  /// Enqueues one more job with a serial of its own. False: the engine refused.
  bool enqueue(std::uint32_t serial, std::size_t level, Report& report, std::chrono::milliseconds lease,
               const JobOptions& options = {});
  bool someone_sleeps() const noexcept;

  /// Claims and completes whatever can be claimed now, without waiting for anything but the keeper's turns.
  void drain(std::uint64_t trial, Runs& runs);
  /// Enqueues fillers over all levels until the engine says that it is full, or there are `most`. Returns how many.
  std::uint32_t fill(std::uint64_t trial, Runs& runs, std::uint32_t most = most_fillers);
  /// Completes so many jobs whose results stay until others need the room. False: the engine refused.
  bool keep_results(std::uint32_t count);
  std::uint32_t kept_results() const noexcept { return cells_in(CellState::completed); }
  /// The most that are kept from now on; 0: only the room bounds them.
  void bound_results(std::uint32_t most) noexcept { core_->segment.signals().results_limit.store(most); }
  /// Turns of the keeper until no chunk is on its way.
  void settle_memory();
  /// The survivor has no free cells in hand any more.
  void empty_hands();
  bool is_whole() const noexcept;

  /// The keeper's usual turn, deaths and late leases included.
  void turn();
  /// The keeper's whole repair.
  void reap();
  /// Adds which jobs were buried and kept since the jobs of this trial were placed.
  void tell(Runs& runs) const;
  /// Gives the keeper's lock away, and takes it back. False: the lock did not come free within two seconds.
  void resign();
  bool take_office();

  /// What a journal would do: takes all marks, and knows from now on what each cell says.
  void let_journal_see();
  /// Cells that say something else than the journal knows, and are not marked: it would never look at them again.
  std::uint32_t unmarked_cells() const noexcept;

  /// How many cells are not free.
  std::uint32_t used_cells() const noexcept;
  /// Returns whether no participant has, or still reads, an extent of at least one whole chunk, and no job has any.
  bool arena_is_free() const noexcept;
  /// How many cells are held in states that only their owner can end: filling or completing.
  std::uint32_t unfinished_cells() const noexcept;
  std::uint32_t cells_in(CellState state) const noexcept;
  /// How many cells are running without a lease slot of their owner's that gives them more time.
  std::uint32_t cells_without_lease() const noexcept;
  /// Returns how many waiting jobs are in no placing list. After a drain they have no hint: only a scan finds them.
  std::uint32_t jobs_out_of_reach() const noexcept;
  /// Registry entries in use, the survivors' own aside.
  std::uint32_t strangers() const noexcept;
  /// Returns the broken invariants, while no participant works.
  std::vector<std::string> broken_invariants() const;
  /// How many participants can attach beside the survivors' in the entries that are there from the beginning, tried out
  /// by a process of its own.
  std::uint32_t room_in_registry() const;

 private:
  bool is_waited_for() const noexcept;
  /// A trial whose results others did not need.
  void forget_results();
  /// How many it claimed.
  std::size_t claim_all(std::uint64_t trial, Runs& runs);
  /// Until nothing waits for its time, or its end, any more.
  void let_times_come();
  /// Cells that are kept: noted before a turn of the keeper frees them.
  void note_kept();
  /// As the keeper's burial does, but for the letter.
  void bury();
  JobRuns* departure_of(CellIndex index);
  void let_journal_see_leaders();
  /// Some wait for a place in the tube's ring, which is the keeper's to give.
  bool keeper_has_to_refill() const noexcept;
  void note_run(Job& job, std::uint64_t trial, Runs& runs);

  std::filesystem::path directory_;
  Shape shape_;
  std::vector<JobId> kept_on_purpose_;
  std::optional<Engine> engine_;
  std::unique_ptr<Participant> survivor_;
  std::shared_ptr<EngineCore> core_;
  std::uint32_t keeper_number_ = 0;
  std::optional<KeeperWork> keeper_;
  Kind kind_{};
  std::array<Level, tube + 1> levels_{};
  std::array<std::uint16_t, capacity> attempts_seen_{};
  std::uint64_t trial_ = 0;
  std::array<JobRuns, most_serials> departures_{};
};

}  // namespace ringmill::crash
