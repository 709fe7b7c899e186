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
/// Hints that a claimer of some kinds passes before it looks at the more urgent levels again: 10 to 50 us.
constexpr std::uint64_t most_passed_in_a_look = 1024;

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

template <bool claims_all>
inline void Claiming::fetch_ahead(const Ring& ring, std::uint64_t position, std::uint64_t& known_tail,
                                  std::uint64_t& fetched) const noexcept {
  if (position >= known_tail) known_tail = ring.tail();
  if (fetched < position) fetched = position;
  for (; fetched < known_tail && fetched < position + prefetch_distance; ++fetched) {
    const CellIndex index = JobTable::index_of_hint(ring.slot(fetched));
    claims_all ? table_.prefetch_to_claim(index) : table_.prefetch_to_look(index);
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

std::uint64_t Claiming::turns_over_all_rings() noexcept {
  std::uint64_t turns = table_.capacity() / most_parked_in_a_look + 1;
  for (std::uint32_t n = 0; n < choice_.count(); ++n) {
    turns += 2 * settling_->ring(choice_.at(n, 0)).slot_count() / most_passed_in_a_look + 1;
  }
  return turns;
}

std::uint32_t Claiming::look_at_level(std::uint32_t rules, std::uint32_t level, Claim* out, std::uint32_t most,
                                      std::uint64_t now_ns) noexcept {
  parkings_left_ = most_parked_in_a_look;
  was_walk_cut_short_ = false;
  std::uint32_t count = 0;
  if (kinds_.is_all()) {
    count = claim_front<true>(level, out, most, now_ns);
  } else if (rules != 0) {
    count = claim_matching<true>(level, out, most, now_ns);
  } else {
    count = claim_matching<false>(level, out, most, now_ns);
  }
  if (!settling_->is_direct(level)) settling_->call_keeper_if_half_empty(settling_->ring(level));
  return count;
}

std::uint32_t Claiming::claim_in_turns(std::uint32_t rules, Claim* out, std::uint32_t most,
                                       std::uint64_t now_ns) noexcept {
  // A claim that has found nothing yet goes on until the levels are empty. Bounded: what we park may come back, and
  // others may fill a ring as fast as we walk.
  bool by_urgency = false;
  for (std::uint64_t turn = 0; turn <= most_turns_; ++turn) {
    bool was_cut_short = false;
    std::uint32_t count = 0;
    const std::uint32_t first = by_urgency ? 0 : choice_.first();
    for (std::uint32_t n = 0; n < choice_.count() && count < most; ++n) {
      const std::uint32_t level = choice_.at(n, first);
      if ((rules & flow_bit::levels) != 0 && admission_.is_paused(level)) continue;
      const std::uint32_t claimed = look_at_level(rules, level, out + count, most - count, now_ns);
      count += claimed;
      was_cut_short = was_cut_short || parkings_left_ == 0 || was_walk_cut_short_;
      if (claimed != 0 && book_->is_limited(out[count - 1].slot)) break;
      by_urgency = was_walk_cut_short_;
      if (by_urgency) break;
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
    fetch_ahead<true>(ring, position, known_tail_[level], fetched);
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

Claiming::Walk Claiming::begin_walk(std::uint32_t level, const Ring& ring) const noexcept {
  const std::uint64_t head = ring.head();
  const std::uint64_t position = scanned_to_[level] > head ? scanned_to_[level] : head;
  return {.position = position, .dead_to = head, .fetched = position, .steps = most_passed_in_a_look};
}

bool Claiming::walk_on(std::uint32_t level, const Ring& ring, Walk& walk) noexcept {
  for (; walk.steps != 0; --walk.steps) {
    const std::uint64_t before = walk.position;
    std::uint64_t hint = 0;
    if (look(ring, walk.position, hint, walk.steps) == Front::empty) return false;  // claim.K1
    if (walk.dead_to == before) walk.dead_to = walk.position;
    fetch_ahead<false>(ring, walk.position, known_tail_[level], walk.fetched);
    walk.index = JobTable::index_of_hint(hint);
    walk.word = table_.word(walk.index);
    const bool is_dead = !JobTable::matches(walk.word, hint);  // claim.K2
    // ORDER relaxed: as in try_claim.
    if (!is_dead && kinds_.has(table_.header(walk.index).kind.load_once(std::memory_order_relaxed))) return true;
    // Dead, or live and another claimer's. If the header was read while the cell changed, the hint is dead by now, and
    // stays so.
    if (is_dead && walk.dead_to == walk.position) ++walk.dead_to;
    ++walk.position;
  }
  return false;
}

template <bool by_rules>
std::uint32_t Claiming::claim_matching(std::uint32_t level, Claim* out, std::uint32_t most,
                                       std::uint64_t now_ns) noexcept {
  Ring& ring = settling_->ring(level);
  Walk walk = begin_walk(level, ring);
  std::uint32_t count = 0;
  while (count < most && !book_->is_full() && walk_on(level, ring, walk)) {
    --walk.steps;
    if (!try_claim(walk.index, walk.word, now_ns, out[count])) continue;
    counts<by_rules>(out[count], count, most);
    if (walk.dead_to == walk.position) ++walk.dead_to;
    ++walk.position;
  }
  scanned_to_[level] = walk.position;
  ring.raise_head(walk.dead_to);  // claim.K5
  was_walk_cut_short_ = walk.steps == 0;
  return count;
}

// For claim(), which stands in the header.
template std::uint32_t Claiming::claim_front<false>(std::uint32_t level, Claim* out, std::uint32_t most,
                                                    std::uint64_t now_ns) noexcept;

bool Claiming::has_work_in(std::uint32_t level) noexcept {
  if (!kinds_.is_all()) return has_matching_in(level);
  const Ring& ring = settling_->ring(level);
  std::uint64_t position = ring.head();
  std::uint64_t hint = 0;
  std::uint64_t steps = 2 * ring.slot_count() + 64;
  return look(ring, position, hint, steps) == Front::hint;
}

bool Claiming::has_matching_in(std::uint32_t level) noexcept {
  Ring& ring = settling_->ring(level);
  Walk walk = begin_walk(level, ring);
  // What is walked over here need not be again. So a claimer can sleep while jobs of other kinds come and go.
  const bool has_found = walk_on(level, ring, walk);
  scanned_to_[level] = walk.position;
  ring.raise_head(walk.dead_to);  // claim.K5
  return has_found || walk.steps == 0;
}

void Claiming::call_keeper_for_own_kinds() noexcept {
  if (kinds_.is_all()) return;
  for (std::uint32_t n = 0; n < choice_.count(); ++n) {
    if (settling_->is_direct(choice_.at(n, 0))) continue;
    if (settling_->segment().keeper_marks().call()) ring_keeper(settling_->segment());
    return;
  }
}

}  // namespace ringmill
