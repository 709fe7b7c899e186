// Waking participants that sleep for jobs or for room.
#pragma once

#include <cstdint>

#include "ipc/segment.h"
#include "ipc/sleepers.h"

namespace ringmill {

/// The levels and kinds of jobs that have arrived.
struct Arrival {
  std::uint64_t levels = 0;  // bit per level
  std::uint64_t kinds = 0;   // bit per kind, modulo 64

  static constexpr std::uint64_t kind_bit(std::uint32_t kind) noexcept { return std::uint64_t{1} << (kind % 64); }
  void add(std::uint32_t level, std::uint32_t kind) noexcept { add_kinds(level, kind_bit(kind)); }
  void add_kinds(std::uint32_t level, std::uint64_t kind_bits) noexcept {
    levels |= std::uint64_t{1} << (level % 64);
    kinds |= kind_bits;
  }
};

/// Wakes sleepers for `count` jobs of one level: up to `count` of those that take any kind, and all that take some
/// kinds and may want these. A kind's bit stands for several kinds, so some are woken in vain; hence all. No system
/// call when none sleeps.
inline void wake_for_jobs(const Segment& segment, Arrival arrival, std::uint32_t count) noexcept {
  Sleepers sleepers(segment, segment.signals().sleepers);
  if (!sleepers.any()) return;
  sleepers.wake(most_participants, [arrival](const ParticipantEntry& entry) {
    return entry.interest_any_kind.load() == 0 && (entry.interest_levels.load() & arrival.levels) != 0 &&
           (entry.interest_kinds.load() & arrival.kinds) != 0;
  });
  sleepers.wake(count, [arrival](const ParticipantEntry& entry) {
    return entry.interest_any_kind.load() != 0 && (entry.interest_levels.load() & arrival.levels) != 0;
  });
}

/// The bit of Signals::waited_for that stands for a cell.
constexpr std::uint64_t wait_group_bit(std::uint32_t index) noexcept {
  return std::uint64_t{1} << (index % wait_groups);
}

/// The group of a value's waiters, by the low half of its key's hash.
constexpr std::uint32_t value_group(std::uint64_t hash_low) noexcept {
  return static_cast<std::uint32_t>(hash_low % wait_groups);
}

inline void wake_for_space(const Segment& segment) noexcept {
  Sleepers waiters(segment, segment.signals().space_waiters);
  if (waiters.any()) waiters.wake_all();
}

/// An extent of the arena may have become free: its job is over, its word was given back, or no lease slot names its
/// job any more. Each of these is a plain store (settle.E5, settle.E7, arena.A2, arena.C4), hence the fence between it
/// and the look at the waiters.
inline void wake_for_extent(const Segment& segment) noexcept {
  if (segment.geometry().arena_chunk_count == 0) return;
  full_fence();
  wake_for_space(segment);
}

inline void ring_keeper(const Segment& segment) noexcept {
  auto& doorbell = segment.signals().keeper_doorbell;
  doorbell.fetch_add(1);
  futex_wake(doorbell, 1);
}

/// Marks the segment as removed: its participants get an error at their next wait, and no new one can enter.
inline void mark_removed(const Segment& segment) noexcept {
  segment.signals().removed.store(1);
  Sleepers(segment, segment.signals().sleepers).wake_all();
  Sleepers(segment, segment.signals().space_waiters).wake_all();
}

/// marks.M3 of ipc/journal_marks.h.
[[gnu::noinline]] inline void ring_journal(const Segment& segment) noexcept {
  JournalWords& journal = segment.journal();
  journal.rest.store(static_cast<std::uint32_t>(JournalRest::none));
  journal.doorbell.fetch_add(1);
  futex_wake(journal.doorbell, 1);
}
/// After a mark: the journal thread looks within the flush interval, unless it sleeps.
inline void wake_journal_if_asleep(const Segment& segment) noexcept {
  if (segment.journal().rest.load() == static_cast<std::uint32_t>(JournalRest::sleep)) ring_journal(segment);
}
/// After a round was asked for.
inline void wake_journal_at_once(const Segment& segment) noexcept {
  if (segment.journal().rest.load() != static_cast<std::uint32_t>(JournalRest::none)) ring_journal(segment);
}

}  // namespace ringmill
