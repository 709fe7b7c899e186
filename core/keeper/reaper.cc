#include "core/keeper/reaper.h"

#include <algorithm>

#include "core/keeper/left_session.h"
#include "core/keeper/reap_rules.h"
#include "core/table/bundles.h"
#include "core/table/evictable.h"
#include "core/table/lease_slots.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"

namespace ringmill {

bool Reaper::take_over(std::uint32_t number) noexcept {
  ParticipantEntry& entry = segment_->participant(number);
  const EntryState state = EntryState::of(entry);
  if (state.state == ParticipantState::free) return false;
  if (state.state != ParticipantState::reaping) {
    std::uint64_t expected = entry.state.load();
    if (expected >> 8 != state.epoch) return false;
    if (!entry.state.compare_exchange_strong(expected,
                                             EntryState::bits(ParticipantState::reaping, state.epoch))) {  // reap.D1
      return false;
    }
  }
  Sleepers(*segment_, segment_->signals().sleepers).withdraw(number);  // reap.D2
  Sleepers(*segment_, segment_->signals().space_waiters).withdraw(number);
  if (entry.session.load() != 0) {
    static_cast<void>(sentence_on_loss(number + 1));  // first: it may be reaped meanwhile, and nothing tells any more
    end_left_session(entry);                          // reap.K
  }
  const std::uint32_t owner = number + 1;
  if (has_decided_bundle(settling_.table(), entry, owner)) publish_bundle(settling_, entry, owner);  // reap.B
  for (const LeaseSlot& slot : entry.leases) reap_slot(slot, owner);                                 // reap.D3
  reap_slot(entry.settling, owner);
  entry.bundle.store(0);  // one that was not decided has no owner now: the scan frees its cells
  entry.bundle_after.store(0);
  // ORDER placing: acquires the ids, and the queued cells they name.
  const std::uint32_t placing = entry.placing_count.load_once().at_most(placing_slots);
  for (std::uint32_t n = 0; n < placing; ++n) settling_.place_again(JobId(entry.placing[n].load()));  // reap.D4
  pass_on_wakes(static_cast<Role>(entry.role.load()));                                                // reap.D5
  return true;
}

/// A wake that the dead one had received was for a job that waits in a ring. One that it was about to give is gone with
/// a sign that it had cleared: such a sleeper looks as if it were busy. A tool may have been about to wake for more
/// than jobs.
void Reaper::pass_on_wakes(Role role) noexcept {
  Sleepers sleepers(*segment_, segment_->signals().sleepers);
  Sleepers space_waiters(*segment_, segment_->signals().space_waiters);
  const bool wakes_for_jobs_only = role == Role::worker || role == Role::producer;
  for (std::uint32_t level = 0; wakes_for_jobs_only && level < segment_->levels_end(); ++level) {
    if (!segment_->has_level(level)) continue;
    const Ring ring = segment_->ring(level);
    const std::uint64_t waiting = ring.tail() - std::min(ring.head(), ring.tail());
    if (waiting == 0) continue;
    const Arrival any_kind{.levels = std::uint64_t{1} << (level % 64), .kinds = ~std::uint64_t{0}};
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(waiting, most_participants));
    wake_for_jobs(*segment_, any_kind, count);
  }
  if (!wakes_for_jobs_only) sleepers.wake_all();
  space_waiters.wake_all();
  for_each_entry_in_use(*segment_, [&](std::uint32_t n, ParticipantState other) {
    if (other != ParticipantState::alive || sleepers.is_announced(n)) return;
    auto& sequence = segment_->participant(n).wake_sequence;
    sequence.fetch_add(1);
    futex_wake(sequence, 1);
  });
}

void Reaper::release_entry(std::uint32_t number) noexcept {
  ParticipantEntry& entry = segment_->participant(number);
  const EntryState state = EntryState::of(entry);
  if (state.state != ParticipantState::reaping) return;
  RINGMILL_INVARIANT(owns_no_cell(number + 1));  // at rest no cell is filling, running or completing for a dead owner
  deaths_.forget(number);
  std::uint64_t expected = EntryState::bits(ParticipantState::reaping, state.epoch);
  entry.state.compare_exchange_strong(expected, EntryState::bits(ParticipantState::free, state.epoch + 1));  // reap.D7
  wake_for_space(*segment_);  // its lease slots hold no extents of the arena any more
}

void Reaper::reap_slot(const LeaseSlot& slot, std::uint32_t owner) noexcept {
  const JobId id(slot.job_id.load());
  const CellIndex index = index_of(id);
  if (!id || index >= settling_.table().capacity()) return;
  const StateWord word = settling_.table().word(index);
  // The job is over, but perhaps not marked: the owner died between settle.E5 and settle.E7.
  if (word.generation() > generation_of(id)) settling_.mark_ended(index);
  if (word.owner() != owner || word.generation() != generation_of(id) || !speaks_of(slot, id, word)) return;
  apply_rule(index, word, owner);
}

void Reaper::apply_rule(CellIndex index, StateWord word, std::uint32_t owner) noexcept {
  switch (action_for(word.state())) {
    case ReapAction::free: {
      std::uint64_t expected = word.bits();
      settling_.table().state(index).compare_exchange_strong(expected, settling_.table().freed(word).bits());
      return;
    }
    case ReapAction::retry:
      retry(index, word, slot_of(owner, index, word), owner, DeathCause::worker_lost);
      return;
    case ReapAction::finish: {
      const ParticipantEntry* const dead = segment_->participant_of(owner);
      if (dead == nullptr) return;
      const LeaseSlot* slot = slot_of(owner, index, word);
      RINGMILL_INVARIANT(slot != nullptr || settling_.table().word(index) != word);  // an end that was won is staged
      finish_for(*dead, index, word, slot != nullptr ? LeaseNote::of(slot->note.load()) : LeaseNote{});
      return;
    }
    case ReapAction::place:
    case ReapAction::nothing:
      return;
  }
}

const LeaseSlot* Reaper::slot_of(std::uint32_t owner, CellIndex index, StateWord word) const noexcept {
  const ParticipantEntry* const entry = segment_->participant_of(owner);
  if (entry == nullptr) return nullptr;
  const JobId id = job_id_of(word, index);
  if (const auto n = lease_slot_of(*entry, id, word)) return &entry->leases[*n];
  return speaks_of(entry->settling, id, word) ? &entry->settling : nullptr;
}

bool Reaper::owns_no_cell(std::uint32_t owner) const noexcept {
  const JobTable& table = settling_.table();
  bool owns_none = true;
  table.for_each_cell([&](CellIndex index) { owns_none = owns_none && table.word(index).owner() != owner; });
  return owns_none;
}

bool Reaper::finish_for(const ParticipantEntry& other, CellIndex index, StateWord word, LeaseNote note) noexcept {
  return act(index, word, [&] { return settling_.end_for(other, index, word, me_->settling, note); });
}

bool Reaper::settle(CellIndex index, StateWord word, const Ending& ending) noexcept {
  return act(index, word, [&] { return settling_.end(index, word, me_->settling, ending); });
}

template <class End>
bool Reaper::act(CellIndex index, StateWord word, const End& end) noexcept {
  RINGMILL_INVARIANT(me_->settling.job_id.load() == 0);  // one end at a time
  me_->settling.job_id.store(job_id_of(word, index).value());
  const Settling::Ended ended = end();
  if (ended == Settling::Ended::free) list(index);
  me_->settling.job_id.store(0);
  return ended != Settling::Ended::lost;
}

void Reaper::list(CellIndex index) noexcept {
  segment_->free_map().put_cell(index);
  wake_for_space(*segment_);
}

/// A short text if there is no memory for more: strings of this length need no allocation.
std::string Reaper::sentence_on_loss(std::uint32_t owner) noexcept {
  try {
    return "worker lost: " + deaths_.sentence_about(owner - 1);
  } catch (const std::exception&) {
    return "worker lost";
  }
}

void Reaper::retry(CellIndex index, StateWord word, const LeaseSlot* slot, std::uint32_t owner,
                   DeathCause cause) noexcept {
  const CellHeader& header = settling_.table().header(index);
  const std::uint64_t started_at_ns = slot != nullptr ? slot->started_at_ns.load() : 0;
  const bool had_begun = slot == nullptr || started_at_ns != 0;
  const std::uint32_t attempts = std::min<std::uint32_t>(header.attempts.load() + (had_begun ? 1U : 0U), 65535);
  const std::uint32_t most_attempts = header.most_attempts.load();
  Ending ending{.outcome = Outcome::requeue, .attempts = static_cast<std::uint16_t>(attempts), .cause = cause};
  const bool bury_at_once = (header.flags.load() & cell_flag::bury_on_worker_lost) != 0;
  if (had_begun && (bury_at_once || (most_attempts != 0 && attempts >= most_attempts))) ending.outcome = Outcome::bury;
  const std::string loss = had_begun && cause == DeathCause::worker_lost ? sentence_on_loss(owner) : std::string();
  if (had_begun) {
    ending.text = cause == DeathCause::worker_lost ? std::string_view(loss) : "the lease ran out";
    ending.started = AttemptStart::of_lease(started_at_ns, owner);
  }
  const JobPair pair = settling_.pair_of(index);
  if (!settle(index, word, ending)) return;
  count_one(cause == DeathCause::worker_lost ? me_->worker_lost : me_->lease_expired);
  if (!had_begun) return;
  settling_.tally().count(&PairCounts::left, pair);
  if (ending.outcome != Outcome::requeue) return;
  count_one(me_->retried);
  settling_.tally().count(&PairCounts::retried, pair);
}

bool Reaper::take_back(CellIndex index, StateWord word) noexcept {
  const std::uint16_t attempts = settling_.table().header(index).attempts.load();
  if (!settle(index, word, {.outcome = Outcome::requeue, .attempts = attempts})) return false;
  count_one(me_->released);
  return true;
}

void Reaper::expire_job(CellIndex index, StateWord word) noexcept { bury(index, word, DeathCause::expired, {}); }

void Reaper::bury(CellIndex index, StateWord word, DeathCause cause, std::string_view text) noexcept {
  const std::uint16_t attempts = settling_.table().header(index).attempts.load();
  settle(index, word, {.outcome = Outcome::bury, .attempts = attempts, .cause = cause, .text = text});
}

void Reaper::cancel(CellIndex index, StateWord word) noexcept {
  const std::uint16_t attempts = settling_.table().header(index).attempts.load();
  settle(index, word, {.outcome = Outcome::cancel, .attempts = attempts});
}

bool Reaper::drop(CellIndex index, StateWord word) noexcept {
  if (!settling_.drop(index, word)) return false;
  list(index);
  return true;
}

bool Reaper::evict(CellIndex index, StateWord word) noexcept {
  if (!ringmill::evict(settling_, index, word)) return false;  // evict.V2
  list(index);                                                 // evict.V3
  return true;
}

std::uint64_t Reaper::expire_leases(std::uint32_t number, std::uint64_t now_ns) noexcept {
  ParticipantEntry& entry = segment_->participant(number);
  const std::uint32_t owner = number + 1;
  std::uint64_t next = no_deadline;
  for (const LeaseSlot& slot : entry.leases) {
    const JobId id(slot.job_id.load());
    const CellIndex index = index_of(id);
    if (!id || index >= settling_.table().capacity()) continue;
    // Read the word first, then the deadline. An extension writes the deadline before the word, so a deadline that is
    // read too early belongs to a word that the swap below fails on (hazard 7 in docs/hazards.md).
    const StateWord word = settling_.table().word(index);
    if (!word.is(CellState::running, owner) || word.generation() != generation_of(id)) continue;
    const std::uint64_t deadline = slot.deadline_ns.load();
    if (!speaks_of(slot, id, word)) continue;
    if (deadline > now_ns) {
      next = std::min(next, deadline);
      continue;
    }
    retry(index, word, &slot, owner, DeathCause::lease_expired);
  }
  return next;
}

}  // namespace ringmill
