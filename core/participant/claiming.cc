#include "core/participant/claiming.h"

namespace ringmill {

namespace {

/// How far ahead of the claim the cells are fetched into the cache, and the slots whose hints name them.
constexpr std::uint64_t prefetch_distance = 16;
constexpr std::uint64_t slot_prefetch_distance = 48;
/// Below this queue length the enqueuing core probably still has the cells in its caches (measured,
/// docs/decisions/0022).
constexpr std::uint64_t short_queue = 16384;
/// The head is raised this often within a batch, so that other claimers do not walk over what we have taken.
constexpr std::uint32_t raise_every = 16;
/// About 0.1 ms.
constexpr std::uint32_t most_parked_in_a_look = 256;

}  // namespace

Claiming::Front Claiming::look(const Ring& ring, std::uint64_t& position, std::uint64_t& hint,
                               std::uint64_t& steps) const noexcept {
  // Bounded, because the positions of a corrupted ring may send us round for ever.
  for (; steps != 0; --steps) {
    const std::uint64_t word = ring.slot(position);
    switch (ring.turn_of(word, position)) {
      case Ring::Turn::before:
        return Front::empty;
      case Ring::Turn::now:
        hint = Ring::hint_of(word);
        return Front::hint;
      case Ring::Turn::after: {
        const std::uint64_t newer = ring.head();
        position = newer > position ? newer : position + 1;
        break;
      }
    }
  }
  return Front::empty;
}

inline void Claiming::fetch_ahead(const Ring& ring, std::uint64_t position, std::uint64_t& known_tail,
                                  std::uint64_t& fetched) const noexcept {
  if (position >= known_tail) known_tail = ring.tail();
  if (fetched < position) fetched = position;
  for (; fetched < known_tail && fetched < position + prefetch_distance; ++fetched) {
    table_.prefetch_to_claim(JobTable::index_of_hint(ring.slot(fetched)));
    const std::uint64_t slot_ahead = fetched + slot_prefetch_distance;
    if (slot_ahead % Ring::slots_per_line == 0 && slot_ahead < known_tail) ring.prefetch_to_look(slot_ahead);
  }
}

/// Asked after claim.K4 was lost. The job of `seen` may be over by then, and the header another's: then it may have
/// been large.
bool Claiming::may_be_large(CellIndex index, StateWord seen) const noexcept {
  if (settling_->segment().geometry().arena_chunk_count == 0) return false;
  // ORDER second-look: what is read here belongs to the job if its word is still there afterwards.
  const std::uint16_t flags = table_.header(index).flags.load(std::memory_order_acquire);
  return (flags & cell_flag::in_arena) != 0 || table_.word(index).generation() != seen.generation();
}

bool Claiming::try_claim(CellIndex index, StateWord seen, std::uint64_t now_ns, Claim& claim) noexcept {
  const CellHeader& header = table_.header(index);
  // ORDER relaxed: true if the swap below succeeds, because the header changes only together with the word.
  const std::uint32_t own_lease_ms = header.lease_ms.load_once(std::memory_order_relaxed).unbounded();
  const std::uint64_t lease_ms = own_lease_ms != 0 ? own_lease_ms : default_lease_ms_;
  const StateWord claimed = seen.next(CellState::running, settling_->owner());
  claim.slot = book_->next();
  book_->reserve(job_id_of(seen, index), claimed, now_ns + lease_ms * 1'000'000);  // claim.K3
  std::uint64_t expected = seen.bits();
  // ORDER state: acquires the job as it was queued; ORDER lease: releases the slot to the keeper.
  if (!table_.state(index).compare_exchange_strong(expected, claimed.bits(), std::memory_order_acq_rel,
                                                   std::memory_order_relaxed)) {  // claim.K4
    book_->drop_reservation(may_be_large(index, seen));
    return false;
  }
  book_->confirm();
  claim.index = index;
  claim.word = claimed;
  return true;
}

template <bool by_rules>
inline bool Claiming::counts(const Claim& claim, std::uint32_t& count, std::uint32_t& most) noexcept {
  if constexpr (!by_rules) {
    ++count;
    return true;
  } else {
    switch (admission_.judge(claim)) {
      case Admission::Verdict::begins:
        ++count;
        return true;
      case Admission::Verdict::begins_last:
        most = ++count;
        return true;
      case Admission::Verdict::parked:
        break;
    }
    if (--parkings_left_ == 0) most = count;
    return false;
  }
}

std::uint32_t Claiming::claim_by_rules(std::uint32_t rules, Claim* out, std::uint32_t most,
                                       std::uint64_t now_ns) noexcept {
  // A claim that has found nothing yet goes on until the levels are empty, each of them in its turn. Bounded by what
  // the table can hold: what we park may come back.
  for (std::uint32_t turn = 0; turn <= table_.capacity() / most_parked_in_a_look + choice_.count(); ++turn) {
    bool was_cut_short = false;
    std::uint32_t count = 0;
    const std::uint32_t first = choice_.first();
    for (std::uint32_t n = 0; n < choice_.count() && count < most; ++n) {
      const std::uint32_t level = choice_.at(n, first);
      if ((rules & flow_bit::levels) != 0 && admission_.is_paused(level)) continue;
      parkings_left_ = most_parked_in_a_look;
      const std::uint32_t claimed = claim_from<true>(level, out + count, most - count, now_ns);
      count += claimed;
      if (!settling_->is_direct(level)) settling_->call_keeper_if_half_empty(settling_->ring(level));
      was_cut_short = was_cut_short || parkings_left_ == 0;
      if (claimed != 0 && book_->is_limited(out[count - 1].slot)) break;
    }
    if (count != 0 || !was_cut_short) return count;
  }
  return 0;
}

template <bool by_rules>
std::uint32_t Claiming::claim_front(std::uint32_t level, Claim* out, std::uint32_t most,
                                    std::uint64_t now_ns) noexcept {
  Ring& ring = settling_->ring(level);
  std::uint64_t position = ring.head();
  std::uint64_t raised = position;
  std::uint64_t fetched = position;
  std::uint64_t steps = 2 * ring.slot_count() + 64;
  std::uint32_t count = 0;
  while (count < most && !book_->is_full()) {
    std::uint64_t hint = 0;
    if (look(ring, position, hint, steps) == Front::empty) break;  // claim.K1
    fetch_ahead(ring, position, known_tail_[level], fetched);
    const CellIndex index = JobTable::index_of_hint(hint);
    const StateWord word = table_.word(index);
    if (JobTable::matches(word, hint)) {  // claim.K2
      if (!try_claim(index, word, now_ns, out[count])) {
        if (--steps == 0) break;
        continue;
      }
      if (counts<by_rules>(out[count], count, most) && count % raise_every == 0) {
        ring.raise_head(position + 1);
        raised = position + 1;
      }
    }
    ++position;
    if (--steps == 0) break;
  }
  if (position > raised) ring.raise_head(position);  // claim.K5
  // By the tail as fetch_ahead() has read it: reading it again would take its line away from the producers.
  was_queue_short_ = position + short_queue > known_tail_[level];
  return count;
}

template <bool by_rules>
std::uint32_t Claiming::claim_matching(std::uint32_t level, Claim* out, std::uint32_t most,
                                       std::uint64_t now_ns) noexcept {
  Ring& ring = settling_->ring(level);
  std::uint64_t dead_to = ring.head();
  std::uint64_t position = scanned_to_[level] > dead_to ? scanned_to_[level] : dead_to;
  bool all_dead = position == dead_to;  // every hint from the head to here
  std::uint64_t steps = 2 * ring.slot_count() + 64;
  std::uint32_t count = 0;
  while (count < most && !book_->is_full()) {
    std::uint64_t hint = 0;
    if (look(ring, position, hint, steps) == Front::empty) break;  // claim.K1
    const CellIndex index = JobTable::index_of_hint(hint);
    const StateWord word = table_.word(index);
    if (JobTable::matches(word, hint)) {  // claim.K2
      // ORDER relaxed: as in try_claim.
      if (kinds_.has(table_.header(index).kind.load_once(std::memory_order_relaxed))) {
        if (!try_claim(index, word, now_ns, out[count])) {
          if (--steps == 0) break;
          continue;
        }
        counts<by_rules>(out[count], count, most);
      } else {
        // Live, and another claimer's. If the header was read while the cell changed, the hint is dead by now, and
        // stays so.
        all_dead = false;
      }
    }
    ++position;
    if (all_dead) dead_to = position;
    if (--steps == 0) break;
  }
  scanned_to_[level] = position;
  ring.raise_head(dead_to);  // claim.K5
  return count;
}

// For claim(), which stands in the header.
template std::uint32_t Claiming::claim_front<false>(std::uint32_t level, Claim* out, std::uint32_t most,
                                                    std::uint64_t now_ns) noexcept;
template std::uint32_t Claiming::claim_matching<false>(std::uint32_t level, Claim* out, std::uint32_t most,
                                                       std::uint64_t now_ns) noexcept;

bool Claiming::has_work_in(std::uint32_t level) noexcept {
  const Ring& ring = settling_->ring(level);
  std::uint64_t position = ring.head();
  if (!kinds_.is_all() && scanned_to_[level] > position) position = scanned_to_[level];
  std::uint64_t hint = 0;
  std::uint64_t steps = 2 * ring.slot_count() + 64;
  return look(ring, position, hint, steps) == Front::hint;
}

}  // namespace ringmill
