#include "core/participant/job_control.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/table/lease_slots.h"
#include "core/table/parents.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// Each look but the first means that the job moved on in that moment: not so often in a row.
constexpr std::uint32_t most_looks_to_cancel = 10'000;

}  // namespace

std::vector<JobId> JobControl::parents_of(const HeldLease& lease) const {
  const CellIndex index = index_of(lease.id);
  auto parents = ringmill::parents_of(table_, context_.arena, lease.id);
  if (!parents || table_.word(index) != StateWord(lease.word)) return {};  // the lease was lost
  return *std::move(parents);
}

bool JobControl::should_stop(const HeldLease& lease) const noexcept {
  // ORDER relaxed: a sign, nothing hangs on it.
  return context_.entry.stop_asked[lease.slot].load(std::memory_order_relaxed) == stop_tag(lease.id);
}

std::chrono::nanoseconds JobControl::time_left(const HeldLease& lease) noexcept {
  const auto deadline = static_cast<std::int64_t>(context_.lease_book.slot(lease.slot).deadline_ns.load());
  return std::chrono::nanoseconds(deadline - static_cast<std::int64_t>(lease_clock_ns()));
}

std::chrono::milliseconds JobControl::asked_lease(const HeldLease& lease) const noexcept {
  // What another job has there by now is no harm: the lease was lost then.
  return std::chrono::milliseconds(table_.header(index_of(lease.id)).lease_ms.load_once().unbounded());
}

void JobControl::report_progress(const HeldLease& lease, std::uint64_t number, std::string_view text) noexcept {
  Progress& progress = context_.entry.progress;
  progress.job_id.store(0);
  progress.number.store(number);
  std::array<std::byte, sizeof progress.text> bytes{};
  std::memcpy(bytes.data(), text.data(), std::min(text.size(), bytes.size()));
  store_words(progress.text, bytes);
  progress.job_id.store(lease.id.value());
}

bool JobControl::ask_to_stop(JobId id, StateWord word) noexcept {
  ParticipantEntry* const holder = context_.segment.participant_of(word.owner());
  if (holder == nullptr) return false;
  const auto slot = lease_slot_of(*holder, id, word);
  if (slot) holder->stop_asked[*slot].store(stop_tag(id));
  return slot.has_value();
}

Result<Cancelled> JobControl::cancel(JobId id) {
  const CellIndex index = index_of(id);
  const auto unknown = [id] { return std::unexpected(Error(ErrorCode::not_found, "no such job", id.to_string())); };
  if (!table_.can_have_given(id)) return unknown();
  for (std::uint32_t look = 0; look < most_looks_to_cancel; ++look) {
    const StateWord word = table_.word(index);
    if (!JobTable::was_enqueued(id, word)) return unknown();
    if (generation_of(id) < word.generation()) return Cancelled::already_over;
    if (word.state() == CellState::running) {
      if (ask_to_stop(id, word)) return Cancelled::asked_to_stop;
      if (table_.word(index) != word) continue;  // it moved on in this moment
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
    const bool is_large = (table_.header(index).flags.load(std::memory_order_relaxed) & cell_flag::in_arena) != 0;
    const Settling::Ended ended = context_.settling.end(index, word, context_.entry.settling, ending);
    context_.entry.settling.job_id.store(0,
                                         std::memory_order_release);  // ORDER lease: after the cell's last transition
    if (!context_.list_if_free(index, ended)) continue;  // claimed, or cancelled by another, in this moment
    if (is_large) wake_for_extent(context_.segment);     // settle.E5 has freed its extent with it
    return Cancelled::before_start;
  }
  return std::unexpected(
      Error(ErrorCode::corrupt, "the table says that the job runs, and no participant has it",
            id.to_string() + "; another process wrote into the shared memory (`ringmill dump --check`)"));
}

}  // namespace ringmill
