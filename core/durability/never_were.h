// Which jobs never were: those whose leader did not come to be, and those that came with these in turn.
//
// Each cell is looked at once, however long the chains of leaders are. A walk goes up from a job to the first cell
// whose answer is known or does not depend on another. All cells on the way get that answer.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ipc/state_word.h"

namespace ringmill {

class NeverWere {
 public:
  /// What is written of a cell's job and of its leader.
  struct Bond {
    bool never_was = false;
    std::optional<CellIndex>
        leader{};  // it never was if the job of this cell never was; `never_was` means nothing then
  };

  explicit NeverWere(std::size_t cells) : never_(cells), seen_(cells) {}

  /// `bond_of` gives the Bond of a cell. Leaders are cells as well.
  template <class BondOf>
  void look_at(CellIndex cell, const BondOf& bond_of) {
    way_.clear();
    bool never = false;
    while (!seen_[cell]) {
      seen_[cell] = true;
      way_.push_back(cell);
      const Bond bond = bond_of(cell);
      never = bond.never_was;
      if (!bond.leader) break;
      // Jobs that lead each other in a circle, which no writer makes, are on the way: they count.
      cell = *bond.leader;
      never = never_[cell];
    }
    for (const CellIndex passed : way_) never_[passed] = never;
  }

  bool is_empty() const noexcept { return never_.empty(); }
  bool contains(CellIndex cell) const noexcept { return cell < never_.size() && never_[cell]; }

 private:
  std::vector<bool> never_;
  std::vector<bool> seen_;
  std::vector<CellIndex> way_;
};

}  // namespace ringmill
