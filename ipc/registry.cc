#include "ipc/registry.h"

#include <unistd.h>

#include "ipc/clock.h"
#include "ipc/process_end.h"
#include "ipc/ring.h"

namespace ringmill {

EntryState EntryState::of(const ParticipantEntry& entry) noexcept {
  const std::uint64_t bits = entry.state.load();
  const auto state = static_cast<std::uint8_t>(bits & 0xff);
  // A value that nobody writes means that somebody scribbled here: treated as in use, so that a reaper looks at it.
  const auto known = state <= static_cast<std::uint8_t>(ParticipantState::reaping)
                         ? static_cast<ParticipantState>(state)
                         : ParticipantState::starting;
  return {known, bits >> 8};
}

bool Registry::try_enter(std::uint32_t number, Role role) {
  ParticipantEntry& entry = segment_->participant(number);
  std::uint64_t seen = entry.state.load();
  if ((seen & 0xff) != static_cast<std::uint64_t>(ParticipantState::free)) return false;
  const auto locked = try_lock_byte(*locks_, participant_lock_byte + number);  // R1
  if (!locked || !*locked) return false;
  const std::uint64_t epoch = seen >> 8;
  if (number < most_participants - keeper_entries) segment_->signals().participants_end.raise_to(number + 1);
  if (!entry.state.compare_exchange_strong(seen, EntryState::bits(ParticipantState::starting, epoch))) {  // R2
    unlock_byte(*locks_, participant_lock_byte + number);  // whoever was here died in between, or somebody scribbled
    return false;
  }
  entry.process_id.store(static_cast<std::uint32_t>(::getpid()));  // R3
  entry.thread_id.store(static_cast<std::uint32_t>(::gettid()));
  entry.process_started.store(own_start_ticks());
  entry.pid_namespace.store(own_pid_namespace());
  entry.role.store(static_cast<std::uint32_t>(role));
  entry.placing_count.store(0);
  entry.interest_levels.store(0);
  entry.interest_kinds.store(0);
  entry.interest_any_kind.store(0);
  for (LeaseSlot& slot : entry.leases) slot.job_id.store(0);
  entry.settling.job_id.store(0);
  entry.staging.job_id.store(0);
  entry.progress.job_id.store(0);
  entry.bundle.store(0);  // the dead one's reaper is done with it
  entry.bundle_after.store(0);
  for (auto& asked : entry.stop_asked) asked.store(0);
  entry.attached_at_ns.store(wall_clock_ns());
  links_[number] = RobustLink::make(segment_->descriptor(), segment_->participant_offset(number));
  entry.robust_linked.store(links_[number] ? 1 : 0);
  entry.state.store(EntryState::bits(ParticipantState::alive, epoch));  // R4
  return true;
}

Result<std::uint32_t> Registry::enter(Role role) {
  const std::lock_guard lock(mutex_);
  constexpr std::uint32_t common = most_participants - keeper_entries;
  const std::uint32_t begin = role == Role::keeper ? common : 0;
  const std::uint32_t count = role == Role::keeper ? most_participants : common;
  for (std::uint32_t n = 0; n < count; ++n) {
    const std::uint32_t number = (begin + n) % most_participants;
    if (try_enter(number, role)) return number;
  }
  return std::unexpected(Error(ErrorCode::too_many_participants, "all participant entries are taken (252 of them)",
                               "end a producer or worker; `ringmill status` lists them"));
}

void Registry::leave(std::uint32_t number) noexcept {
  const std::lock_guard lock(mutex_);
  ParticipantEntry& entry = segment_->participant(number);
  const EntryState state = EntryState::of(entry);
  links_[number].reset();
  entry.robust_linked.store(0);
  entry.state.store(EntryState::bits(ParticipantState::free, state.epoch + 1));  // D1
  unlock_byte(*locks_, participant_lock_byte + number);                          // D2
}

bool DeathProbe::is_marked(std::uint32_t number) const noexcept {
  const ParticipantEntry& entry = segment_->participant(number);
  return EntryState::of(entry).state == ParticipantState::alive && entry.robust_linked.load() != 0 &&
         is_marked_dead(entry.robust_word.load());
}

bool DeathProbe::is_dead(std::uint32_t number) const noexcept {
  const ParticipantEntry& entry = segment_->participant(number);
  const EntryState before = EntryState::of(entry);
  if (before.state == ParticipantState::free) return false;
  if (before.state == ParticipantState::reaping) return true;
  if (!is_marked(number) && is_byte_locked_by_other(*probe_, participant_lock_byte + number)) return false;
  // The entry may have been left, or taken by another, while we looked.
  const EntryState after = EntryState::of(entry);
  return after.state == before.state && after.epoch == before.epoch;
}

}  // namespace ringmill
