// Gives up what is kept of jobs that are over, so that their cells are free before the time that they asked for.
//
//   forget.G1  note the id in the placing list        killed after it: the reaper finds a job that is over, and marks
//                                                     it
//   forget.G2  CAS the cell: completed or cancelled,  killed after it: the reaper marks the cell, so the journal is
//              kept -> free                           told; the free cell is listed by a scan
//   forget.G3  mark the end for the journal, list the cell, clear the placing list
//
// The keeper may drop the same job in the same moment: one swap wins.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/instance/engine_core.h"
#include "core/table/settling.h"

namespace ringmill {

/// Of one thread: it has a participant's entry while it lives.
class Forgetting {
 public:
  /// Errors: those of Engine::open() and Engine::attach().
  static Result<std::unique_ptr<Forgetting>> begin(const std::filesystem::path& directory);
  ~Forgetting();
  Forgetting(const Forgetting&) = delete;
  Forgetting& operator=(const Forgetting&) = delete;

  const Segment& segment() const noexcept { return core_->segment; }
  /// False: nothing is kept of it. Errors: not_found (no such job ever was); busy (it is not over, or another job needs
  /// to know how it ended).
  Result<bool> forget(JobId id);

 private:
  explicit Forgetting(std::shared_ptr<EngineCore> core) noexcept : core_(std::move(core)) {}
  Result<void> enter();
  /// Why the cell of a job that is over must stay; nothing: it need not.
  const char* need_of(CellIndex index, StateWord word) const noexcept;

  std::shared_ptr<EngineCore> core_;
  std::uint32_t number_ = most_participants;
  std::unique_ptr<Settling> settling_;
};

}  // namespace ringmill
