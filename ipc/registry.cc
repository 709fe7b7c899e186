#include "ipc/registry.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>

#include "ipc/clock.h"
#include "ipc/process_end.h"
#include "ipc/ring.h"

namespace ringmill {

EntryState EntryState::of(const ParticipantEntry& entry) noexcept {
  const std::uint64_t bits = entry.state.load();
  const auto state = static_cast<std::uint8_t>(bits & 0xff);
  // A value that no process writes means that the word is corrupted: treated as in use, so that a reaper looks at it.
  const auto known = state <= static_cast<std::uint8_t>(ParticipantState::reaping)
                         ? static_cast<ParticipantState>(state)
                         : ParticipantState::starting;
  return {known, bits >> 8};
}

bool Registry::try_enter(std::uint32_t number, Role role, Binding binding, std::uint64_t started_ticks) {
  ParticipantEntry& entry = segment_->participant(number);
  std::uint64_t seen = entry.state.load();
  if ((seen & 0xff) != static_cast<std::uint64_t>(ParticipantState::free)) return false;
  const auto locked = try_lock_byte(*locks_, participant_lock_byte + number);  // reg.R1
  if (!locked || !*locked) return false;
  const std::uint64_t epoch = seen >> 8;
  segment_->signals().participants_end.raise_to(number + 1);  // it is, unless the word was scribbled over
  if (!entry.state.compare_exchange_strong(seen, EntryState::bits(ParticipantState::starting, epoch))) {  // reg.R2
    unlock_byte(*locks_, participant_lock_byte + number);  // the owner died in between, or the word is corrupted
    return false;
  }
  entry.process_id.store(static_cast<std::uint32_t>(::getpid()));  // reg.R3
  // A process is named by its first thread.
  entry.thread_id.store(static_cast<std::uint32_t>(binding == Binding::thread ? ::gettid() : ::getpid()));
  entry.process_started.store(started_ticks);
  entry.pid_namespace.store(own_pid_namespace());
  entry.role.store(static_cast<std::uint32_t>(role));
  entry.placing_count.store(0);
  entry.counting.store(0);
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
  if (binding == Binding::thread) {
    links_[number] = RobustLink::make(segment_->descriptor(), segment_->participant_offset(number));
  }
  entry.robust_linked.store(links_[number] ? 1 : 0);
  entry.state.store(EntryState::bits(ParticipantState::alive, epoch));  // reg.R4
  return true;
}

namespace {

/// Returns how many of the entries from `begin` to `end` belong to this process, through any Engine.
std::uint32_t own_entries(const Segment& segment, std::uint32_t begin, std::uint32_t end) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t number = begin; number < std::min(end, segment.participants_end()); ++number) {
    const ParticipantEntry& entry = segment.participant(number);
    const bool is_own = EntryState::of(entry).state != ParticipantState::free &&
                        entry.process_id.load() == static_cast<std::uint32_t>(::getpid()) &&
                        entry.pid_namespace.load() == own_pid_namespace();
    count += is_own ? 1 : 0;
  }
  return count;
}

}  // namespace

bool Registry::may_take(Role role, std::uint32_t number) const noexcept {
  constexpr std::uint32_t for_workers = keeper_entries + entries_for(Role::producer);
  constexpr std::uint32_t for_tools = keeper_entries + entries_for(Role::worker);
  constexpr std::uint32_t end = keeper_entries + entries_for(Role::tool);
  if (number < keeper_entries) return role == Role::keeper;
  if (role == Role::producer && number >= for_workers) return false;
  if (role == Role::worker && number >= for_tools) return false;
  if (role == Role::keeper || number < for_workers) return true;
  if (number < for_tools) return own_entries(*segment_, for_workers, for_tools) < worker_entries / 2;
  return own_entries(*segment_, for_tools, end) < tool_entries / 2;
}

Error Registry::refusal(Role role) const {
  std::map<std::uint32_t, std::uint32_t> counts;  // by process; for people, so namespaces are not told apart
  std::uint32_t process = 0;
  for_each_entry_in_use(*segment_, [&](std::uint32_t number, ParticipantState) {
    const std::uint32_t id = segment_->participant(number).process_id.load();
    if (++counts[id] > counts[process]) process = id;
  });
  return Error(ErrorCode::too_many_participants, "all participant entries of this role are taken",
               std::to_string(entries_for(role)) + " of them, process " + std::to_string(process) + " has " +
                   std::to_string(counts[process]) + "; end some; `ringmill status` lists them");
}

Result<std::uint32_t> Registry::enter(Role role, Binding binding) {
  const std::uint64_t started_ticks = own_start_ticks();  // it may throw, and nothing may behind reg.R2
  const std::lock_guard lock(mutex_);
  for (std::uint32_t number = 0; number < most_participants; ++number) {
    if (!may_take(role, number)) continue;
    if (const std::uint32_t end = segment_->participants_end(); number >= end) {
      if (auto added = segment_->add_participants(end); !added) return std::unexpected(added.error());
    }
    if (try_enter(number, role, binding, started_ticks)) return number;
  }
  return std::unexpected(refusal(role));
}

void Registry::leave(std::uint32_t number) noexcept {
  const std::lock_guard lock(mutex_);
  ParticipantEntry& entry = segment_->participant(number);
  const EntryState state = EntryState::of(entry);
  links_[number].reset();
  entry.robust_linked.store(0);
  entry.state.store(EntryState::bits(ParticipantState::free, state.epoch + 1));  // reg.D1
  unlock_byte(*locks_, participant_lock_byte + number);                          // reg.D2
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
