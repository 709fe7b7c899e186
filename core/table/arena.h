// The arena: extents for payloads that do not fit a cell.
//
// It consists of chunks, each as large as the largest extent. A chunk is cut into 1, 2, 4 ... 1,024 extents of one
// size at most; its word says into how many. An extent has a word too, which names the job that has it. That word is a
// claim, not a truth. The table decides: an extent belongs to a job while the job's cell is being filled, or holds
// that job with CellHeader::extent (of the payload) or CellHeader::result_extent (core/table/results.h) naming this
// extent. So the store that ends a job also frees its extents, and nothing has to be cleaned up behind the dead: a
// producer may take over the word of any job that has ended.
//
//                                                                   killed just after the step
//   arena.A1  CAS the word: 0, or a job that is over -> our job,    our cell is filling: the scan after our death frees
//             whose cell is filling(me)                             it, and so the extent
//   arena.A2  read the chunk's cut again; it has changed: store 0,  as A1
//             try another extent
//   arena.A3  write CellHeader::extent and the payload              as A1; enq.N4 (core/participant/producer.h)
//                                                                   shows both
//
// Where no chunk of the wanted cut has room, one of which all extents are free is cut anew:
//
//   arena.C1  CAS every word of the chunk to our job, in order;   as A1, all of them
//             one that we cannot get: store 0 into those we have
//   arena.C2  read the chunk's cut again; another one: as in C1   as A1
//   arena.C3  store the new cut                                   as A1: the chunk is free, and cut anew
//   arena.C4  store 0 into all words but the first, which is the  as A1
//             extent that we take
//
// No two jobs get extents that overlap. After A2 the producer has read the chunk's cut while it owned the word, and C1
// cannot change the cut without that word. A producer that took the word by an old cut finds the new one in A2.
// Only living producers take words, and no cell is taken from its living owner before its payload is written
// (core/table/unique_jobs.h begins after it).
//
// Quarantine: the holder of a lease reads its payload in place. Revoked, it may go on reading when the job is over. Its
// lease slot names the job until it settles or drops it, so a word is taken over only when no slot of any participant
// names its job. The slots are read after the table, and a job that has ended is not claimed again, so no reader
// comes later. A dead participant's slots count until its reaper frees the entry.
//
// A word that was seen to be free may be taken later, by one swap: a job that is over stays over, no lease comes to
// name it, and no word names it again. A value would be the exception, because it gets another extent with each
// change; so while a value lives, whatever names it is its own, and the change gives the extent of before back
// (result.R4).
//
// A participant looks at a few chunks, behind where it found room last, then takes memory for another chunk, and looks
// everywhere only when there is none. The keeper gives chunks back (core/keeper/arena_trimming.h).
//
// Producers that wait for an extent are woken by every step that may free one, right after that step:
//
//   a job is over, its cell free or another's     settle.E7 for its holder, cancel(), the burial, and the reaper and
//                                                 the keeper when they list the cell
//   a filling cell is given up                    take_back(), which lists the cell; the enqueue of the same unique key
//                                                 that does away with it; the scan that lists what the dead were
//                                                 filling
//   a lease slot names a job no longer            LeaseBook: give_back(), also of a lease that was lost or never handed
//                                                 out, and drop_reservation() of one that was never won
//   a participant leaves, or is reaped            its destructor; the reaper behind reap.D7
//   a word is given back (A2, C1, C2, C4), a      Arena::give_back(), cut_anew()
//   chunk is cut anew (C3)
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "core/table/full_memory.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

/// One participant's view; what it remembers is only to be fast.
class Arena {
 public:
  explicit Arena(const Segment& segment) noexcept : segment_(&segment), table_(segment) {}

  enum class Look : std::uint8_t {
    everywhere,  // before it says that the arena is full
    seldom       // the same, but after a look in vain not again for a while: the caller can make room instead
  };
  /// A1 to C4 for a job whose cell the caller fills. Returns the extent's first unit; nothing when the arena is full.
  /// Looks at no word twice unless others moved meanwhile, and then a few times only.
  std::optional<std::uint32_t> take(JobId id, std::uint32_t bytes, Look look = Look::everywhere) noexcept;
  /// The extent of a result whose job the caller has ended: the next take() finds it. `unit` is any number.
  void note_free(std::uint32_t unit, JobId id) noexcept;
  /// Whether take() would find room; grows if there is none. Takes nothing.
  bool has_room(std::uint32_t bytes) noexcept;
  /// What a payload of so many bytes takes of the arena.
  std::uint64_t extent_bytes(std::size_t bytes) const noexcept {
    return std::uint64_t{step_of(log_for(static_cast<std::uint32_t>(bytes)))} * segment_->geometry().arena_unit_bytes();
  }
  /// A3. `unit` is what take() has returned, kept in private memory: never what stands in the cell, where a peer may
  /// have written another one. `payload` is at most as long as the extent. Writes nothing outside the arena.
  void fill(CellIndex index, std::uint32_t unit, std::span<const std::byte> payload) const noexcept;
  /// The same for the result of a completed job, for recovery, before other processes see the segment.
  void fill_result(CellIndex index, std::uint32_t unit, std::span<const std::byte> result) const noexcept;

  /// The result of a completed job whose flags say result_in_arena; as payload_of().
  std::optional<std::span<const std::byte>> result_of(JobId id) const noexcept;
  /// Whether the extent's word names this job. `unit` is any number.
  bool is_of(std::uint32_t unit, JobId id) const noexcept { return is_there(unit) && at(unit) == id.value(); }
  /// result.R5: the extent of one job becomes another's. False: it is neither's. `unit` is any number.
  bool hand_over(std::uint32_t unit, JobId from, JobId to) noexcept;
  /// result.R4: the extent that a value had before a change is free. `unit` is any number.
  void give_up(std::uint32_t unit, JobId id) noexcept;

  /// The payload of a job whose flags say in_arena; its bytes may be read at any time, and are believed if the state
  /// word is the same afterwards. Nothing: the cell or the arena is corrupted.
  std::optional<std::span<const std::byte>> payload_of(JobId id) const noexcept;
  /// From an extent, while another process may write there. ORDER second-look, as JobTable::copy_words_out().
  static void copy_out(std::span<const std::byte> from, std::byte* to) noexcept;

  /// Steps of core/keeper/arena_trimming.h, for the keeper. `chunk` is below the number of chunks.
  bool is_leaving(std::uint32_t chunk) const noexcept { return (cut(chunk) & leaving_bit) != 0; }
  /// Whether no job has an extent of the chunk, which is there. A look, for a choice.
  bool is_all_free(std::uint32_t chunk) const noexcept;
  /// shrink.X1 and shrink.X2. False: an extent is in use, the chunk stays.
  bool begin_leaving(std::uint32_t chunk) noexcept;
  /// shrink.X5, and what begin_leaving() does for a chunk that stays.
  void stay(std::uint32_t chunk) noexcept;
  /// shrink.X7.
  void note_absent(std::uint32_t chunk) noexcept;

  /// Bytes of the extents that jobs have, one that is being filled included. Costs a look at each word.
  std::uint64_t used_bytes() const noexcept;

 private:
  static constexpr std::uint32_t most_log = 10;
  static_assert(most_arena_chunk_units == 1U << most_log);
  static constexpr std::uint64_t leaving_bit = 0x80;
  static constexpr std::uint32_t count_shift = 8;
  /// Extents that were free when we looked. Private: another participant may have taken them since.
  struct Found {
    struct Extent {
      std::uint32_t unit = 0;
      std::uint64_t word = 0;
    };
    static constexpr std::uint32_t most = 32;

    void add(std::uint32_t unit, std::uint64_t word) noexcept { extents[count++] = {.unit = unit, .word = word}; }
    bool is_full() const noexcept { return count == most; }

    std::array<Extent, most> extents{};
    std::uint32_t count = 0;
  };
  enum class Try : std::uint8_t { none, moved, taken };

  void write(std::uint32_t unit, std::span<const std::byte> bytes) const noexcept;
  /// What an extent of the job holds, if all that the cell says of it is right.
  std::optional<std::span<const std::byte>> extent_of(JobId id, Untrusted<std::uint32_t> first_unit,
                                                      Untrusted<std::uint32_t> length) const noexcept;

  std::uint32_t finest_log() const noexcept { return static_cast<std::uint32_t>(std::countr_zero(chunk_units())); }
  std::uint32_t log_of(std::uint64_t cut) const noexcept {
    return std::min(static_cast<std::uint32_t>(cut & 0x7f), finest_log());  // the word may be corrupted
  }
  /// Whether extents of this size may be taken.
  bool is_cut_so(std::uint64_t cut, std::uint32_t log) const noexcept {
    return (cut & leaving_bit) == 0 && log_of(cut) == log;
  }
  static constexpr std::uint64_t cut_after(std::uint64_t cut, std::uint32_t log) noexcept {
    return ((cut >> count_shift) + 1) << count_shift | log;
  }
  std::uint32_t chunk_units() const noexcept { return segment_->geometry().arena_chunk_units; }
  std::uint32_t chunk_of(std::uint32_t unit) const noexcept { return unit / chunk_units(); }
  bool is_there(std::uint32_t unit) const noexcept {
    return unit < segment_->geometry().arena_unit_count() && segment_->has_arena_chunk(chunk_of(unit));
  }
  /// So many bytes from the unit on are in the arena.
  bool is_within(std::uint32_t unit, std::uint64_t bytes) const noexcept {
    const Geometry& geometry = segment_->geometry();
    return unit < geometry.arena_unit_count() &&
           bytes <= std::uint64_t{geometry.arena_unit_count() - unit} * geometry.arena_unit_bytes();
  }
  std::uint32_t step_of(std::uint32_t log) const noexcept { return chunk_units() >> log; }
  /// log_of() bounds what is used of it. ORDER arena: acquires what C4 released.
  std::uint64_t cut(std::uint32_t chunk) const noexcept {
    return segment_->arena_chunk(chunk).load_once(std::memory_order_acquire).unbounded();
  }
  std::uint64_t at(std::uint32_t unit) const noexcept {
    return segment_->arena_unit(unit).load(std::memory_order_acquire);  // ORDER arena
  }
  /// For A2 and C2: seq_cst, so that either they see shrink.X1, or shrink.X2 sees the words of A1 or C1.
  std::uint64_t cut_after_swap(std::uint32_t chunk) const noexcept {
    return segment_->arena_chunk(chunk).load_once().unbounded();
  }
  /// The finest cut whose extents have room for so many bytes.
  std::uint32_t log_for(std::uint32_t bytes) const noexcept;

  /// Takes an extent of this cut: one that was found, or one of the chunks behind the last, as far as `most_looks` go.
  Try take_near(std::uint32_t log, std::uint32_t most_looks, JobId id, std::uint32_t& unit) noexcept;
  /// The same in all chunks, a larger extent if there is none.
  Try take_anywhere(std::uint32_t log, JobId id, std::uint32_t& unit) noexcept;
  /// A1 and A2 for the extents that were found.
  Try take_found(std::uint32_t log, JobId id, std::uint32_t& unit) noexcept;
  /// Fills the empty list of this cut. False: none of the extents looked at is free.
  bool find(std::uint32_t log, std::uint32_t most_looks) noexcept;
  /// The same in a part of a chunk. Returns the unit behind the last one looked at.
  std::uint32_t find_in(std::uint32_t log, std::uint32_t first, std::uint32_t end) noexcept;
  /// Of those found: drops the extents that a holder may still be reading.
  void drop_leased(Found& found) const noexcept;
  Try cut_one_anew(std::uint32_t log, std::uint32_t most_looks, JobId id, std::uint32_t& unit) noexcept;
  Try cut_anew(std::uint32_t chunk, std::uint32_t log, JobId id, std::uint32_t& unit) noexcept;
  void give_back(std::uint32_t first, std::uint32_t end, std::uint32_t step) noexcept;
  /// Fetches the cell that the word of a unit names, if there is such a unit before the end.
  void fetch(std::uint32_t unit, std::uint32_t end) const noexcept {
    if (unit < end) table_.prefetch_to_look(index_of(JobId(at(unit))));
  }
  /// Allocates one chunk more, where the next look for this cut begins. False: all are there, or the tmpfs is full.
  /// Others may do the same.
  bool grow(std::uint32_t log) noexcept;
  /// Returns true if the word is free, or of a job that has ended and that no holder may still be reading.
  bool is_free(std::uint64_t word, std::uint32_t unit) const noexcept {
    return word == 0 || (is_over(JobId(word), unit) && !is_leased(word));
  }
  bool is_over(JobId id, std::uint32_t unit) const noexcept;
  bool is_leased(std::uint64_t id) const noexcept;

  const Segment* segment_;
  JobTable table_;
  FullMemory full_;
  std::uint64_t look_not_before_ns_ = 0;                 // everywhere, after one in vain
  std::array<std::uint32_t, most_log + 1> next_unit_{};  // per cut: behind where we found room last
  std::array<Found, most_log + 1> found_{};              // per cut
};

}  // namespace ringmill
