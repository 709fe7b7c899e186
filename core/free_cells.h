// One participant's traffic with the free map: cells it may fill next, and cells it has freed and not listed yet.
// Private memory: a death loses only listings, which the keeper's scan brings back.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>

#include "core/job_table.h"
#include "core/waking.h"
#include "ipc/free_map.h"
#include "ipc/segment.h"

namespace ringmill {

class FreeCells {
 public:
  FreeCells(const Segment& segment, std::uint32_t owner) noexcept
      : segment_(&segment),
        table_(segment),
        map_(segment.free_map()),
        owner_(owner),
        most_unlisted_(std::clamp(segment.geometry().capacity / 1024, 1U, 32U)) {}

  struct Filling {
    CellIndex index;
    StateWord word;
  };

  /// A cell in state filling, ours. Nothing: no cell is free. The map is only a hint; the swap of the cell's word
  /// decides (hazard 8).
  std::optional<Filling> take() noexcept {
    while (true) {
      if (taken_.bits == 0 && !refill()) return std::nullopt;
      const auto n = static_cast<std::uint32_t>(std::countr_zero(taken_.bits));
      taken_.bits &= taken_.bits - 1;
      if (n + 4 < 64 && (taken_.bits >> (n + 4) & 1) != 0) table_.prefetch_to_write(taken_.first_cell + n + 4);
      if (auto filling = try_take(taken_.first_cell + n)) return filling;
    }
  }

  /// Takes a word of the map if there is one. False: nothing is listed.
  bool refill() noexcept {
    if (taken_.bits != 0) return true;
    list();
    taken_ = map_.take();
    if (taken_.bits == 0) return false;
    prefetch_first();
    return true;
  }

  /// The cell was freed by us. Listed at once, or with its neighbours: up to `most_unlisted` are kept back while nobody
  /// waits for room.
  void freed(CellIndex index) noexcept {
    const std::uint32_t first = index & ~std::uint32_t{63};
    if (first != unlisted_.first_cell) {
      list();
      unlisted_.first_cell = first;
    }
    unlisted_.bits |= std::uint64_t{1} << (index % 64);
    if (++unlisted_count_ >= most_unlisted_ || Sleepers(*segment_, segment_->signals().space_waiters).any()) list();
  }

  /// Lists what freed() kept back. Called before a wait and whenever handlers are slow.
  void list() noexcept {
    if (unlisted_count_ == 0) return;
    map_.put(unlisted_.first_cell, unlisted_.bits);
    unlisted_.bits = 0;
    unlisted_count_ = 0;
    wake_for_space(*segment_);
  }

  /// Gives everything back.
  void give_back() noexcept {
    list();
    map_.put(taken_.first_cell, taken_.bits);
    taken_.bits = 0;
    wake_for_space(*segment_);
  }

 private:
  std::optional<Filling> try_take(CellIndex index) noexcept {
    std::uint64_t seen = table_.state(index).load(std::memory_order_relaxed);  // ORDER relaxed: the swap below decides
    const StateWord word(seen);
    if (word.state() != CellState::free || !may_use(word.generation())) return std::nullopt;
    const StateWord filling = word.next(CellState::filling, owner_);
    // ORDER state: acquires the last use of the cell, so that our writes come after it.
    if (!table_.state(index).compare_exchange_strong(seen, filling.bits(), std::memory_order_acquire,
                                                     std::memory_order_relaxed)) {
      return std::nullopt;
    }
    return Filling{index, filling};
  }

  /// A generation is used only when the engine's directory already says durably that it may have been (hazard 2), and
  /// the last one never: the cell is retired.
  bool may_use(std::uint64_t generation) noexcept {
    if (generation + generation_margin <= known_limit_) return true;
    known_limit_ = segment_->signals().generation_limit.load();
    if (generation + generation_margin > known_limit_ && asked_at_limit_ != known_limit_) {
      asked_at_limit_ = known_limit_;
      raise_to(segment_->signals().generation_wanted, generation + generation_margin);
      ring_keeper(*segment_);
    }
    return generation <= known_limit_ && generation < most_generation;
  }

  void prefetch_first() const noexcept {
    std::uint64_t bits = taken_.bits;
    for (int n = 0; n < 4 && bits != 0; ++n, bits &= bits - 1) {
      table_.prefetch_to_write(taken_.first_cell + static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }

  /// The keeper is called when a cell comes this near to the limit.
  static constexpr std::uint64_t generation_margin = std::uint64_t{1} << 22;

  const Segment* segment_;
  JobTable table_;
  FreeMap map_;
  std::uint32_t owner_;
  std::uint32_t most_unlisted_;
  std::uint32_t unlisted_count_ = 0;
  std::uint64_t known_limit_ = 0;
  std::uint64_t asked_at_limit_ = ~std::uint64_t{0};
  FreeMap::Taken taken_{};
  FreeMap::Taken unlisted_{};
};

}  // namespace ringmill
