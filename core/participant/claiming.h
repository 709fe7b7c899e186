// Claiming: from the front of a ring to a lease.
//
//                                                                   killed just after the step
//   claim.K1  read the front of a ring: a hint                      nothing happened
//   claim.K2  look at the hint's cell: not queued, or another       the hint is dead: all step over it
//             generation: step over, again from K1
//   claim.K3  write id, deadline, version into an own lease slot    a slot that names a word which never came: ignored
//   claim.K4  CAS the cell: queued -> running(me); lost: clear the  the slot names the word: reaped at once, it waits
//             slot (core/table/lease_book.h), go on                 again
//   claim.K5  raise the ring's head over what is dead now           the next claimer steps over it (ring.C2)
//             (where kinds are paused or limited, what may not
//             begin is parked here: core/flow_control/admission.h)
//   claim.K6  copy the payload, look at the word again              as K4. A lease that was revoked meanwhile is
//                                                                   dropped: the copy may be torn (hazard 5
//                                                                   in docs/hazards.md)
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/flow_control/admission.h"
#include "core/participant/level_choice.h"
#include "core/table/lease_book.h"
#include "core/table/settling.h"

namespace ringmill {

/// Kinds that are claimed; empty means all.
class KindSet {
 public:
  void add(std::uint32_t kind) noexcept {
    if (kind < most_kinds) bits_[kind / 64] |= std::uint64_t{1} << (kind % 64);
    is_all_ = false;
  }
  bool is_all() const noexcept { return is_all_; }
  bool has(Untrusted<std::uint16_t> kind) const noexcept {
    const auto known = kind.below(most_kinds);
    return known && (bits_[*known / 64] >> (*known % 64) & 1) != 0;
  }

 private:
  std::array<std::uint64_t, most_kinds / 64> bits_{};
  bool is_all_ = true;
};

class Claiming {
 public:
  Claiming(Settling& settling, LeaseBook& book, std::uint32_t default_lease_ms)
      : settling_(&settling),
        table_(settling.table()),
        book_(&book),
        admission_(settling, book),
        default_lease_ms_(default_lease_ms) {}

  /// `level_numbers`: of the engine. Costs an allocation.
  void subscribe(LevelChoice choice, const KindSet& kinds, std::uint32_t level_numbers) {
    choice_ = std::move(choice);
    kinds_ = kinds;
    scanned_to_.assign(level_numbers, 0);
    most_turns_ = turns_over_all_rings();
    known_tail_.resize(level_numbers, 0);
  }

  /// K1 to K5 over the subscribed levels. `now_ns` is the lease clock. Returns how many claims were written to `out`.
  std::uint32_t claim(Claim* out, std::uint32_t most, std::uint64_t now_ns) noexcept {
    const std::uint32_t rules = admission_.rules();
    if (rules != 0 || !kinds_.is_all()) [[unlikely]]
      return claim_in_turns(rules, out, most, now_ns);
    std::uint32_t count = 0;
    const std::uint32_t first = choice_.first();
    for (std::uint32_t n = 0; n < choice_.count() && count < most; ++n) {
      const std::uint32_t level = choice_.at(n, first);
      count += claim_front<false>(level, out + count, most - count, now_ns);
      if (!settling_->is_direct(level)) [[unlikely]]
        settling_->call_keeper_if_half_empty(settling_->ring(level));
    }
    return count;
  }

  /// True when a claim would find something, or may. What a sleeper asks in wake.S3.
  bool has_work() noexcept {
    const bool some_pause = (admission_.rules() & flow_bit::levels) != 0;
    for (std::uint32_t n = 0; n < choice_.count(); ++n) {
      const std::uint32_t level = choice_.at(n, 0);
      if (!(some_pause && admission_.is_paused(level)) && has_work_in(level)) return true;
    }
    return false;
  }
  /// Before a sleep, after wake.S2: jobs of the kinds that are claimed may stand in an overflow queue behind those of
  /// others. The keeper looks for them now (over.F4).
  void call_keeper_for_own_kinds() noexcept;
  /// Whether few jobs waited behind those of the last claim, as far as is known: their cells are still in the caches of
  /// the enqueuing cores.
  bool was_queue_short() const noexcept { return was_queue_short_; }
  Admission& admission() noexcept { return admission_; }

 private:
  /// What stands at a position of the ring; moves the position on where our view is old.
  enum class Front { empty, hint };
  Front look(const Ring& ring, std::uint64_t& position, std::uint64_t& hint, std::uint64_t& steps) const noexcept;

  /// The same where something is paused or limited, or only some kinds are claimed. Levels that are paused are passed
  /// over. A look at a level is bounded: it parks so many jobs that may not begin, or walks over so many of other
  /// kinds. What the walk has left then comes after another look at the levels that are more urgent.
  [[gnu::noinline]] std::uint32_t claim_in_turns(std::uint32_t rules, Claim* out, std::uint32_t most,
                                                 std::uint64_t now_ns) noexcept;
  /// One look at a level.
  std::uint32_t look_at_level(std::uint32_t rules, std::uint32_t level, Claim* out, std::uint32_t most,
                              std::uint64_t now_ns) noexcept;
  /// Whether the walk over a ring goes on after a claim. `by_rules`: the claim is judged first, and counted if the job
  /// begins. Else it counts.
  template <bool by_rules>
  bool counts(const Claim& claim, std::uint32_t& count, std::uint32_t& most) noexcept;
  template <bool by_rules>
  std::uint32_t claim_front(std::uint32_t level, Claim* out, std::uint32_t most, std::uint64_t now_ns) noexcept;
  /// Fetches cells and slots that will be needed next, but none beyond the tail as we know it: there the producers
  /// write, and a look would take their lines away from them.
  template <bool claims_all>
  void fetch_ahead(const Ring& ring, std::uint64_t position, std::uint64_t& known_tail,
                   std::uint64_t& fetched) const noexcept;
  /// A walk over a ring in search of some kinds.
  struct Walk {
    std::uint64_t position = 0;
    std::uint64_t dead_to = 0;  // every hint from the head to here is dead
    std::uint64_t fetched = 0;
    std::uint64_t steps = 0;  // that are left
    CellIndex index = 0;      // of the job that was found
    StateWord word{};
  };
  Walk begin_walk(std::uint32_t level, const Ring& ring) const noexcept;
  /// K1 and K2, to the first job that waits and is of a kind that is claimed. False: there is none, or no step is left.
  bool walk_on(std::uint32_t level, const Ring& ring, Walk& walk) noexcept;
  template <bool by_rules>
  std::uint32_t claim_matching(std::uint32_t level, Claim* out, std::uint32_t most, std::uint64_t now_ns) noexcept;
  bool has_work_in(std::uint32_t level) noexcept;
  bool has_matching_in(std::uint32_t level) noexcept;

  [[gnu::noinline]] bool may_be_large(CellIndex index, StateWord seen) const noexcept;
  /// K3 and K4. False: the word was not `seen` any more.
  bool try_claim(CellIndex index, StateWord seen, std::uint64_t now_ns, Claim& claim) noexcept;

  /// The turns of claim_in_turns() in which each ring is walked over once, and all jobs of the table are parked.
  std::uint64_t turns_over_all_rings() noexcept;

  Settling* settling_;
  JobTable table_;
  LeaseBook* book_;
  Admission admission_;
  std::uint32_t default_lease_ms_;
  /// By rules: how many jobs may still be parked before the walk gives the other levels a turn.
  std::uint32_t parkings_left_ = 0;
  bool was_walk_cut_short_ = false;  // the last one
  std::uint64_t most_turns_ = 0;
  bool was_queue_short_ = true;
  LevelChoice choice_;
  KindSet kinds_;
  /// With a filter: every hint below was dead or of another kind when we passed. Kinds do not change and jobs that come
  /// back get a new hint, so no claimer needs to look there again.
  std::vector<std::uint64_t> scanned_to_;
  /// The last tail that we saw: read again only when we come there, because the producers write it all the time.
  std::vector<std::uint64_t> known_tail_;
};

}  // namespace ringmill
