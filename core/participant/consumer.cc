#include "core/participant/consumer.h"

#include <algorithm>

#include "core/base/exceptions.h"
#include "core/table/expiry.h"
#include "core/table/wait_begin.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "ipc/pause.h"
#include "ipc/sleepers.h"

namespace ringmill {

namespace {

Error holds_the_most() noexcept {
  return Error(ErrorCode::would_block, "this participant holds 64 jobs, which is the most: settle some");
}

}  // namespace

Result<void> Consumer::subscribe(const ClaimOptions& options) {
  if (options.prefetch < 1 || options.prefetch > lease_slots) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "prefetch is 1 to 64"));
  }
  if (auto subscribed = subscription_.subscribe(options); !subscribed) return subscribed;
  release_prefetched();
  window_.restart(options.prefetch);
  subscribed_ = true;
  return {};
}

Result<Job> Consumer::claim(Participant& self, std::uint64_t wait_ns) try {
  Result<Job> result;  // the only one, so that it is made where the caller finds it
  Patience patience{.wait_ns = wait_ns};
  if (context_.leases_may_be_taken) [[unlikely]]
    secure_window();
  while (true) {
    if (window_.is_empty()) {
      if (auto more = claim_in_advance(patience); !more) {
        result = std::unexpected(more.error());
        return result;
      }
    }
    HeldLease& lease = lease_of(*result);
    if (hand_out(self, window_.next(), lease)) {
      if (context_.sampler.pass(1) == 0) [[unlikely]]
        begin_timing(lease);
      return result;
    }
    if (auto goes_on = go_on_claiming(patience); !goes_on) {
      result = std::unexpected(goes_on.error());
      return result;
    }
  }
} catch (const std::exception& thrown) {  // here and not in the public call, which stays a mere jump
  return std::unexpected(error_of(thrown));
}

Result<void> Consumer::claim_in_advance(Patience& patience) {
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

Result<std::size_t> Consumer::claim_batch(Participant& self, std::span<Job> out, std::uint64_t wait_ns) {
  for (Job& job : out) {
    if (job.held()) static_cast<void>(job.release());
  }
  if (out.empty()) return 0;
  std::array<Claim, Participant::most_in_batch> claims;
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), Participant::most_in_batch));
  Patience patience{.wait_ns = wait_ns};
  if (context_.leases_may_be_taken) [[unlikely]]
    secure_window();
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
    std::uint64_t timed = context_.sampler.pass(count);
    for (std::uint32_t n = 0; n < count; ++n) {
      HeldLease& lease = lease_of(out[handed_out]);
      if (!hand_out(self, claims[n], lease)) continue;
      ++handed_out;
      if (n < timed) [[likely]]
        continue;
      begin_timing(lease);
      timed = n + 1 + context_.sampler.pass(count - n - 1);
    }
    if (handed_out != 0) return handed_out;
    if (auto goes_on = go_on_claiming(patience); !goes_on) return std::unexpected(goes_on.error());
  }
}

Result<std::uint32_t> Consumer::claim_some(Claim* out, std::uint32_t most, std::uint64_t now_ns,
                                           std::uint64_t wait_ns) {
  if (!subscribed_) {
    if (auto subscribed = subscribe({}); !subscribed) return std::unexpected(subscribed.error());
  }
  if (context_.lease_book.is_full()) {
    return std::unexpected(holds_the_most());
  }
  if (subscription_.have_levels_changed()) [[unlikely]] {
    if (auto followed = subscription_.follow_levels(); !followed) return std::unexpected(followed.error());
  }
  for (std::uint32_t n = window_.pauses_to_gather(most); n != 0; --n) pause_while_spinning();
  count_busy(now_ns);
  std::uint32_t count = claiming_.claim(out, most, now_ns);
  window_.note_found(count);
  if (count != 0) {
    busy_since_ns_ = now_ns;
    return count;
  }
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
      busy_since_ns_ = now_ns;
      return count;
    }
  }
}

inline void Consumer::count_busy(std::uint64_t now_ns) noexcept {
  if (busy_since_ns_ == 0) return;
  count_more(context_.entry.busy_ns, now_ns - busy_since_ns_);
  busy_since_ns_ = 0;
}

Result<std::optional<BegunWait>> Consumer::begin_wait() {
  if (!subscribed_) {
    if (auto subscribed = subscribe({}); !subscribed) return std::unexpected(subscribed.error());
  }
  if (subscription_.have_levels_changed()) [[unlikely]] {
    if (auto followed = subscription_.follow_levels(); !followed) return std::unexpected(followed.error());
  }
  if (auto goes_on = context_.check_wait(); !goes_on) return std::unexpected(goes_on.error());
  if (context_.lease_book.is_full()) return std::unexpected(holds_the_most());
  context_.free_cells.list();
  end_wait(true);
  Sleepers sleepers(context_.segment, context_.segment.signals().sleepers);
  const BegunWait begun{sleepers.sequence_of(context_.number)};  // wake.S1
  sleepers.announce(context_.number);                            // wake.S2
  wait_is_begun_ = true;
  const bool may_claim = !window_.is_empty() || claiming_.has_work() || subscription_.have_levels_changed();
  if (!may_claim && !context_.woken.load()) {  // wake.S3
    claiming_.call_keeper_for_own_kinds();
    return begun;
  }
  end_wait(true);
  return std::nullopt;
}

void Consumer::end_wait(bool claims) noexcept {
  if (!wait_is_begun_) return;
  wait_is_begun_ = false;
  Sleepers sleepers(context_.segment, context_.segment.signals().sleepers);
  const bool was_woken = !sleepers.withdraw(context_.number);  // wake.S5
  if (was_woken && !claims) context_.pass_on_wake();
}

void Consumer::wait_for_jobs(std::uint64_t now_ns, std::uint64_t end_ns) noexcept {
  end_wait(true);
  for (std::uint64_t spin = 0;; ++spin) {
    if (claiming_.has_work() || context_.woken.load() || subscription_.have_levels_changed()) return;
    pause_while_spinning();
    if (spin % 16 == 15 && lease_clock_ns() - now_ns > spin_ns) break;
  }
  Sleepers sleepers(context_.segment, context_.segment.signals().sleepers);
  const std::uint32_t sequence = sleepers.sequence_of(context_.number);                           // wake.S1
  sleepers.announce(context_.number);                                                             // wake.S2
  if (!claiming_.has_work() && !context_.woken.load() && !subscription_.have_levels_changed()) {  // wake.S3
    const std::uint64_t later_ns = lease_clock_ns();
    if (later_ns < end_ns) {
      claiming_.call_keeper_for_own_kinds();
      const Away away(context_);
      sleepers.sleep(context_.number, sequence, std::min(end_ns - later_ns, longest_sleep_ns));  // wake.S4
    }
    context_.sampler.restart();
  }
  sleepers.withdraw(context_.number);  // wake.S5
}

Result<void> Consumer::go_on_claiming(Patience& patience) noexcept {
  const auto give_up = [](ErrorCode code, const char* why) { return std::unexpected(Error(code, why)); };
  if (context_.segment.signals().removed.load() != 0) return give_up(ErrorCode::not_found, "the engine was removed");
  if (context_.woken.exchange(false)) return give_up(ErrorCode::would_block, "woken by wake()");
  const std::uint64_t now_ns = lease_clock_ns();
  if (patience.begin_ns == 0) patience.begin_ns = now_ns;
  if (patience.failures++ == 0) patience.end_ns = later_by(patience.begin_ns, patience.wait_ns);
  if (patience.wait_ns == 0) {  // does not wait, but steps over as many as there can be
    if (patience.failures <= table_.capacity() + lease_slots) return {};
    return give_up(ErrorCode::would_block, "nothing to claim");
  }
  if (now_ns >= patience.end_ns) return give_up(ErrorCode::timed_out, "nothing to claim");
  patience.wait_ns = patience.end_ns - now_ns;
  return {};
}

inline bool Consumer::hand_out(Participant& self, const Claim& claim, HeldLease& lease) noexcept {
  LeaseBook& book = context_.lease_book;
  RINGMILL_INVARIANT(!is_held(lease) && book.is_held(claim.slot));  // one Job for each lease
  const CellHeader& header = table_.header(claim.index);
  // ORDER second-look: what is read here belongs to our lease if the word is still ours afterwards.
  const Untrusted payload_bytes = header.payload_bytes.load_once(std::memory_order_acquire);
  const auto kind = header.kind.load_once(std::memory_order_acquire).below(most_kinds);
  const std::uint32_t level = header.level.load_once(std::memory_order_acquire).unbounded();
  const std::uint32_t bytes = payload_bytes.at_most(table_.inline_bytes());
  const std::uint32_t attempts = header.attempts.load(std::memory_order_acquire);
  const std::uint16_t flags = header.flags.load(std::memory_order_acquire) & cell_flag::all;
  std::byte* buffer = book.buffer(claim.slot);
  std::span<const std::byte> payload{buffer, bytes};
  if ((flags & cell_flag::in_arena) == 0) {
    table_.copy_out(claim.index, buffer, bytes);
  } else if (const auto large = context_.arena.payload_of(job_id_of(claim.word, claim.index))) {
    payload = *large;  // read in place: our lease slot keeps it from being used again
  } else {
    bury_as_damaged(claim, Damage::payload);
    return false;
  }
  if (table_.word(claim.index) != claim.word) {  // claim.K6, ORDER second-look
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
    parents_bytes = std::size_t{8} * table_.parents(claim.index);
  }
  std::uint16_t permit_flag = 0;
  if (book.is_limited(claim.slot)) [[unlikely]] {
    if (!claiming_.admission().begin(claim)) return false;
    if (book.has_permit(claim.slot)) permit_flag = holds_permit;
  }
  book.slot(claim.slot).started_at_ns.store(claimed_at_wall_ns_, std::memory_order_relaxed);  // ORDER lease
  Level level_for_users = context_.handles.level(level);
  if (level >= level_count_) [[unlikely]] {
    const auto known = subscription_.dynamic_level_of(level);
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
  lease.kind = context_.handles.kind(*kind);
  lease.level = level_for_users;
  lease.attempt = attempts + 1;
  lease.slot = claim.slot;
  lease.flags = flags | permit_flag;
  return true;
}

void Consumer::begin_timing(HeldLease& lease) noexcept {
  const std::uint64_t now_ns = lease_clock_ns();
  const std::uint64_t weight = context_.sampler.begin(lease.slot, now_ns);
  lease.flags |= is_timed;
  const auto wait = wait_of(lease, now_ns);
  if (!wait) return;
  DurationCounts& histogram = waits_of_level(context_.segment, level_number(context_.handles.value_of(lease.level)));
  if (*wait < 0) histogram.below_zero.fetch_add(weight, std::memory_order_relaxed);  // ORDER relaxed: a count
  record_duration(histogram, static_cast<std::uint64_t>(std::max<std::int64_t>(*wait, 0)), weight);
}

std::optional<std::int64_t> Consumer::wait_of(const HeldLease& lease, std::uint64_t now_ns) const noexcept {
  // The claim was one transition of the word.
  const auto begin = wait_begin(table_, index_of(lease.id), StateWord(lease.word).version() - 1);
  if (!begin) return std::nullopt;
  return static_cast<std::int64_t>((begin->is_wall ? claimed_at_wall_ns_ : now_ns) - begin->ns);
}

bool Consumer::buried_as_expired(const Claim& claim) noexcept {
  const std::uint64_t expires_ms = expires_at_ms(table_, claim.index);
  if (expires_ms == 0 || exact_wall_clock_ns() / 1'000'000 < expires_ms) return false;
  const Ending ending{.outcome = Outcome::bury, .cause = DeathCause::expired};
  context_.list_if_free(claim.index,
                        context_.settling.end(claim.index, claim.word, context_.lease_book.slot(claim.slot), ending));
  give_back(claim);
  return true;
}

void Consumer::bury_as_damaged(const Claim& claim, Damage damage) noexcept {
  const CellHeader& header = table_.header(claim.index);
  const Ending ending{.outcome = Outcome::bury,
                      .attempts = header.attempts.load(),
                      .cause = DeathCause::failed,
                      .text = sentence_of(damage)};
  context_.list_if_free(claim.index,
                        context_.settling.end(claim.index, claim.word, context_.lease_book.slot(claim.slot), ending));
  give_back(claim);
}

void Consumer::give_on(const Claim& claim, std::uint32_t level) noexcept {
  if (context_.segment.has_level(level)) {
    release_claim(claim);  // goes to its level's ring
  } else {
    bury_as_damaged(claim, Damage::level);
  }
}

void Consumer::release_claim(const Claim& claim) noexcept {
  const std::uint16_t attempts =
      table_.header(claim.index).attempts.load(std::memory_order_relaxed);  // ORDER relaxed: the swap decides
  if (context_.settling.end(claim.index, claim.word, context_.lease_book.slot(claim.slot),
                            {.outcome = Outcome::requeue, .attempts = attempts}) != Settling::Ended::lost) {
    count_more(context_.entry.released, 1);
  }
  give_back(claim);
}

void Consumer::secure_window() noexcept {
  context_.leases_may_be_taken = false;
  window_.keep_if([this](Claim& claim) { return secure(claim); });
}

bool Consumer::secure(Claim& claim) noexcept {
  const StateWord secured = claim.word.next(CellState::running, context_.settling.owner());
  std::uint64_t expected = claim.word.bits();
  // ORDER state: nothing in the cell is read or written here.
  if (!table_.state(claim.index)
           .compare_exchange_strong(expected, secured.bits(), std::memory_order_acq_rel, std::memory_order_relaxed)) {
    give_back(claim);
    return false;
  }
  // After the swap, as an extension does: a note may be one version behind.
  context_.lease_book.slot(claim.slot)
      .note.store(LeaseNote{Outcome::complete, 0, static_cast<std::uint16_t>(secured.version())}.bits(),
                  std::memory_order_relaxed);
  claim.word = secured;
  return true;
}

void Consumer::give_back(const Claim& claim) noexcept {
  if (context_.lease_book.has_permit(claim.slot)) claiming_.admission().leave(claim.slot, claim.index);
  context_.lease_book.give_back(claim.slot);
}

void Consumer::release_prefetched() noexcept {
  while (!window_.is_empty()) release_claim(window_.next());
}

void Consumer::release_forgotten() noexcept {
  for (std::uint32_t n = 0; n < lease_slots; ++n) {
    const JobId id(context_.lease_book.slot(n).job_id.load());
    if (!id || !context_.lease_book.is_held(n) || index_of(id) >= table_.capacity()) continue;
    const std::uint64_t version = LeaseNote::of(context_.lease_book.slot(n).note.load()).version;
    const StateWord word = StateWord::make(generation_of(id), context_.settling.owner(), CellState::running, version);
    release_claim({index_of(id), n, word});
  }
}

}  // namespace ringmill
