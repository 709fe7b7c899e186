// Whether a job that was claimed may begin now, by the rules of its kind; what may not is parked with the keeper.
//
//                                                                                killed just after the step
//   admit.A1  claim the job (core/participant/claiming.h, claim.K4)              it waits again, no attempt counted
//   admit.A2  the kind is paused: park                                           as A1
//   admit.A3  take a token; it is for later: park until then                     as A1, and the token is lost
//   admit.A4  take a permit; none is free: park                                  as A1; the permit is free with the end
//                                                                                of the run
//   admit.P1  park: settle.E1 to settle.E6 of core/table/settling.h, running ->  the reaper goes on, as the lease slot
//             completing -> delayed, with a WaitMark and the time                says: it is parked
//             that it is due (never: the keeper brings it back),
//             marked for the keeper
//   admit.P2  waiting = 1, then look for a free permit; there is                 the reaper's turn looks at all kinds
//             one now: ring the keeper                                           that wait
//
// Only the worker that has claimed a job asks for admission, so each job takes one token, however many workers compete
// for it. A parked job has no hint in a ring: claims do not meet it again, and the jobs behind it are not held up. The
// keeper promotes it (core/keeper/parked.h); the mark says which admissions it has already. The journal does not know
// of parking: it stores such a job as queued.
//
// No free permit is overlooked. The end of a run frees its permit, then reads `waiting`. Parking marks the job, raises
// `waiting`, then reads the permits. All are seq_cst, so at least one of the two rings the keeper, which finds the
// mark.
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
  /// A2 to P2. `now_ns` is the lease clock.
  Verdict judge(const Claim& claim, std::uint64_t now_ns) noexcept;

  /// permit.S3 of core/flow_control/permits.h: the run that held this lease slot is over, for us at least.
  void leave(std::uint32_t lease_slot, CellIndex index) noexcept;

 private:
  void park(const Claim& claim, WaitMark mark, DueTime due) noexcept;

  Settling* settling_;
  LeaseBook* book_;
};

}  // namespace ringmill
