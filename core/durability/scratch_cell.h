// A cell of a segment that recovery fills (rec.R2 and rec.R3). No other process sees the segment: it is published
// whole, by its rename, so that relaxed loads and stores are enough in it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include <ringmill/job.h>

#include "core/durability/recovery_rules.h"
#include "ipc/layout.h"
#include "ipc/shared_word.h"
#include "ipc/state_word.h"

namespace ringmill::fresh {

inline std::uint64_t value_of(const std::atomic<std::uint64_t>& word) noexcept {
  return word.load(std::memory_order_relaxed);  // ORDER relaxed: no other process sees the segment
}

/// A note, whose parts are compared and shifted, no more.
inline std::uint32_t value_of(const SharedWord<std::uint32_t>& word) noexcept {
  return word.load_once(std::memory_order_relaxed).unbounded();  // ORDER relaxed: as above
}

inline std::uint16_t value_of16(const std::atomic<std::uint16_t>& word) noexcept {
  return word.load(std::memory_order_relaxed);  // ORDER relaxed: as above
}

template <class T, class V>
void set(std::atomic<T>& word, V value) noexcept {
  word.store(static_cast<T>(value), std::memory_order_relaxed);  // ORDER relaxed: no other process sees the segment
}

template <class T, class V>
void set(SharedWord<T>& word, V value) noexcept {
  word.store(static_cast<T>(value), std::memory_order_relaxed);  // ORDER relaxed: as above
}

/// Of the states that records leave a job in.
inline bool is_over(CellState state) noexcept { return !waits_to_begin(state); }

/// What rec.R2 knows of a cell while the journal is read. The job that stands is in the cell's own words, but for two,
/// which say something else until rec.R3 has gone over the cell: `extent` and `result_extent` are a note of this view,
/// and a due time is by the wall clock. No other process sees the segment: it is published by its rename.
class ScratchCell {
 public:
  explicit ScratchCell(CellHeader& header) noexcept : header_(&header) {}

  /// Of the highest generation that an ended, attempts, change or part record names: earlier jobs are over.
  struct LifeNote {
    std::uint64_t generation = 0;  // 40 bits
    std::uint16_t attempts = 0;    // the most that a record names
  };
  LifeNote note() const noexcept {
    const std::uint64_t bits = note_bits();
    return {.generation = bits >> 16, .attempts = static_cast<std::uint16_t>(bits)};
  }
  void raise_note(LifeNote note) noexcept {
    const std::uint64_t bits = note.generation << 16 | note.attempts;
    if (note_bits() < bits) set_note(bits);
  }
  void clear_note() noexcept { set_note(0); }

  /// The job that stands; generation 0: none does.
  StateWord word() const noexcept { return StateWord(value_of(header_->state)); }
  void set_word(std::uint64_t generation, CellState state) noexcept {
    set(header_->state, StateWord::make(generation, 0, state, 0).bits());
  }
  NamedLife life_of(JobId id) const noexcept { return named_life(generation_of(id), word().generation()); }
  /// The latest life that any record has named.
  std::uint64_t latest_generation() const noexcept { return std::max(word().generation(), note().generation); }
  JobProgress progress() const noexcept {
    return {.is_over = is_over(word().state()), .attempts = value_of16(header_->attempts)};
  }

 private:
  std::uint64_t note_bits() const noexcept {
    return std::uint64_t{value_of(header_->result_extent)} << 32 | value_of(header_->extent);
  }
  void set_note(std::uint64_t bits) noexcept {
    set(header_->extent, bits & 0xffffffff);
    set(header_->result_extent, bits >> 32);
  }

  CellHeader* header_;
};

/// Until its links record comes.
inline constexpr std::uint16_t no_rule = 0xffff;

}  // namespace ringmill::fresh
