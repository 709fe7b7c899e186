// Which cells' records stand in which block, until the block is durable.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "core/base/zeroed_array.h"
#include "core/journal/writer.h"
#include "ipc/state_word.h"

namespace ringmill {

class CellsInFlight {
 public:
  CellsInFlight(const JournalWriter& writer, std::uint32_t capacity) : writer_(&writer), last_block_(capacity) {}

  /// The open block has the cell's newest record.
  void remember(CellIndex index) {
    cells_of_open_block().push_back(index);
    last_block_[index] = writer_->open_block();
  }
  /// The newest record that this writer has of the cell is durable, or it has none.
  bool is_durable(CellIndex index) const noexcept { return last_block_[index] <= writer_->durable_block(); }

  /// Calls `settle(cell)` for each cell whose newest record has become durable.
  template <class Settle>
  void take_durable(Settle&& settle) {
    const std::uint64_t durable = writer_->durable_block();
    while (!blocks_.empty() && blocks_.front().number <= durable) {
      for (const CellIndex index : blocks_.front().cells) {
        if (last_block_[index] == blocks_.front().number) settle(index);
      }
      blocks_.front().cells.clear();
      spare_lists_.push_back(std::move(blocks_.front().cells));
      blocks_.pop_front();
    }
  }

 private:
  struct Block {
    std::uint64_t number = 0;
    std::vector<CellIndex> cells;
  };

  std::vector<CellIndex>& cells_of_open_block() {
    const std::uint64_t open = writer_->open_block();
    if (blocks_.empty() || blocks_.back().number != open) {
      Block block{.number = open, .cells = {}};
      if (!spare_lists_.empty()) {
        block.cells = std::move(spare_lists_.back());
        spare_lists_.pop_back();
      }
      blocks_.push_back(std::move(block));
    }
    return blocks_.back().cells;
  }

  const JournalWriter* writer_;
  std::deque<Block> blocks_;               // not durable yet, the open one last
  ZeroedArray<std::uint64_t> last_block_;  // per cell: the block with its newest record; 0: none by this writer
  std::vector<std::vector<CellIndex>> spare_lists_;
};

}  // namespace ringmill
