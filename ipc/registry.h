// The registry of participants: which are in, and which have died.
//
// An entry is taken, lived in, and given back:
//
//                                                                killed just after the step
//   reg.R1  lock the entry's byte in the engine's lock file      the kernel drops it; the entry is still free
//   reg.R2  CAS state free -> starting                           byte free, state starting: dead; reaped
//   reg.R3  write our names; link the robust word                as R2, or the kernel marks the word
//   reg.R4  state alive                                          the kernel marks the word, and drops the lock byte
//   reg.D1  (leaving, nothing held) unlink the word, state free  nothing is left
//   reg.D2  unlock the byte                                      the kernel does it
//
// Two signs of death, both the kernel's word, neither a timeout: the robust futex word, marked within a fraction of a
// millisecond for each thread; the lock byte, dropped when the process is gone, whatever its pid namespace. The living
// are never called dead: a byte that cannot be asked counts as held. A process id is kept for people only; it decides
// nothing (hazards 12, 13 and 15 in docs/hazards.md).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include <ringmill/error.h>
#include <ringmill/role.h>

#include "ipc/file.h"
#include "ipc/layout.h"
#include "ipc/robust_word.h"
#include "ipc/segment.h"

namespace ringmill {

/// Bytes of the engine's lock file.
inline constexpr std::uint64_t keeper_lock_byte = 0;
inline constexpr std::uint64_t structure_lock_byte = 1;
/// Held while dead letters are retried.
inline constexpr std::uint64_t retry_lock_byte = 2;
/// Held while the rules of flow control are changed or applied.
inline constexpr std::uint64_t flow_lock_byte = 3;
/// Held, shared, by each process that does nothing but keep (OpenOptions::dedicated_keeper), whether it keeps or stands
/// by.
inline constexpr std::uint64_t dedicated_lock_byte = 4;
inline constexpr std::uint64_t participant_lock_byte = 16;

/// Entries that not every role gets: workers empty what producers fill, and tools end what stands in the way. All take
/// the lowest free entry behind those of the keepers, so these, the last, are used when the rest is taken; of each kind
/// one process gets half at most.
inline constexpr std::uint32_t worker_entries = 16;  // for workers and tools
inline constexpr std::uint32_t tool_entries = 8;     // for tools alone; the scheduler of recurring jobs is one

/// So many entries a role may take: the first ones, behind those of the keepers. A keeper may take any.
constexpr std::uint32_t entries_for(Role role) noexcept {
  constexpr std::uint32_t common = most_participants - keeper_entries;
  if (role == Role::keeper) return most_participants;
  if (role == Role::tool) return common;
  return role == Role::worker ? common - tool_entries : common - tool_entries - worker_entries;
}

/// state word of a ParticipantEntry: ParticipantState | epoch << 8.
struct EntryState {
  ParticipantState state;
  std::uint64_t epoch;
  static EntryState of(const ParticipantEntry& entry) noexcept;
  static constexpr std::uint64_t bits(ParticipantState state, std::uint64_t epoch) noexcept {
    return epoch << 8 | static_cast<std::uint64_t>(state);
  }
};

/// Calls `visit(number, entry)` for each entry that is allocated.
template <class Visit>
void for_each_entry(const Segment& segment, Visit&& visit) {
  const std::uint32_t end = segment.participants_end();
  for (std::uint32_t number = 0; number < end; ++number) visit(number, segment.participant(number));
}

/// Calls `visit(number, state)` for each entry from `begin` to `end` that is not free.
template <class Visit>
void for_each_entry_in_use(const Segment& segment, std::uint32_t begin, std::uint32_t end, Visit&& visit) {
  for (std::uint32_t number = begin; number < std::min(end, segment.participants_end()); ++number) {
    const ParticipantState state = EntryState::of(segment.participant(number)).state;
    if (state != ParticipantState::free) visit(number, state);
  }
}

/// Calls `visit(number, state)` for each entry that is not free. Entries stand a page apart: a walk misses the caches
/// once for each that was ever in use.
template <class Visit>
void for_each_entry_in_use(const Segment& segment, Visit&& visit) {
  for_each_entry_in_use(segment, 0, most_participants, visit);
}

/// The keeper's number, if there is one that can be.
inline std::optional<std::uint32_t> number_of_keeper(const Segment& segment) noexcept {
  const auto word = segment.signals().keeper_participant.load_once().below(segment.participants_end() + 1);
  return word && *word != 0 ? std::optional(*word - 1) : std::nullopt;
}

class Registry {
 public:
  /// `locks` is the lock file as this process's engine opened it: the locks belong to it.
  Registry(const Segment& segment, const File& locks) noexcept : segment_(&segment), locks_(&locks) {}

  /// R1 to R4 for the calling thread, or for its process: that one has no robust word, because a thread's death is not
  /// its own. Errors: too_many_participants (says which process has the most), no_space (the tmpfs has no room for
  /// another entry).
  Result<std::uint32_t> enter(Role role, Binding binding = Binding::thread);
  /// D1 and D2. Called by the thread that entered; for a process by any of its threads.
  void leave(std::uint32_t number) noexcept;

 private:
  bool try_enter(std::uint32_t number, Role role, Binding binding, std::uint64_t started_ticks);
  bool may_take(Role role, std::uint32_t number) const noexcept;
  Error refusal(Role role) const;

  const Segment* segment_;
  const File* locks_;
  // Locks of one open file do not conflict with each other, so two threads of one process need this to not unlock each
  // other's byte.
  std::mutex mutex_;
  std::array<std::unique_ptr<RobustLink>, most_participants> links_;
};

/// Whether the participant of an entry is gone. `probe` is the lock file opened once more, so that locks of this very
/// process are seen too.
class DeathProbe {
 public:
  DeathProbe(const Segment& segment, const File& probe) noexcept : segment_(&segment), probe_(&probe) {}
  /// Both signs; costs a system call per entry in use.
  bool is_dead(std::uint32_t number) const noexcept;
  /// The fast sign alone: no system call.
  bool is_marked(std::uint32_t number) const noexcept;

 private:
  const Segment* segment_;
  const File* probe_;
};

}  // namespace ringmill
