// The plain end of a job. Other ends are in core/participant/participant_settling.cc.
#include "core/participant/participant_implementation.h"

#include <algorithm>

#include "core/base/exceptions.h"

namespace ringmill {

Participant::Implementation::Implementation(std::shared_ptr<EngineCore> engine, std::uint32_t number)
    : context_(std::move(engine), number),
      tickets_(context_.segment),
      check_(context_.segment, context_.retry_policies),
      producer_(context_, check_, tickets_),
      unique_producer_(context_, check_, producer_),
      follow_ups_(context_),
      linked_producer_(context_, check_, tickets_, producer_, follow_ups_),
      claiming_(context_.settling, context_.lease_book, context_.segment.header().default_lease_ms.load(),
                context_.level_count),
      consumer_(context_, check_, claiming_) {}

Participant::Implementation::~Implementation() {
  consumer_.release_prefetched();
  consumer_.release_forgotten();
  context_.free_cells.give_back();
  Sleepers(context_.segment, context_.segment.signals().sleepers).withdraw(context_.number);
  Sleepers(context_.segment, context_.segment.signals().space_waiters).withdraw(context_.number);
  context_.engine->registry.leave(context_.number);
  wake_for_extent(context_.segment);  // slots that were written over by others may name jobs until here
  // A wake that came to us is passed on: it may have been for a job that we now leave to others.
  Sleepers(context_.segment, context_.segment.signals().sleepers).wake_all();
}

void Participant::Implementation::settled_plain(HeldLease& lease) noexcept {
  if (!follow_ups_.empty()) [[unlikely]]
    follow_ups_.drop(lease.slot);
  context_.lease_book.give_back_plain(lease.slot);  // settle.E7
  lease.holder = nullptr;
}

void Participant::Implementation::settled(HeldLease& lease) noexcept {
  const bool was_large = (lease.flags & cell_flag::in_arena) != 0;
  settled_plain(lease);
  if (was_large) wake_for_extent(context_.segment);  // until settle.E7 no other job could have its extent
}

[[gnu::always_inline]] inline Participant::Implementation::Won Participant::Implementation::win_end(
    const HeldLease& lease) noexcept {
  const CellIndex index = index_of(lease.id);
  const StateWord held(lease.word);
  if (!context_.settling.swap_to_completing(index, held))
    return Won::nothing;  // settle.E1 was done when the lease was reserved
  const StateWord completing = held.next(CellState::completing, context_.settling.owner());
  // After the swap: a keeper that says later that the job has children looks at the word again.
  const std::uint16_t flags = context_.settling.table().header(index).flags.load();
  if ((flags & cell_flag::end_is_seen) != 0) [[unlikely]] {
    context_.settling.keep_completed(index, completing);
    return Won::kept_cell;
  }
  if (claiming_.was_queue_short() && (flags & cell_flag::in_arena) == 0) {
    context_.settling.table().own_payload_lines(index, lease.payload.size());
  }
  context_.settling.free_cell(index, completing);
  return (flags & cell_flag::memory_only) != 0 ? Won::cell : Won::cell_to_mark;
}

bool Participant::Implementation::end(HeldLease& lease) noexcept {
  const CellIndex index = index_of(lease.id);
  const Won won = win_end(lease);
  if (won == Won::cell_to_mark) context_.settling.mark_ended(index);            // settle.M
  if (won >= Won::cell) context_.settling.wake_waiters(wait_group_bit(index));  // settle.W
  settled_plain(lease);
  if (won >= Won::cell) context_.free_cells.keep_back(index);
  return won != Won::nothing;
}

/// A run of jobs: those of one word of the marks are marked together, and no slot is cleared before its job is marked.
std::size_t Participant::Implementation::end_run(std::span<Job> jobs) noexcept {
  MarkRun marks([this](std::uint32_t word, std::uint64_t bits) { context_.settling.mark_ended(word, bits); });
  std::array<Won, most_in_batch> won;
  std::uint64_t wait_groups_ended = 0;
  std::size_t count = 0;
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    const HeldLease& lease = lease_of(jobs[n]);
    won[n] = is_held(lease) ? win_end(lease) : Won::nothing;
    if (won[n] == Won::nothing) continue;
    ++count;
    wait_groups_ended |= wait_group_bit(index_of(lease.id));
    if (won[n] == Won::cell_to_mark) marks.add(index_of(lease.id));  // settle.M
  }
  marks.flush();
  context_.settling.wake_waiters(wait_groups_ended);  // settle.W
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    HeldLease& lease = lease_of(jobs[n]);
    if (!is_held(lease)) continue;
    const CellIndex index = index_of(lease.id);
    settled_plain(lease);  // settle.E7
    if (won[n] >= Won::cell) context_.free_cells.keep_back(index);
  }
  return count;
}

bool Participant::Implementation::complete(HeldLease& lease, std::span<const std::byte> result) noexcept {
  if ((lease.flags & not_plain) != 0 || !result.empty() || !follow_ups_.empty()) [[unlikely]] {
    return complete_with(lease, result);
  }
  const bool won = end(lease);
  if (won) count_more(context_.entry.completed, 1);
  context_.free_cells.list_if_wanted();
  return won;
}

std::size_t Participant::Implementation::complete_batch(std::span<Job> jobs) noexcept {
  std::size_t completed = 0;
  std::size_t kept = 0;  // those have counted themselves
  for (Job& job : jobs) {
    HeldLease& lease = lease_of(job);
    const bool is_plain = (lease.flags & not_plain) == 0 && follow_ups_.empty();
    if (is_held(lease) && !is_plain && complete(lease, {})) ++kept;
  }
  for (std::size_t done = 0; done < jobs.size(); done += most_in_batch) {
    completed += end_run(jobs.subspan(done, std::min<std::size_t>(most_in_batch, jobs.size() - done)));
  }
  count_more(context_.entry.completed, completed);
  context_.free_cells.list_if_wanted();
  return completed + kept;
}

bool Participant::Implementation::extend(HeldLease& lease, std::uint64_t lease_ns) noexcept {
  const CellIndex index = index_of(lease.id);
  const StateWord held(lease.word);
  const StateWord extended = held.next(CellState::running, context_.settling.owner());
  LeaseSlot& slot = context_.lease_book.slot(lease.slot);
  // The deadline is in place before the word changes: a keeper that decides by the old deadline then fails to swap the
  // old word (hazard 7 in docs/hazards.md). ORDER lease: released by the swap.
  slot.deadline_ns.store(lease_clock_ns() + lease_ns, std::memory_order_relaxed);
  std::uint64_t expected = held.bits();
  // ORDER state: nothing in the cell is read or written here; the release carries the slot.
  if (!context_.settling.table().state(index).compare_exchange_strong(
          expected, extended.bits(), std::memory_order_acq_rel, std::memory_order_relaxed)) {
    leave_slot(lease);
    settled(lease);
    return false;
  }
  slot.note.store(LeaseNote{Outcome::complete, 0, static_cast<std::uint16_t>(extended.version())}.bits(),
                  std::memory_order_relaxed);
  lease.word = extended.bits();
  return true;
}

}  // namespace ringmill
