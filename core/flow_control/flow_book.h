// Changing the rules of flow control, and bringing shared memory to what they say.
//
//                                                                 killed just after the step
//   flow.F1  lock the flow byte of the engine's lock file         the kernel drops it
//   flow.F2  read the rules, change them, write them durably      the file says it; the keeper sees within its thorough
//                                                                 turn (50 ms) that the file is new, and goes on at F3
//   flow.F3  write the words of kinds and levels that differ      again: what is there already is left alone
//   flow.F4  ring the keeper, which brings back what was parked;  the keeper's turn checks all kinds that wait; a
//            wake all sleepers                                    sleeper checks again when the keeper has applied, or
//                                                                 within a second
//   flow.F5  unlock                                               the kernel does it
//
// A segment that is made anew gets the rules before any other process can map it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include <ringmill/error.h>

#include "core/flow_control/flow_rules.h"
#include "core/instance/engine_core.h"
#include "core/instance/engine_files.h"
#include "ipc/segment.h"

namespace ringmill {

/// F1 to F5. `change` edits the rules. Errors: those of `change`; no_space (64 kinds have a concurrency limit, which is
/// the most; or no kind can be named any more), permission_denied, corrupt, system.
Result<void> change_flow_rules(const EngineFiles& directory, Segment& segment,
                               const std::function<Result<void>(FlowRules&)>& change);

/// F2 for an engine that is being made, and has no other process.
Result<void> write_flow_rules(const EngineFiles& directory, const FlowRules& rules);

/// F3. True: something was written. The caller has the flow lock, or the segment for itself. Error no_space, as above:
/// all the other rules hold then.
Result<bool> apply_flow_rules(const Segment& segment, const FlowRules& rules);

/// The keeper's eye on the file.
class FlowRulesWatch {
 public:
  /// Applies the rules if the file is another one than last time, which it always is the first time.
  void apply_if_changed(const EngineCore& engine);

 private:
  struct Sign {
    std::uint64_t inode = 0;  // 0: there is no file
    std::int64_t changed_ns = 0;
    bool operator==(const Sign&) const noexcept = default;
  };
  static Sign sign_of(const EngineFiles& directory);

  std::optional<Sign> applied_;
};

}  // namespace ringmill
