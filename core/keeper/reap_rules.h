// What is done with a cell whose owner has died: one rule per state. The docs are printed from this table, a test goes
// through it row by row.
#pragma once

#include <array>
#include <string_view>

#include "ipc/state_word.h"

namespace ringmill {

enum class ReapAction {
  nothing,  // no owner is involved, or nothing was promised
  free,     // the job never was: the cell becomes free with the next generation
  place,    // the job's hint or mark may be missing: push or mark it again (ids of the placing list only)
  retry,    // the run is over without a word: the attempt counts if it had begun, and the job waits again
  finish,   // the owner had won the right to end the run: do what its lease slot says, or complete
};

struct ReapRule {
  CellState state;
  ReapAction action;
  std::string_view reason;
};

inline constexpr std::array<ReapRule, most_cell_state + 1> reap_rules{{
    {CellState::free, ReapAction::nothing, "no job; a cell that no list has is listed by the scan"},
    {CellState::filling, ReapAction::free, "the enqueue was never acknowledged"},
    {CellState::queued, ReapAction::place, "acknowledged or about to be; a doubled hint is harmless"},
    {CellState::delayed, ReapAction::place, "as queued: its mark for the keeper may be missing"},
    {CellState::blocked, ReapAction::place, "as delayed: the keeper has to know its parents"},
    {CellState::running, ReapAction::retry, "worker lost: another one gets it, or the dead letters"},
    {CellState::completing, ReapAction::finish, "the end of this run was won and must not be undone"},
    {CellState::completed, ReapAction::place, "over, and kept: the keeper has to know until when"},
    {CellState::cancelled, ReapAction::place, "as completed"},
    {CellState::burying, ReapAction::place, "the keeper has to take it to the dead letters"},
}};

constexpr ReapAction action_for(CellState state) noexcept {
  const auto row = static_cast<std::size_t>(state);
  return row < reap_rules.size() ? reap_rules[row].action : ReapAction::nothing;
}

static_assert(
    [] {
      for (std::size_t n = 0; n < reap_rules.size(); ++n) {
        if (static_cast<std::size_t>(reap_rules[n].state) != n) return false;
      }
      return true;
    }(),
    "one row per state, in order");

}  // namespace ringmill
