// One participant's traffic with the free map: cells it may fill next, and cells it has freed and not listed yet.
// Private memory: a death loses only listings, which the keeper's scan brings back.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/table/growth.h"
#include "core/table/job_table.h"
#include "core/table/room.h"
#include "ipc/free_map.h"
#include "ipc/full_fence.h"
#include "ipc/segment.h"
#include "ipc/waking.h"

namespace ringmill {

class FreeCells {
 public:
  FreeCells(const Segment& segment, std::uint32_t owner) noexcept
      : segment_(&segment),
        table_(segment),
        map_(segment.free_map()),
        growth_(segment),
        owner_(owner),
        most_unlisted_(std::clamp(segment.geometry().capacity / 1024, 1U, 64U)) {}

  struct Filling {
    CellIndex index = 0;
    std::uint32_t extent = 0;  // its first unit, once core/table/arena.h has given one
    StateWord word{};
  };

  /// For which caller a cell is taken: what it has to leave to others (core/table/room.h).
  enum class Taker : std::uint8_t {
    producer,   // leaves the cells that are kept for running handlers
    handler,    // of a job that is running, for its first follow-up: leaves none
    repeatedly  // the same, for a further one: leaves half of them
  };

  /// A cell for a job of `level` (the value that its users name it by), in state filling, ours, written to `filling`.
  /// False: no cell is free that it may take. The map is only a hint; the swap of the cell's word decides (hazard 8 in
  /// docs/hazards.md).
  [[gnu::always_inline]] bool take(Filling& filling, std::uint32_t level) noexcept {
    // Cells that are not free may be listed again and again: so many words there are.
    for (std::uint32_t words_left = table_.capacity() / 64 + 1;;) {
      if (!has_taken_for(level) && (words_left-- == 0 || !refill(level))) return false;
      const auto n = static_cast<std::uint32_t>(std::countr_zero(taken_.bits));
      taken_.bits &= taken_.bits - 1;
      const std::uint32_t ahead = n + prefetch_distance;
      if (ahead < 64 && (taken_.bits >> ahead & 1) != 0) table_.prefetch_to_write(taken_.first_cell + ahead);
      if (try_take(taken_.first_cell + n, filling)) return true;
    }
  }
  /// The same, for any taker.
  bool take(Filling& filling, std::uint32_t level, Taker taker) noexcept {
    return take(filling, level) || (taker != Taker::producer && take_kept(filling, level, taker));
  }

  /// Takes a word of the map if there is one for a producer of this level. False: none is listed that it may take.
  [[gnu::noinline]] bool refill(std::uint32_t level) noexcept {
    if (has_taken_for(level)) return true;
    list();
    if (taken_.bits != 0) relist(taken_);  // of another level's own cells
    do {
      if (take_common() || take_own(level)) {
        prefetch_first();
        return true;
      }
    } while (growth_.grow() == Growth::Grown::yes);  // others may take what has grown
    return false;
  }
  /// Whether there may be a cell for this taker, as a wait asks.
  bool has_room(std::uint32_t level, Taker taker) noexcept {
    if (refill(level)) return true;
    if (taker == Taker::producer) return false;
    const std::uint32_t left = left_by(taker);
    const CellRange own = room().own_of(level);
    return listed(left + 1) > left || map_.count(own.first, own.end, 1) != 0;
  }
  const Room& room() const noexcept { return growth_.room(); }
  /// Whether the tmpfs is what is full, not the engine.
  bool lacks_memory() const noexcept { return growth_.lacks_memory(); }

  /// The cell was freed by us. Kept back until its neighbours are freed too, list() is called, or there are
  /// `most_unlisted` of them.
  [[gnu::always_inline]] void keep_back(CellIndex index) noexcept {
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
    relist(unlisted_);
    unlisted_count_ = 0;
  }

  /// Drops the cells in hand that a scan has listed for others: it cannot know that a living participant has them.
  /// Others may have filled them, or the keeper may have taken them, and their memory (give.B1 of ipc/cell_chunks.h).
  void forget_what_has_left() noexcept {
    keep_what_is_ours(taken_);
    keep_what_is_ours(unlisted_);
    unlisted_count_ = static_cast<std::uint32_t>(std::popcount(unlisted_.bits));
  }

  /// Gives everything back.
  void give_back() noexcept {
    list();
    relist(taken_);
  }

 private:
  /// A cell that is listed and in use counts as free until a participant takes its word: producers would take what is
  /// kept instead of it (room.R3).
  void keep_what_is_ours(FreeMap::Taken& cells) const noexcept {
    if (cells.bits == 0) return;
    if (!table_.is_there(cells.first_cell)) {
      cells.bits = 0;
      return;
    }
    cells.bits &= ~map_.word(cells.first_cell / 64);
    for (std::uint64_t bits = cells.bits; bits != 0; bits &= bits - 1) {
      const std::uint32_t index = cells.first_cell + static_cast<std::uint32_t>(std::countr_zero(bits));
      if (table_.word(index).state() != CellState::free) cells.bits &= ~(bits & -bits);
    }
  }

  bool has_taken_for(std::uint32_t level) const noexcept {
    if (taken_.bits == 0) return false;
    if (taken_.first_cell < room().common().end) [[likely]]
      return true;
    const CellRange own = room().own_of(level);
    return taken_.first_cell >= own.first && taken_.first_cell < own.end;
  }

  /// Lists these cells again: nothing of them stays in our hands.
  void relist(FreeMap::Taken& cells) noexcept {
    map_.put(cells.first_cell, cells.bits);
    cells.bits = 0;
    wake_for_space(*segment_);
  }

  /// How many of the common cells have to stay listed.
  std::uint32_t left_by(Taker taker) const noexcept {
    switch (taker) {
      case Taker::producer:
        return room().leases();
      case Taker::handler:
        return 0;
      case Taker::repeatedly:
        break;
    }
    return room().leases() / 2;
  }

  /// How many common cells are listed, `most` at most.
  std::uint32_t listed(std::uint32_t most) const noexcept {
    const std::uint32_t end = room().common().end;
    // From the highest cells that are there down: most are among the first words looked at.
    const auto there = static_cast<std::uint32_t>(segment_->signals().common_end.load_once().at_most(end));
    const std::uint32_t found = map_.count(there / 64 * 64, most);
    return found >= most ? found : found + map_.count(there / 64 * 64, end, most - found);
  }
  /// A word of the map, of cells that are there: a stopped participant may list cells whose memory has gone.
  void take_word(std::uint32_t first_cell, std::uint32_t end_cell) noexcept {
    do {
      taken_ = map_.take(first_cell, end_cell);
    } while (taken_.bits != 0 && !table_.is_there(taken_.first_cell));
  }

  /// room.R1 to room.R3. False: what is listed has to stay for running handlers.
  bool take_common() noexcept {
    const std::uint32_t end = room().common().end;
    const std::uint32_t to_leave = left_by(Taker::producer);
    // Always: a word that is taken and given back is missing meanwhile, and shuts levels out of their own cells.
    if (to_leave != 0 && listed(to_leave + 1) <= to_leave) return false;  // room.R1
    take_word(0, end);                                                    // room.R2
    if (to_leave == 0 || taken_.bits == 0) return taken_.bits != 0;
    const std::uint32_t left = listed(to_leave);  // room.R3
    if (left < to_leave) [[unlikely]]
      keep_of_taken(to_leave - left);
    return taken_.bits != 0;
  }

  /// Lists the highest cells taken again, `too_many` of them.
  void keep_of_taken(std::uint32_t too_many) noexcept {
    FreeMap::Taken given_back{.first_cell = taken_.first_cell};
    for (std::uint32_t n = 0; n < too_many && taken_.bits != 0; ++n) {
      const std::uint64_t highest = std::bit_floor(taken_.bits);
      taken_.bits ^= highest;
      given_back.bits |= highest;
    }
    relist(given_back);
  }

  /// A level's own cells, while there is room for the handlers of its jobs.
  bool take_own(std::uint32_t level) noexcept {
    const CellRange own = room().own_of(level);
    const std::uint32_t to_leave = room().leases() / 2;
    if (own.size() == 0 || listed(to_leave) < to_leave) return false;
    take_word(own.first, own.end);
    return taken_.bits != 0;
  }

  /// One cell for a handler's follow-up, where a producer would get none.
  [[gnu::noinline]] bool take_kept(Filling& filling, std::uint32_t level, Taker taker) noexcept {
    const std::uint32_t end = room().common().end;
    const std::uint32_t to_leave = left_by(taker);
    const CellRange own = room().own_of(level);
    for (std::uint32_t words_left = table_.capacity() / 64 + 1; words_left != 0; --words_left) {
      FreeMap::Taken word{};
      if (listed(to_leave + 1) > to_leave) word = map_.take(0, end);
      if (word.bits == 0) word = map_.take(own.first, own.end);
      if (word.bits == 0) return false;
      if (!table_.is_there(word.first_cell)) continue;
      bool has_one = false;
      while (word.bits != 0 && !has_one) {
        const auto n = static_cast<std::uint32_t>(std::countr_zero(word.bits));
        word.bits &= word.bits - 1;
        has_one = try_take(word.first_cell + n, filling);
      }
      relist(word);  // wakes one that looked meanwhile, and saw too few
      if (has_one) return true;
    }
    return false;
  }

  [[gnu::always_inline]] bool try_take(CellIndex index, Filling& filling) noexcept {
    std::uint64_t seen = table_.state(index).load(std::memory_order_relaxed);  // ORDER relaxed: the swap below decides
    const StateWord word(seen);
    if (word.state() != CellState::free || !may_use(word.generation())) return false;
    filling.index = index;
    filling.word = word.next(CellState::filling, owner_);
    // ORDER state: acquires the last use of the cell, so that our writes come after it.
    if (!table_.state(index).compare_exchange_strong(seen, filling.word.bits(), std::memory_order_acquire,
                                                     std::memory_order_relaxed)) {
      return false;
    }
    fence_own_writes();
    return true;
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
  Growth growth_;
  std::uint32_t owner_;
  std::uint32_t most_unlisted_;
  std::uint32_t unlisted_count_ = 0;
  std::uint64_t known_limit_ = 0;
  std::uint64_t asked_at_limit_ = ~std::uint64_t{0};
  FreeMap::Taken taken_{};
  FreeMap::Taken unlisted_{};
};

}  // namespace ringmill
