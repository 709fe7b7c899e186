// Whether a job that was claimed may begin now, by the rules of its kind; what may not is parked with the keeper.
//
//                                                                                killed just after the step
//   admit.A1  claim the job (core/participant/claiming.h, claim.K4)              it waits again, no attempt counted
//   admit.A2  the kind is paused: park                                           as A1
//   admit.A3  others of its kind wait for a token, or there is none: park        as A1
//   admit.A4  take a permit; none is free: park                                  as A1; the permit is free with the end
//                                                                                of the run
//   admit.A5  (when the job begins) take a token; there is none: leave the       as A1, and the token is lost
//             permit, park
//   admit.P1  park: settle.E1 to settle.E6 of core/table/settling.h, running ->  the reaper goes on, as the lease slot
//             completing -> delayed, with a WaitMark and the time                says: it is parked
//             that the keeper looks at it, marked for the keeper
//   admit.P2  waiting = 1, then look for a free permit, or a token; there is     the reaper's turn looks at all kinds
//             one now: ring the keeper                                           that wait
//
// Only the worker that has claimed a job asks for admission, however many workers compete for it. A token is taken at
// the moment when the job is handed out, after its wait in the worker: A3 only looks. So what begins is bounded in any
// span of time, also after a stall. A parked job has no hint in a ring: claims do not meet it again, and the jobs
// behind it are not held up. The keeper promotes it (core/keeper/parked.h); the mark says that it is one of those that
// came before. The journal does not know of parking: it stores such a job as queued.
//
// No free permit is overlooked. The end of a run frees its permit, then reads `waiting`. Parking marks the job, raises
// `waiting`, then reads the permits. All are seq_cst, so at least one of the two rings the keeper, which finds the
// mark. Tokens come by time, for which the keeper wakes (core/keeper/parked.h); a job that begins rings, too, because
// the keeper does not promote the next one before.
#pragma once

#include <cstdint>

#include "core/table/lease_book.h"
#include "core/table/settling.h"
#include "ipc/segment.h"
#include "ipc/wait_mark.h"

namespace ringmill {

class Admission {
 public:
  Admission(Settling& settling, LeaseBook& book) noexcept : settling_(&settling), book_(&book) {}

  /// Returns the bits of flow_bit; 0: there are no rules.
  std::uint32_t rules() const noexcept { return settling_->segment().signals().flow.load(); }
  bool is_paused(std::uint32_t level) const noexcept {
    return settling_->segment().level(level).paused_since_ns.load() != 0;
  }

  enum class Verdict : std::uint8_t {
    begins,
    begins_last,  // it has a permit: nothing more is claimed in advance, others may take the next one
    parked,       // the lease is given back
  };
  /// A2 to A4, P1 and P2.
  Verdict judge(const Claim& claim) noexcept;
  /// A5, of a job with LeaseBook::is_limited(). Returns false if the job was parked, and the lease given back.
  bool begin(const Claim& claim) noexcept;

  /// permit.S3 of core/flow_control/permits.h: the run that held this lease slot is over, for us at least.
  void leave(std::uint32_t lease_slot, CellIndex index) noexcept;

 private:
  void park(const Claim& claim, WaitMark::Reason reason, DueTime due) noexcept;
  /// Parks a job for lack of a token, which it may try to take again at `due_ns`.
  void park_for_token(const Claim& claim, KindRule& rule, std::uint64_t due_ns) noexcept;

  Settling* settling_;
  LeaseBook* book_;
};

}  // namespace ringmill
