// The one truth about a job: a 64-bit word in its cell, and the transitions that are allowed on it.
//
//   63            25 24       14 13   10 9        0
//   | generation 39 | owner 11  | state 4 | version 10 |
//
// generation: how often the cell has been used. It starts at 1, so no job id is zero, and grows by one when the cell
//   becomes free. 2^39 generations of one cell: at 20 M jobs/s spread over the 64 cells of one free-map word, 20 days
//   of nothing else; a cell that comes there is retired (never listed again), so an id is never used twice. A job id
//   is generation 39 | index 24: 63 bits, a positive number in every language.
// owner: participant number + 1; 0 for none. 1,024 participants need one bit more than 10 hold. An entry is not given
//   to another before its dead owner was reaped, so a word with an owner is never stale in the owner's own hands. In a
//   free cell: evicted_mark if the job before was evicted (evict.V2), else 0.
// version: grows by one with each transition within a generation, and wraps. A stale compare-and-swap can therefore win
//   after a multiple of 1024 transitions of the same job. What that could harm: a claim or a cancel needs `queued` and
//   reads the cell only after it has won, so it is right whenever the job is queued; settling needs the same owner,
//   whose lease slots tell two of its leases on one job apart (see LeaseBook); revoking could only win against exactly
//   1024 n extensions made while the keeper stood between two instructions, and then the holder is told that it lost:
//   promise 3 (docs/hazards.md) holds.
#pragma once

#include <cstdint>

#include <ringmill/job.h>

namespace ringmill {

enum class CellState : std::uint8_t {
  free = 0,        // no job; the next one gets the generation that stands here
  filling = 1,     // the owner writes header and payload; no other reads
  queued = 2,      // waits for a claim; a hint is in its level's ring, or is about to be
  delayed = 3,     // waits for its time; the keeper knows, or is about to
  blocked = 4,     // waits for its parents; the keeper knows, or is about to
  running = 5,     // the owner holds the lease
  completing = 6,  // the owner has won the right to end this run, as its lease slot says
  completed = 7,   // over; result and history are kept for a while
  cancelled = 8,   // over; history is kept for a while
  burying = 9,     // on its way to the dead letters, which the keeper's process writes
};
inline constexpr std::uint8_t most_cell_state = 9;

using CellIndex = std::uint32_t;
inline constexpr std::uint32_t index_bits = 24;
inline constexpr std::uint64_t index_mask = (std::uint64_t{1} << index_bits) - 1;
inline constexpr std::uint64_t most_generation = (std::uint64_t{1} << 39) - 1;
/// The keeper is called when a cell comes this near to the limit of generations.
inline constexpr std::uint64_t generation_margin = std::uint64_t{1} << 22;

/// Whether a job in this state was not begun, and may still be.
constexpr bool waits_to_begin(CellState state) noexcept {
  return state == CellState::queued || state == CellState::delayed || state == CellState::blocked;
}

class StateWord {
 public:
  constexpr StateWord() noexcept = default;
  constexpr explicit StateWord(std::uint64_t bits) noexcept : bits_(bits) {}
  static constexpr StateWord make(std::uint64_t generation, std::uint32_t owner, CellState state,
                                  std::uint64_t version) noexcept {
    return StateWord(generation << 25 | std::uint64_t{owner} << 14 | static_cast<std::uint64_t>(state) << 10 |
                     (version & 0x3ff));
  }

  constexpr std::uint64_t bits() const noexcept { return bits_; }
  constexpr std::uint64_t generation() const noexcept { return bits_ >> 25; }
  constexpr std::uint32_t owner() const noexcept { return static_cast<std::uint32_t>(bits_ >> 14) & 0x7ff; }
  constexpr CellState state() const noexcept { return static_cast<CellState>(bits_ >> 10 & 0xf); }
  constexpr std::uint64_t version() const noexcept { return bits_ & 0x3ff; }
  /// True from the job's enqueue to its end; false while the cell is free or being filled.
  constexpr bool has_job() const noexcept { return state() != CellState::free && state() != CellState::filling; }

  /// The same job, one transition later.
  constexpr StateWord next(CellState state, std::uint32_t owner) const noexcept {
    return make(generation(), owner, state, version() + 1);
  }
  constexpr bool is(CellState state, std::uint32_t owner) const noexcept {
    return (bits_ >> 10 & 0x7fff) == (std::uint64_t{owner} << 4 | static_cast<std::uint64_t>(state));
  }
  constexpr bool operator==(const StateWord&) const noexcept = default;

 private:
  std::uint64_t bits_ = 0;
};
static_assert(StateWord::make(5, 3, CellState::running, 1023).next(CellState::completing, 3).version() == 0);
static_assert(StateWord::make(most_generation, 2047, CellState::burying, 1023).generation() == most_generation);
static_assert(StateWord::make(1, 2047, CellState::free, 0).owner() == 2047);
static_assert(StateWord::make(7, 9, CellState::running, 5).is(CellState::running, 9));

/// Stands in place of an owner, and is none: participants have smaller numbers.
inline constexpr std::uint32_t evicted_mark = 2047;

constexpr JobId job_id_of(StateWord word, CellIndex index) noexcept {
  return JobId(word.generation() << index_bits | index);
}
constexpr CellIndex index_of(JobId id) noexcept { return static_cast<CellIndex>(id.value() & index_mask); }
constexpr std::uint64_t generation_of(JobId id) noexcept { return id.value() >> index_bits; }
/// Tells jobs apart that one lease slot holds one after the other; never 0.
constexpr std::uint16_t stop_tag(JobId id) noexcept {
  return static_cast<std::uint16_t>(1 + (id.value() ^ id.value() >> index_bits) % 65535);
}

}  // namespace ringmill
