// Ends of a job beside the plain one: results that are kept, failures, delays, burials, cancellation. All by the steps
// of core/table/settling.h.
#include <algorithm>
#include <array>
#include <cstring>

#include "core/participant/participant_implementation.h"
#include "core/table/expiry.h"
#include "core/table/lease_slots.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// Each look but the first means that the job moved on in that moment: not so often in a row.
constexpr std::uint32_t most_looks_to_cancel = 10'000;

}  // namespace

bool Participant::Implementation::settle(HeldLease& lease, Ending ending) noexcept {
  const CellIndex index = index_of(lease.id);
  LeaseSlot& slot = context_.lease_book.slot(lease.slot);
  if ((lease.flags & cell_flag::has_options) != 0) {
    ending.started = AttemptStart::of_lease(slot.started_at_ns.load(), context_.settling.owner());
  }
  const Settling::Ended ended = context_.settling.end(index, StateWord(lease.word), slot, ending);
  leave_slot(lease);
  settled(lease);
  return context_.list_if_free(index, ended);
}

void Participant::Implementation::leave_slot(const HeldLease& lease) noexcept {
  if ((lease.flags & holds_concurrency_slot) != 0) claiming_.admission().leave(lease.slot, index_of(lease.id));
}

bool Participant::Implementation::release(HeldLease& lease) noexcept {
  const bool won = settle(lease, {.outcome = Outcome::requeue, .attempts = attempts_before(lease)});
  if (won) count_more(context_.entry.released, 1);
  return won;
}

bool Participant::Implementation::snooze(HeldLease& lease, std::uint64_t delay_ms) noexcept {
  const bool won =
      settle(lease, {.outcome = Outcome::delay, .attempts = attempts_before(lease), .due = due_in(delay_ms)});
  if (won) count_more(context_.entry.released, 1);
  return won;
}

bool Participant::Implementation::reject(HeldLease& lease, std::string_view error, std::string_view said) noexcept {
  const bool won = settle(lease, {.outcome = Outcome::bury,
                                  .attempts = attempts_of(lease),
                                  .cause = DeathCause::rejected,
                                  .text = error,
                                  .said = said});
  if (won) count_more(context_.entry.failed, 1);
  return won;
}

std::optional<Settled> Participant::Implementation::fail(HeldLease& lease, std::string_view error,
                                                         std::string_view said, std::optional<std::uint64_t> delay_ms,
                                                         DeathCause cause) {
  const CellHeader& header = context_.settling.table().header(index_of(lease.id));
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
  if (!settle(lease, ending)) return std::nullopt;
  count_more(context_.entry.failed, 1);
  if (retried) count_more(context_.entry.retried, 1);
  return retried ? Settled::waits : Settled::dead;
}

bool Participant::Implementation::end_as_cancelled(HeldLease& lease) noexcept {
  return settle(lease, {.outcome = Outcome::cancel, .attempts = attempts_of(lease)});
}

bool Participant::Implementation::complete_with(HeldLease& lease, std::span<const std::byte> result) {
  const FollowUps::Cells filled = follow_ups_.take(lease.slot);  // settling the job would drop them
  if (!filled.empty()) {
    context_.entry.bundle_after.store(lease.id.value());
    context_.entry.bundle.store(job_id_of(filled.back().word, filled.back().index).value());  // lead.L2
    const bool won = settle(
        lease, {.outcome = Outcome::complete, .attempts = attempts_of(lease), .text = as_text(result), .leads = true});
    if (won) {
      count_more(context_.entry.enqueued, filled.size());
      return true;
    }
    context_.entry.bundle.store(0);
    context_.take_back(filled);
    return false;
  }
  const std::uint16_t flags = context_.settling.table().header(index_of(lease.id)).flags.load();
  if ((lease.flags & not_plain) != 0 || (flags & cell_flag::has_children) != 0) {
    return settle(lease, {.outcome = Outcome::complete, .attempts = attempts_of(lease), .text = as_text(result)});
  }
  const bool won = end(lease);  // the result was not asked for
  if (won) count_more(context_.entry.completed, 1);
  context_.free_cells.list_if_wanted();
  return won;
}

std::vector<JobId> Participant::Implementation::parents_of(const HeldLease& lease) const {
  const JobTable& table = context_.settling.table();
  const CellIndex index = index_of(lease.id);
  std::vector<JobId> parents = table.parent_ids(index);
  if (table.word(index) != StateWord(lease.word)) parents.clear();  // the lease was lost
  return parents;
}

std::size_t Participant::Implementation::room_for_result(const HeldLease& lease) const noexcept {
  const JobTable& table = context_.settling.table();
  const CellOptions* const options = table.options(index_of(lease.id));
  const bool is_kept = options != nullptr && options->keep_ms.load() != 0;
  const bool has_children = (table.header(index_of(lease.id)).flags.load() & cell_flag::has_children) != 0;
  if (!is_kept && !has_children) return ~std::size_t{0};
  return std::min(most_staged_bytes, context_.settling.table().text_room(index_of(lease.id)));
}

bool Participant::Implementation::should_stop(const HeldLease& lease) const noexcept {
  // ORDER relaxed: a sign, nothing hangs on it.
  return context_.entry.stop_asked[lease.slot].load(std::memory_order_relaxed) == stop_tag(lease.id);
}

std::chrono::nanoseconds Participant::Implementation::time_left(const HeldLease& lease) noexcept {
  const auto deadline = static_cast<std::int64_t>(context_.lease_book.slot(lease.slot).deadline_ns.load());
  return std::chrono::nanoseconds(deadline - static_cast<std::int64_t>(lease_clock_ns()));
}

std::chrono::milliseconds Participant::Implementation::timeout(const HeldLease& lease) const noexcept {
  // What another job has there by now is no harm: the lease was lost then.
  return std::chrono::milliseconds(context_.settling.table().header(index_of(lease.id)).lease_ms.load());
}

void Participant::Implementation::report_progress(const HeldLease& lease, std::uint64_t number,
                                                  std::string_view text) noexcept {
  Progress& progress = context_.entry.progress;
  progress.job_id.store(0);
  progress.number.store(number);
  std::array<std::byte, sizeof progress.text> bytes{};
  std::memcpy(bytes.data(), text.data(), std::min(text.size(), bytes.size()));
  store_words(progress.text, bytes);
  progress.job_id.store(lease.id.value());
}

bool Participant::Implementation::ask_to_stop(JobId id, StateWord word) noexcept {
  if (word.owner() == 0 || word.owner() > most_participants) return false;
  ParticipantEntry& holder = context_.segment.participant(word.owner() - 1);
  const auto slot = lease_slot_of(holder, id, word);
  if (slot) holder.stop_asked[*slot].store(stop_tag(id));
  return slot.has_value();
}

Result<Cancelled> Participant::Implementation::cancel(JobId id) {
  const JobTable& table = context_.settling.table();
  const CellIndex index = index_of(id);
  const auto unknown = [id] { return std::unexpected(Error(ErrorCode::not_found, "no such job", id.to_string())); };
  if (!table.can_have_given(id)) return unknown();
  for (std::uint32_t look = 0; look < most_looks_to_cancel; ++look) {
    const StateWord word = table.word(index);
    if (!JobTable::was_enqueued(id, word)) return unknown();
    if (generation_of(id) < word.generation()) return Cancelled::already_over;
    if (word.state() == CellState::running) {
      if (ask_to_stop(id, word)) return Cancelled::asked_to_stop;
      if (table.word(index) != word) continue;  // it moved on in this moment
      return std::unexpected(Error(ErrorCode::corrupt, "no lease speaks of a job that is running",
                                   id.to_string() + ": another process wrote into the shared memory; end all " +
                                       "participants, then `ringmill recover --from-journal` makes it anew"));
    }
    if (word.state() == CellState::completing) return Cancelled::asked_to_stop;  // too late to ask, and not over yet
    if (!waits_to_begin(word.state())) return Cancelled::already_over;
    // The settling slot tells our reaper what was meant.
    // ORDER relaxed: released by the winning swap.
    context_.entry.settling.job_id.store(id.value(), std::memory_order_relaxed);
    const Ending ending{.outcome = Outcome::cancel};
    // ORDER relaxed: fixed for the job's life; the swap decides whether it was this job's.
    const bool is_large = (table.header(index).flags.load(std::memory_order_relaxed) & cell_flag::in_arena) != 0;
    const Settling::Ended ended = context_.settling.end(index, word, context_.entry.settling, ending);
    context_.entry.settling.job_id.store(0,
                                         std::memory_order_release);  // ORDER lease: after the cell's last transition
    if (!context_.list_if_free(index, ended)) continue;  // claimed, or cancelled by another, in this moment
    if (is_large) wake_for_extent(context_.segment);     // settle.E5 has freed its extent with it
    return Cancelled::before_start;
  }
  return std::unexpected(Error(ErrorCode::corrupt, "the table says that the job runs, and nobody has it",
                               id.to_string() + "; somebody wrote into the shared memory (`ringmill dump --check`)"));
}

}  // namespace ringmill
