// Whether a trial's ledger adds up: what the killed or stopped child was told, against what the survivors saw.
//
//   the child's last word on a job             times the survivors may complete it
//   it stood there, or its enqueue said yes    1
//   its enqueue was asked, no answer           0 or 1 (only after a kill)
//   complete, or cancel, said yes              0
//   complete, or cancel, asked, no answer      0 or 1
//   anything else                              1: fail and release give it back, a death gives it back
//
// After a kill each survivor's claim also shows which attempt it is: one more than before if the child's run had
// begun, whether its end was asked for or not; a release that said yes does not count.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/crash/operations.h"
#include "tests/crash/world.h"

namespace ringmill::crash {

enum class Mode { kill, stop };

enum class Trouble { lost, doubled, leaked, stuck };

struct Problem {
  Trouble trouble;
  std::string what;
};

/// `standing` jobs were there before.
std::vector<Problem> judge(const Report& report, const Runs& runs, std::size_t standing, Mode mode);

}  // namespace ringmill::crash
