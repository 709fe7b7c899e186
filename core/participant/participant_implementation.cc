// Claiming with a wait, and the plain end of a job. Enqueueing is in core/participant/producer.h, other ends are in
// core/participant/participant_settling.cc.
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
      subscription_(context_, check_, claiming_) {}

Participant::Implementation::~Implementation() {
  release_prefetched();
  release_forgotten();
  context_.free_cells.give_back();
  Sleepers(context_.segment, context_.segment.signals().sleepers).withdraw(context_.number);
  Sleepers(context_.segment, context_.segment.signals().space_waiters).withdraw(context_.number);
  context_.engine->registry.leave(context_.number);
  wake_for_extent(context_.segment);  // slots that were written over by others may name jobs until here
  // A wake that came to us is passed on: it may have been for a job that we now leave to others.
  Sleepers(context_.segment, context_.segment.signals().sleepers).wake_all();
}

void Participant::Implementation::release_forgotten() noexcept {
  for (std::uint32_t n = 0; n < lease_slots; ++n) {
    const JobId id(context_.lease_book.slot(n).job_id.load());
    if (!id || !context_.lease_book.is_held(n) || index_of(id) >= context_.settling.table().capacity()) continue;
    const std::uint64_t version = LeaseNote::of(context_.lease_book.slot(n).note.load()).version;
    const StateWord word = StateWord::make(generation_of(id), context_.settling.owner(), CellState::running, version);
    release_claim({index_of(id), n, word});
  }
}

Result<void> Participant::Implementation::subscribe(const ClaimOptions& options) {
  if (options.prefetch < 1 || options.prefetch > lease_slots) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "prefetch is 1 to 64"));
  }
  if (auto subscribed = subscription_.subscribe(options); !subscribed) return subscribed;
  release_prefetched();
  window_.restart(options.prefetch);
  subscribed_ = true;
  return {};
}

Result<std::uint32_t> Participant::Implementation::claim_some(Claim* out, std::uint32_t most, std::uint64_t now_ns,
                                                              std::uint64_t wait_ns) {
  if (!subscribed_) {
    if (auto subscribed = subscribe({}); !subscribed) return std::unexpected(subscribed.error());
  }
  if (context_.lease_book.is_full()) {
    return std::unexpected(
        Error(ErrorCode::would_block, "this participant holds 64 jobs, which is the most: settle some"));
  }
  if (subscription_.have_levels_changed()) [[unlikely]] {
    if (auto followed = subscription_.follow_levels(); !followed) return std::unexpected(followed.error());
  }
  for (std::uint32_t n = window_.pauses_to_gather(most); n != 0; --n) __builtin_ia32_pause();
  std::uint32_t count = claiming_.claim(out, most, now_ns);
  window_.note_found(count);
  if (count != 0) return count;
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(now_ns, wait_ns);
  context_.free_cells.list();
  while (true) {
    if (context_.segment.signals().removed.load() != 0) {
      return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
    }
    if (subscription_.have_levels_changed()) [[unlikely]] {
      if (auto followed = subscription_.follow_levels(); !followed) return std::unexpected(followed.error());
    }
    if (wait_ns == 0) return std::unexpected(Error(ErrorCode::would_block, "nothing to claim"));
    if (context_.woken.exchange(false)) return std::unexpected(Error(ErrorCode::would_block, "woken by wake()"));
    if (now_ns >= end_ns) return std::unexpected(Error(ErrorCode::timed_out, "nothing to claim"));
    wait_for_jobs(now_ns, end_ns);
    now_ns = lease_clock_ns();
    count = claiming_.claim(out, most, now_ns);
    if (count != 0) {
      window_.begin_at(now_ns);
      return count;
    }
  }
}

void Participant::Implementation::wait_for_jobs(std::uint64_t now_ns, std::uint64_t end_ns) noexcept {
  for (std::uint64_t spin = 0;; ++spin) {
    if (claiming_.has_work() || context_.woken.load() || subscription_.have_levels_changed()) return;
    __builtin_ia32_pause();
    if (spin % 16 == 15 && lease_clock_ns() - now_ns > spin_ns) break;
  }
  Sleepers sleepers(context_.segment, context_.segment.signals().sleepers);
  const std::uint32_t sequence = sleepers.sequence_of(context_.number);                           // wake.S1
  sleepers.announce(context_.number);                                                             // wake.S2
  if (!claiming_.has_work() && !context_.woken.load() && !subscription_.have_levels_changed()) {  // wake.S3
    const std::uint64_t later_ns = lease_clock_ns();
    if (later_ns < end_ns)
      sleepers.sleep(context_.number, sequence, std::min(end_ns - later_ns, longest_sleep_ns));  // wake.S4
  }
  sleepers.withdraw(context_.number);  // wake.S5
}

Result<Job> Participant::Implementation::claim(Participant& self, std::uint64_t wait_ns) try {
  Result<Job> result;  // the only one, so that it is made where the caller finds it
  Patience patience{.wait_ns = wait_ns};
  while (true) {
    if (window_.is_empty()) {
      if (auto more = claim_in_advance(patience); !more) {
        result = std::unexpected(more.error());
        return result;
      }
    }
    if (hand_out(self, window_.next(), lease_of(*result))) return result;
    if (auto goes_on = go_on_claiming(patience); !goes_on) {
      result = std::unexpected(goes_on.error());
      return result;
    }
  }
} catch (const std::exception& thrown) {  // here and not in the public call, which stays a mere jump
  return std::unexpected(error_of(thrown));
}

Result<void> Participant::Implementation::go_on_claiming(Patience& patience) noexcept {
  const auto give_up = [](ErrorCode code, const char* why) { return std::unexpected(Error(code, why)); };
  if (context_.segment.signals().removed.load() != 0) return give_up(ErrorCode::not_found, "the engine was removed");
  if (context_.woken.exchange(false)) return give_up(ErrorCode::would_block, "woken by wake()");
  const std::uint64_t now_ns = lease_clock_ns();
  if (patience.begin_ns == 0) patience.begin_ns = now_ns;
  if (patience.failures++ == 0) patience.end_ns = later_by(patience.begin_ns, patience.wait_ns);
  if (patience.wait_ns == 0) {  // does not wait, but steps over as many as there can be
    if (patience.failures <= context_.settling.table().capacity() + lease_slots) return {};
    return give_up(ErrorCode::would_block, "nothing to claim");
  }
  if (now_ns >= patience.end_ns) return give_up(ErrorCode::timed_out, "nothing to claim");
  patience.wait_ns = patience.end_ns - now_ns;
  return {};
}

Result<void> Participant::Implementation::claim_in_advance(Patience& patience) {
  const std::uint64_t now_ns = lease_clock_ns();
  if (patience.begin_ns == 0) patience.begin_ns = now_ns;
  const std::uint32_t most = window_.adapt(now_ns);
  if (window_.is_slow()) context_.free_cells.list();
  const auto claimed = claim_some(window_.begin(now_ns), most, now_ns, patience.wait_ns);
  if (!claimed) return std::unexpected(claimed.error());
  window_.fill(*claimed);
  claimed_at_wall_ns_ = wall_clock_ns();
  return {};
}

Result<std::size_t> Participant::Implementation::claim_batch(Participant& self, std::span<Job> out,
                                                             std::uint64_t wait_ns) {
  for (Job& job : out) {
    if (job.held()) static_cast<void>(job.release());
  }
  if (out.empty()) return 0;
  std::array<Claim, most_in_batch> claims;
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), most_in_batch));
  Patience patience{.wait_ns = wait_ns};
  while (true) {
    std::uint32_t count = 0;
    while (!window_.is_empty() && count < most) claims[count++] = window_.next();
    if (count == 0) {
      const std::uint64_t now_ns = lease_clock_ns();
      if (patience.begin_ns == 0) patience.begin_ns = now_ns;
      const auto claimed = claim_some(claims.data(), most, now_ns, patience.wait_ns);
      if (!claimed) return std::unexpected(claimed.error());
      count = *claimed;
      claimed_at_wall_ns_ = wall_clock_ns();
    }
    std::size_t handed_out = 0;
    for (std::uint32_t n = 0; n < count; ++n) {
      if (hand_out(self, claims[n], lease_of(out[handed_out]))) ++handed_out;
    }
    if (handed_out != 0) return handed_out;
    if (auto goes_on = go_on_claiming(patience); !goes_on) return std::unexpected(goes_on.error());
  }
}

inline bool Participant::Implementation::hand_out(Participant& self, const Claim& claim, HeldLease& lease) noexcept {
  const JobTable& table = context_.settling.table();
  const CellHeader& header = table.header(claim.index);
  // ORDER second-look: what is read here belongs to our lease if the word is still ours afterwards.
  const Untrusted payload_bytes = header.payload_bytes.load_once(std::memory_order_acquire);
  const auto kind = header.kind.load_once(std::memory_order_acquire).below(most_kinds);
  const std::uint32_t level = header.level.load_once(std::memory_order_acquire).unbounded();
  const std::uint32_t bytes = payload_bytes.at_most(table.inline_bytes());
  const std::uint32_t attempts = header.attempts.load(std::memory_order_acquire);
  const std::uint16_t flags = header.flags.load(std::memory_order_acquire) & cell_flag::all;
  std::byte* buffer = context_.lease_book.buffer(claim.slot);
  std::span<const std::byte> payload{buffer, bytes};
  if ((flags & cell_flag::in_arena) == 0) {
    table.copy_out(claim.index, buffer, bytes);
  } else if (const auto large = context_.arena.payload_of(job_id_of(claim.word, claim.index))) {
    payload = *large;  // read in place: our lease slot keeps it from being used again
  } else {
    bury_as_damaged(claim, Damage::payload);
    return false;
  }
  if (table.word(claim.index) != claim.word) {  // claim.K6, ORDER second-look
    give_back(claim);
    return false;
  }
  const bool is_cut_short = (flags & cell_flag::in_arena) == 0 && payload_bytes != bytes;
  if (!kind || is_cut_short) [[unlikely]] {
    bury_as_damaged(claim, kind ? Damage::payload : Damage::kind);
    return false;
  }
  std::size_t parents_bytes = 0;
  if ((flags & cell_flag::has_options) != 0) [[unlikely]] {
    if (buried_as_expired(claim)) return false;
    parents_bytes = std::size_t{8} * table.parents(claim.index);
  }
  context_.lease_book.slot(claim.slot)
      .started_at_ns.store(claimed_at_wall_ns_, std::memory_order_relaxed);  // ORDER lease
  Level level_for_users{level};
  if (level >= context_.level_count) [[unlikely]] {
    const auto known = subscription_.runtime_level_of(level);
    if (!known) {
      give_on(claim, level);
      return false;
    }
    level_for_users = *known;
  }
  lease.holder = &self;
  lease.id = job_id_of(claim.word, claim.index);
  lease.word = claim.word.bits();
  lease.payload = payload.subspan(std::min(parents_bytes, payload.size()));
  lease.kind = Kind{*kind};
  lease.level = level_for_users;
  lease.attempt = attempts + 1;
  lease.slot = claim.slot;
  lease.flags = flags;
  if (context_.lease_book.has_concurrency_slot(claim.slot)) [[unlikely]]
    lease.flags |= holds_concurrency_slot;
  return true;
}

void Participant::Implementation::give_back(const Claim& claim) noexcept {
  if (context_.lease_book.has_concurrency_slot(claim.slot)) claiming_.admission().leave(claim.slot, claim.index);
  context_.lease_book.give_back(claim.slot);
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

void Participant::Implementation::release_claim(const Claim& claim) noexcept {
  const std::uint16_t attempts = context_.settling.table()
                                     .header(claim.index)
                                     .attempts.load(std::memory_order_relaxed);  // ORDER relaxed: the swap decides
  if (context_.settling.end(claim.index, claim.word, context_.lease_book.slot(claim.slot),
                            {.outcome = Outcome::requeue, .attempts = attempts}) != Settling::Ended::lost) {
    count_more(context_.entry.released, 1);
  }
  give_back(claim);
}

void Participant::Implementation::give_on(const Claim& claim, std::uint32_t level) noexcept {
  if (context_.segment.has_level(level)) {
    release_claim(claim);  // goes to its level's ring
  } else {
    bury_as_damaged(claim, Damage::level);
  }
}

void Participant::Implementation::release_prefetched() noexcept {
  while (!window_.is_empty()) release_claim(window_.next());
}

}  // namespace ringmill
