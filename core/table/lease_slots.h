// Which lease slot speaks of a run. A participant whose lease ran out may claim the same job again: then several of its
// slots name that job, and only the version in the note tells them apart.
#pragma once

#include <cstdint>
#include <optional>

#include "ipc/layout.h"
#include "ipc/state_word.h"

namespace ringmill {

/// True when the slot was written for the run that `word` stands in: it is running by this lease, or completing just
/// after it. Extending changes the word before the note, so the note may be one version behind.
inline bool speaks_of(const LeaseSlot& slot, JobId id, StateWord word) noexcept {
  if (slot.job_id.load() != id.value()) return false;
  const std::uint64_t lease_version = LeaseNote::of(slot.note.load()).version;
  const std::uint64_t expected = word.state() == CellState::completing ? word.version() - 1 : word.version();
  if (word.state() == CellState::running && lease_version == ((expected - 1) & 0x3ff)) return true;
  return lease_version == (expected & 0x3ff);
}

/// The number of the slot of `entry`, whose participant is the owner in `word`, that speaks of that run.
inline std::optional<std::uint32_t> lease_slot_of(const ParticipantEntry& entry, JobId id, StateWord word) noexcept {
  for (std::uint32_t n = 0; n < lease_slots; ++n) {
    if (speaks_of(entry.leases[n], id, word)) return n;
  }
  return std::nullopt;
}

}  // namespace ringmill
