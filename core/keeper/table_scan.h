// One pass over the whole table, in steps, that repairs what the hints have lost:
//   cells of dead owners get their rule; free cells that nobody lists are listed; queued jobs without a hint get one.
// What it compares is not one moment's picture, so it may list a cell or push a hint that was there: both are harmless.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "core/keeper/reaper.h"

namespace ringmill {

class TableScan {
 public:
  explicit TableScan(EngineCore& engine, Reaper& reaper) noexcept : segment_(&engine.segment), reaper_(&reaper) {}

  using Owners = std::bitset<most_participants>;
  bool is_running() const noexcept { return running_; }
  /// The entries whose owners are dead: they may be freed when this scan has ended.
  const Owners& dead() const noexcept { return dead_; }

  void start(const Owners& dead);
  /// Looks at the next `cells` cells. True when the scan has ended with this step.
  bool step(std::uint32_t cells);
  void run(const Owners& dead) {
    start(dead);
    while (!step(1U << 16)) {
    }
  }

 private:
  void note_hints();
  void look_at(CellIndex index, std::uint64_t& unlisted);
  void place_suspects();
  bool has_hint(CellIndex index, StateWord word) const noexcept;

  Segment* segment_;
  Reaper* reaper_;
  bool running_ = false;
  Owners dead_;
  CellIndex next_ = 0;
  /// Cells beyond it are not listed: nobody may use them yet, or ever.
  std::uint64_t generation_limit_ = 0;
  /// Per cell: 1 + the 12 bits of the generation that some ring's hint names; 0: none.
  std::vector<std::uint16_t> hinted_;
  struct Suspect {
    CellIndex index;
    StateWord word;
  };
  std::vector<Suspect> suspects_;
};

}  // namespace ringmill
