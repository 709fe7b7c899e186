// One participant's traffic with the free map: cells it may fill next, and cells it has freed and not listed yet.
// Private memory: a death loses only listings, which the keeper's scan brings back.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/table/job_table.h"
#include "ipc/free_map.h"
#include "ipc/segment.h"
#include "ipc/waking.h"

namespace ringmill {

class FreeCells {
 public:
  FreeCells(const Segment& segment, std::uint32_t owner) noexcept
      : segment_(&segment),
        table_(segment),
        map_(segment.free_map()),
        owner_(owner),
        most_unlisted_(std::clamp(segment.geometry().capacity / 1024, 1U, 64U)) {}

  struct Filling {
    CellIndex index = 0;
    std::uint32_t extent = 0;  // its first unit, once core/table/arena.h has given one
    StateWord word{};
  };

  /// A cell in state filling, ours, written to `filling`. False: no cell is free. The map is only a hint; the swap of
  /// the cell's word decides (hazard 8 in docs/hazards.md).
  [[gnu::always_inline]] bool take(Filling& filling) noexcept {
    // Cells that are not free may be listed again and again: so many words there are.
    for (std::uint32_t words_left = table_.capacity() / 64 + 1;;) {
      if (taken_.bits == 0 && (words_left-- == 0 || !refill())) return false;
      const auto n = static_cast<std::uint32_t>(std::countr_zero(taken_.bits));
      taken_.bits &= taken_.bits - 1;
      const std::uint32_t ahead = n + prefetch_distance;
      if (ahead < 64 && (taken_.bits >> ahead & 1) != 0) table_.prefetch_to_write(taken_.first_cell + ahead);
      if (try_take(taken_.first_cell + n, filling)) return true;
    }
  }

  /// Takes a word of the map if there is one. False: nothing is listed.
  bool refill() noexcept {
    if (taken_.bits != 0) return true;
    list();
    taken_ = map_.take();
    prefetch_first();
    return taken_.bits != 0;
  }

  /// The cell was freed by us. Kept back until its neighbours are freed too, list() is called, or there are
  /// `most_unlisted` of them.
  void keep_back(CellIndex index) noexcept {
    const std::uint32_t first = index & ~std::uint32_t{63};
    if (first != unlisted_.first_cell) {
      list();
      unlisted_.first_cell = first;
    }
    unlisted_.bits |= std::uint64_t{1} << (index % 64);
    if (++unlisted_count_ >= most_unlisted_) list();
  }

  /// Called after one or more keep_back(): nothing is kept back while a producer waits for room.
  void list_if_wanted() noexcept {
    if (unlisted_count_ != 0 && Sleepers(*segment_, segment_->signals().space_waiters).any()) list();
  }

  /// Lists what keep_back() has kept. Called before a wait and whenever handlers are slow.
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
  [[gnu::always_inline]] bool try_take(CellIndex index, Filling& filling) noexcept {
    std::uint64_t seen = table_.state(index).load(std::memory_order_relaxed);  // ORDER relaxed: the swap below decides
    const StateWord word(seen);
    if (word.state() != CellState::free || !may_use(word.generation())) return false;
    filling.index = index;
    filling.word = word.next(CellState::filling, owner_);
    // ORDER state: acquires the last use of the cell, so that our writes come after it.
    return table_.state(index).compare_exchange_strong(seen, filling.word.bits(), std::memory_order_acquire,
                                                       std::memory_order_relaxed);
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
    for (std::uint32_t n = 0; n < prefetch_distance && bits != 0; ++n, bits &= bits - 1) {
      table_.prefetch_to_write(taken_.first_cell + static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }

  /// How far ahead of the filling the cells are fetched into the cache.
  static constexpr std::uint32_t prefetch_distance = 12;
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
