// One trial: a process is killed or stopped after the n-th instruction of an operation, the survivors go on,
// everything is checked.
//
//   kill   odd n: survivors work the engine empty   -> every other two n: the keeper's instant handover, empty
//          -> the keeper repairs everything -> empty -> fill to the last cell -> empty -> checks
//   stop   its leases expire, survivors work the engine empty, refill and empty it until every ring has gone round;
//          odd n: refill it once more -> the process goes on to its end -> empty -> fill -> empty -> checks
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/statistics.h>

#include "tests/crash/ledger_check.h"
#include "tests/crash/operations.h"
#include "tests/crash/single_step.h"
#include "tests/crash/world.h"

namespace ringmill::crash {

/// Outlasts any trial.
inline constexpr std::chrono::milliseconds long_lease = std::chrono::minutes(5);
/// Over before the keeper looks: it acts only when the sweep says so.
inline constexpr std::chrono::milliseconds short_lease{1};

/// A recording traps after each instruction.
inline constexpr std::chrono::milliseconds patience_to_record = std::chrono::minutes(2);

/// What all trials of a sweep share.
struct Stage {
  std::filesystem::path folder;
  std::filesystem::path shm_folder;
  Mode mode = Mode::kill;
  Report* report = nullptr;  // shared with the children
  std::unique_ptr<World> world{};
  std::uint64_t trial = 0;
  std::chrono::milliseconds lease{0};  // of this trial's jobs
  JobTotals counted{};                 // what the statistics said after the trial before

  /// A new engine: after a problem, so that it is counted once.
  void renew();
  void renew(Shape shape);
  /// Clears the report and enqueues what stands there before, with this lease. Problems: the engine refused.
  std::vector<Problem> begin(const std::vector<std::size_t>& standing, std::chrono::milliseconds job_lease,
                             const JobOptions& options = {});
  /// The same for all that an operation wants.
  std::vector<Problem> begin(const Operation& operation, std::chrono::milliseconds job_lease, Runs& runs);
  std::function<void()> child_body(const Operation& operation) const;
};

/// Something to be swept.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual std::string_view name() const noexcept = 0;
  virtual Shape shape() const noexcept { return Shape::plain; }
  /// Runs the operation once without harm and notes its path. Nothing: it did not come to its end.
  virtual std::optional<StepPath> measure(Stage& stage) = 0;
  virtual std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) = 0;
};

/// Every operation of producers and workers but those in C, then the keeper's.
std::vector<std::unique_ptr<Subject>> all_subjects();
std::unique_ptr<Subject> worker_subject(const Operation& operation);
/// An enqueue with a worker asleep, which it must wake.
std::unique_ptr<Subject> waking_subject();
/// The keeper's repair of one thing that the dead can leave behind.
std::vector<std::unique_ptr<Subject>> keeper_subjects();
/// The keeper frees kept results, or gives memory back.
std::vector<std::unique_ptr<Subject>> room_subjects();
/// An engine gets another size: its steps are the system calls.
std::unique_ptr<Subject> resize_subject();
/// A round of the journal, its take-over included.
std::unique_ptr<Subject> journal_subject();

/// What the survivors do while a process stands: empty, full, empty, until each ring has gone round. `is_keeping`:
/// our keeper is in office, so each refill must reach every cell that the stopped one does not hold.
/// `in_hand`: so many cells the stopped one may hold.
void churn(World& world, std::uint64_t trial, Runs& runs, bool is_keeping, std::vector<Problem>& problems,
           std::uint32_t in_hand = 4);
/// The end of each trial: empty, full, empty, invariants, ledger. `unmarked`: so many cells may lack their mark for the
/// journal (evict.V2).
void check_all(Stage& stage, Runs& runs, std::size_t standing, Mode ledger_mode, std::vector<Problem>& problems,
               std::uint32_t unmarked = 0);
/// Whether a process that was to be stopped at an instruction ended before it, or is silent: that is a problem.
bool never_came(const SteppedProcess& process, std::string_view name, std::vector<Problem>& problems);
/// Lets a stopped process go on to its own end.
void let_finish(SteppedProcess& process, std::vector<Problem>& problems);

}  // namespace ringmill::crash
