// A test that acts as the keeper itself, step by step: an engine's inside with a registered participant of the calling
// thread.
#pragma once

#include <memory>
#include <optional>

#include "core/instance/engine_core.h"
#include "core/keeper/keeper.h"
#include "core/keeper/reaper.h"
#include "core/keeper/table_scan.h"
#include "core/table/job_table.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

class Inside {
 public:
  explicit Inside(const ScratchEngine& engine)
      : core_(engine.open_core()), number_(must(core_->registry.enter(Role::keeper))), work_(*core_, number_) {}
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { core_->registry.leave(number_); }

  EngineCore& core() const noexcept { return *core_; }
  const Segment& segment() const noexcept { return core_->segment; }
  std::uint32_t number() const noexcept { return number_; }
  JobTable table() const noexcept { return JobTable(core_->segment); }
  KeeperWork& work() noexcept { return work_; }

  /// A whole pass, with these entries known to be dead.
  void scan(const TableScan::Owners& dead = {}) {
    Reaper reaper(*core_, number_);
    Timers timers(core_->segment, reaper);
    TableScan(*core_, reaper, timers).run(dead);
  }

 private:
  std::shared_ptr<EngineCore> core_;
  std::uint32_t number_;
  KeeperWork work_;
};

}  // namespace ringmill::test
