#include "core/participant/settler.h"

#include <algorithm>
#include <array>

#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "ipc/wait_mark.h"

namespace ringmill {

void Settler::end_timing(HeldLease& lease) noexcept {
  const RunSampler::Timed& timed = context_.sampler.timed(lease.slot);
  const std::uint64_t now_ns = lease_clock_ns();
  record_duration(runs_of_kind(context_.segment, context_.handles.number_of(lease.kind)),
                  now_ns - std::min(timed.began_ns, now_ns), timed.weight);
  lease.flags &= static_cast<std::uint16_t>(~is_timed);
}

void Settler::settled_plain(HeldLease& lease) noexcept {
  if (!follow_ups_.empty()) [[unlikely]]
    follow_ups_.drop(lease.slot);
  RINGMILL_INVARIANT(follow_ups_.of(lease.slot).empty());  // published, or dropped
  context_.lease_book.give_back_plain(lease.slot);         // settle.E7
  lease.holder = nullptr;
}

void Settler::settled(HeldLease& lease) noexcept {
  const bool was_large = (lease.flags & cell_flag::in_arena) != 0;
  settled_plain(lease);
  if (was_large) wake_for_extent(context_.segment);  // until settle.E7 no other job could have its extent
}

[[gnu::always_inline]] inline Settler::Won Settler::win_end(const HeldLease& lease) noexcept {
  const CellIndex index = index_of(lease.id);
  const StateWord held(lease.word);
  Settling& settling = context_.settling;
  RINGMILL_INVARIANT(context_.lease_book.is_held(lease.slot) && held.state() == CellState::running);
  if (!settling.swap_to_completing(index, held)) return Won::nothing;  // settle.E1 was done when the lease was reserved
  const StateWord completing = held.next(CellState::completing, settling.owner());
  // After the swap: a keeper that says later that the job has children looks at the word again.
  const std::uint16_t flags = table_.header(index).flags.load();
  if ((flags & (cell_flag::end_is_seen | cell_flag::counted)) != 0) [[unlikely]] {
    if (table_.is_end_seen(index, flags)) {
      settling.keep_completed(index, completing);
      return Won::kept_cell;
    }
    if ((flags & cell_flag::counted) != 0) {
      settling.free_counted(index, completing);
      return (flags & cell_flag::memory_only) != 0 ? Won::cell : Won::cell_to_mark;
    }
  }
  if (claiming_.was_queue_short() && (flags & cell_flag::in_arena) == 0) {
    table_.own_payload_lines(index, lease.payload.size());
  }
  settling.free_cell(index, completing);
  return (flags & cell_flag::memory_only) != 0 ? Won::cell : Won::cell_to_mark;
}

bool Settler::end(HeldLease& lease) noexcept {
  const CellIndex index = index_of(lease.id);
  Settling& settling = context_.settling;
  const Won won = win_end(lease);
  if (won == Won::cell_to_mark) settling.mark_ended(index);            // settle.M
  if (won >= Won::cell) settling.wake_waiters(wait_group_bit(index));  // settle.W
  settled_plain(lease);
  if (won >= Won::cell) context_.free_cells.keep_back(index);
  return won != Won::nothing;
}

void Settler::count_completed(std::span<Job> jobs, std::span<const Won> won) noexcept {
  TallyRun tally(context_.settling.tally(), &PairCounts::completed);
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    if (won[n] != Won::nothing) tally.add(pair_of(lease_of(jobs[n]), context_.handles));
  }
}

std::size_t Settler::end_run(std::span<Job> jobs, bool differ) noexcept {
  Settling& settling = context_.settling;
  MarkRun marks([&settling](std::uint32_t word, std::uint64_t bits) { settling.mark_ended(word, bits); });
  std::array<Won, Participant::most_in_batch> won;
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
  if (differ) count_completed(jobs, won);
  settling.wake_waiters(wait_groups_ended);  // settle.W
  FreeCells& free_cells = context_.free_cells;
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    HeldLease& lease = lease_of(jobs[n]);
    if (!is_held(lease)) continue;
    const CellIndex index = index_of(lease.id);
    settled_plain(lease);  // settle.E7
    if (won[n] >= Won::cell) {
      free_cells.keep_back(index);
    } else if (won[n] == Won::nothing) {
      lease.word = was_lost;
    }
  }
  return count;
}

bool Settler::complete(HeldLease& lease, std::span<const std::byte> result) noexcept {
  if ((lease.flags & not_plain) != 0 || !result.empty() || !follow_ups_.empty()) [[unlikely]] {
    return complete_with(lease, result, false);
  }
  return complete_plain(lease);
}

inline bool Settler::complete_plain(HeldLease& lease) noexcept {
  const JobPair pair = pair_of(lease, context_.handles);
  const bool won = end(lease);
  if (won) {
    count_more(context_.entry.completed, 1);
    context_.settling.tally().count(&PairCounts::completed, pair);
  }
  context_.free_cells.list_if_wanted();
  return won;
}

std::size_t Settler::complete_batch(std::span<Job> jobs) noexcept {
  std::size_t completed = 0;
  std::size_t kept = 0;  // those have counted themselves
  if (jobs.empty()) return 0;
  const HeldLease& front = lease_of(jobs.front());
  const JobPair first = pair_of(front, context_.handles);
  std::uint32_t other = 0;  // not zero: levels or kinds differ
  for (Job& job : jobs) {
    HeldLease& lease = lease_of(job);
    other |= static_cast<std::uint32_t>(lease.level) ^ static_cast<std::uint32_t>(front.level);
    other |= static_cast<std::uint32_t>(lease.kind) ^ static_cast<std::uint32_t>(front.kind);
    const bool is_plain = (lease.flags & not_plain) == 0 && follow_ups_.empty();
    if (!is_held(lease) || is_plain) continue;
    if (complete(lease, {})) {
      ++kept;
    } else {
      lease.word = was_lost;
    }
  }
  for (std::size_t done = 0; done < jobs.size(); done += Participant::most_in_batch) {
    const std::size_t count = std::min<std::size_t>(Participant::most_in_batch, jobs.size() - done);
    completed += end_run(jobs.subspan(done, count), other != 0);
  }
  count_more(context_.entry.completed, completed);
  if (other == 0 && completed != 0) context_.settling.tally().count(&PairCounts::completed, first, completed);
  context_.free_cells.list_if_wanted();
  return completed + kept;
}

bool Settler::complete_cut(HeldLease& lease, std::span<const std::byte> beginning) noexcept {
  return complete_with(lease, beginning, true);
}

bool Settler::complete_with(HeldLease& lease, std::span<const std::byte> result, bool is_cut) {
  if ((lease.flags & is_timed) != 0) {
    end_timing(lease);
    if (!is_cut) return complete(lease, result);
  }
  const std::span<const FreeCells::Filling> filled = follow_ups_.take(lease.slot);  // settling the job would drop them
  if (!filled.empty()) {
    RINGMILL_INVARIANT(context_.entry.bundle.load() == 0);  // one bundle at a time
    context_.entry.bundle_after.store(lease.id.value());
    context_.entry.bundle.store(job_id_of(filled.back().word, filled.back().index).value());  // lead.L2
    if (complete_kept(lease, result, is_cut, true)) {
      count_more(context_.entry.enqueued, filled.size());
      return true;
    }
    context_.entry.bundle.store(0);
    context_.take_back(filled);
    return false;
  }
  const CellIndex index = index_of(lease.id);
  const std::uint16_t flags = table_.header(index).flags.load();
  constexpr std::uint16_t has_more_to_end = cell_flag::in_arena | holds_permit;
  const CellOptions* const options = table_.options(index);
  const bool is_kept = options != nullptr && options->keep_ms.load() != 0;
  if ((lease.flags & has_more_to_end) != 0 || is_kept || table_.is_end_seen(index, flags)) {
    return complete_kept(lease, result, is_cut, false);
  }
  return complete_plain(lease);  // the result was not asked for
}

bool Settler::complete_kept(HeldLease& lease, std::span<const std::byte> result, bool is_cut, bool leads) noexcept {
  Ending ending{.outcome = Outcome::complete, .attempts = attempts_of(lease), .text = as_text(result), .leads = leads};
  if (is_cut) ending.result.refusal = ResultRefusal::too_long;
  if (is_cut || result.size() <= room_in_cell(index_of(lease.id))) return settle(lease, ending);
  FreeCells::Filling carrier;
  if (is_result_kept(index_of(lease.id)))
    ending.result = carry(context_.handles.value_of(lease.level), result, carrier);
  if (ending.result.is_carried) {
    ending.text = {};
    ending.carrier = job_id_of(carrier.word, carrier.index);
  }
  const bool won = settle(lease, ending);
  if (ending.result.is_carried) context_.take_back(carrier);  // result.R6
  return won;
}

bool Settler::is_result_kept(CellIndex index) const noexcept {
  const CellOptions* const options = table_.options(index);
  return (options != nullptr && options->keep_ms.load() != 0) ||
         table_.is_end_seen(index, table_.header(index).flags.load());
}

ResultNote Settler::carry(std::uint32_t level, std::span<const std::byte> result,
                          FreeCells::Filling& carrier) noexcept {
  if (result.size() > context_.most_payload || !context_.has_arena()) return {.refusal = ResultRefusal::too_long};
  FreeCells& cells = context_.free_cells;
  if (!cells.take(carrier, level, FreeCells::Taker::handler)) {  // result.R1
    return {.refusal = ResultRefusal::no_room};
  }
  const JobId id = job_id_of(carrier.word, carrier.index);
  const auto unit = context_.take_extent(id, result.size());
  if (!unit) {
    context_.take_back(carrier);
    return {.refusal = ResultRefusal::no_room};
  }
  context_.arena.fill(carrier.index, *unit, result);  // result.R2
  CellHeader& header = table_.header(carrier.index);
  header.payload_bytes.store(static_cast<std::uint32_t>(result.size()));
  header.flags.store(0);  // it is no job of any level
  return {.is_carried = true};
}

std::size_t Settler::room_in_cell(CellIndex index) const noexcept {
  return std::min(most_staged_bytes, table_.text_room(index));
}

bool Settler::settle(HeldLease& lease, Ending ending) noexcept {
  if ((lease.flags & is_timed) != 0) end_timing(lease);
  const CellIndex index = index_of(lease.id);
  RINGMILL_INVARIANT(context_.lease_book.is_held(lease.slot));  // the slot is in use from the claim to settle.E7
  LeaseSlot& slot = context_.lease_book.slot(lease.slot);
  if ((lease.flags & cell_flag::has_options) != 0) {
    ending.started = AttemptStart::of_lease(slot.started_at_ns.load(), context_.settling.owner());
  }
  const Settling::Ended ended = context_.settling.end(index, StateWord(lease.word), slot, ending);
  leave_slot(lease);
  settled(lease);
  return context_.list_if_free(index, ended);
}

void Settler::leave_slot(const HeldLease& lease) noexcept {
  if ((lease.flags & holds_permit) != 0) claiming_.admission().leave(lease.slot, index_of(lease.id));
}

bool Settler::extend(HeldLease& lease, std::uint64_t lease_ns) noexcept {
  const CellIndex index = index_of(lease.id);
  const StateWord held(lease.word);
  const StateWord extended = held.next(CellState::running, context_.settling.owner());
  RINGMILL_INVARIANT(context_.lease_book.is_held(lease.slot));
  LeaseSlot& slot = context_.lease_book.slot(lease.slot);
  // The deadline is in place before the word changes: a keeper that decides by the old deadline then fails to swap the
  // old word (hazard 7 in docs/hazards.md). ORDER lease: released by the swap.
  slot.deadline_ns.store(lease_clock_ns() + lease_ns, std::memory_order_relaxed);
  std::uint64_t expected = held.bits();
  // ORDER state: nothing in the cell is read or written here; the release carries the slot.
  if (!table_.state(index).compare_exchange_strong(expected, extended.bits(), std::memory_order_acq_rel,
                                                   std::memory_order_relaxed)) {
    leave_slot(lease);
    settled(lease);
    return false;
  }
  slot.note.store(LeaseNote{Outcome::complete, 0, static_cast<std::uint16_t>(extended.version())}.bits(),
                  std::memory_order_relaxed);
  lease.word = extended.bits();
  return true;
}

void Settler::count_left(JobPair pair, bool won) noexcept {
  if (won) context_.settling.tally().count(&PairCounts::left, pair);
}

bool Settler::release(HeldLease& lease) noexcept {
  const JobPair pair = pair_of(lease, context_.handles);
  const bool won = settle(lease, {.outcome = Outcome::requeue, .attempts = attempts_before(lease)});
  count_left(pair, won);
  if (won) count_more(context_.entry.released, 1);
  return won;
}

bool Settler::snooze(HeldLease& lease, std::uint64_t delay_ms) noexcept {
  const JobPair pair = pair_of(lease, context_.handles);
  const WaitMark mark{.reason =
                          follow_ups_.was_refused(lease.slot) ? WaitMark::Reason::no_room : WaitMark::Reason::none};
  const bool won = settle(lease, {.outcome = Outcome::delay,
                                  .attempts = attempts_before(lease),
                                  .due = due_in(delay_ms),
                                  .wait_note = mark.note()});
  count_left(pair, won);
  if (won) count_more(context_.entry.released, 1);
  return won;
}

std::optional<Settled> Settler::fail(HeldLease& lease, std::string_view error, std::string_view said,
                                     std::optional<std::uint64_t> delay_ms, DeathCause cause) {
  const CellHeader& header = table_.header(index_of(lease.id));
  Ending ending{.outcome = Outcome::requeue, .attempts = attempts_of(lease), .text = error, .said = said};
  // ORDER relaxed: fixed for the job's life; the swap decides whether it is still ours.
  const std::uint32_t most_attempts = header.most_attempts.load(std::memory_order_relaxed);
  if (most_attempts != 0 && ending.attempts >= most_attempts) {
    ending.outcome = Outcome::bury;
    ending.cause = cause;
  } else {
    // ORDER relaxed: as above. What is no policy is the standard one.
    const std::uint32_t policy =
        header.retry_policy.load_once(std::memory_order_relaxed).below(most_retry_policies + 1).value_or(0);
    const std::uint64_t wait_ms =
        delay_ms ? *delay_ms : context_.retry_policies.delay_ms(context_.segment, policy, ending.attempts);
    if (wait_ms != 0) {
      ending.outcome = Outcome::delay;
      ending.due = due_in(wait_ms);
    }
  }
  const bool retried = ending.outcome != Outcome::bury;
  const JobPair pair = pair_of(lease, context_.handles);
  if (!settle(lease, ending)) return std::nullopt;
  count_more(context_.entry.failed, 1);
  context_.settling.tally().count(&PairCounts::failed, pair);
  if (!retried) return Settled::dead;
  count_more(context_.entry.retried, 1);
  context_.settling.tally().count(&PairCounts::retried, pair);
  return Settled::waits;
}

bool Settler::reject(HeldLease& lease, std::string_view error, std::string_view said) noexcept {
  const JobPair pair = pair_of(lease, context_.handles);
  const bool won = settle(lease, {.outcome = Outcome::bury,
                                  .attempts = attempts_of(lease),
                                  .cause = DeathCause::rejected,
                                  .text = error,
                                  .said = said});
  if (won) {
    count_more(context_.entry.failed, 1);
    context_.settling.tally().count(&PairCounts::failed, pair);
  }
  return won;
}

bool Settler::end_as_cancelled(HeldLease& lease) noexcept {
  const JobPair pair = pair_of(lease, context_.handles);
  const bool won = settle(lease, {.outcome = Outcome::cancel, .attempts = attempts_of(lease)});
  count_left(pair, won);
  return won;
}

std::size_t Settler::room_for_result(const HeldLease& lease) const noexcept {
  const CellOptions* const options = table_.options(index_of(lease.id));
  const bool is_kept = options != nullptr && options->keep_ms.load() != 0;
  const bool has_children = (table_.header(index_of(lease.id)).flags.load() & cell_flag::has_children) != 0;
  if (!is_kept && !has_children) return ~std::size_t{0};
  const std::size_t room = room_in_cell(index_of(lease.id));
  return context_.has_arena() ? std::max<std::size_t>(room, context_.most_payload) : room;
}

}  // namespace ringmill
