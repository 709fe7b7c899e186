// Jobs that become visible together: those of one Participant::enqueue_together(), and the follow-ups of a job that is
// complete. All of them or none, across any death.
//
// In memory one step decides, then any participant may finish it, in order:
//
//                                                              killed just after the step
//   lead.L1  fill all cells: filling(me); each one's links     the scan after our death frees them
//            name the one to be published before it
//   lead.L2  the leader's id into the own entry's `bundle`.    together: L3 is done by the reaper, for all
//            Together: this decides.
//            Follow-ups: `bundle_after` names their job, and   follow-ups: the reaper does L3 if that job is completing
//            settle.E2 of core/table/settling.h decides        under our number, else the scan frees them
//   lead.L3  for each, the leader last: store its word, mark   again from the leader on, down to the first that is not
//            it for the journal, push its hint or mark it for  filling any more: those beyond have all of it, that one
//            the keeper                                        may lack its mark and its hint
//   lead.L4  clear `bundle`                                    nothing is left
//
// In the journal the leader decides: of those enqueued together it is one of them, the last one; for follow-ups it is
// the job whose completion they came with. Each record of the others names it, and counts only if the journal knows the
// leader (follow-ups: knows that it is over). JournalRounds writes a leader behind everything that was marked before it
// was published, so a reader that finds a leader's record finds those of its bundle; and the keeper frees the leader's
// cell only when its records are durable. A job that ends with follow-ups is marked before settle.E5 as well: one that
// is complete and has no mark is one whose follow-ups the journal has.
#pragma once

#include <cstdint>

#include "core/table/settling.h"

namespace ringmill {

/// L3 for one job: from `filling`, owned by the dead or by the caller, to what its cell says that it waits for.
/// False: another word stands there.
bool publish_filled(Settling& settling, CellIndex index, StateWord filling) noexcept;

/// L3 and L4 for what `entry`, whose participant has the number `owner` - 1, has decided: the participant itself, or
/// its reaper when it is dead. Allocates.
void publish_bundle(Settling& settling, ParticipantEntry& entry, std::uint32_t owner) noexcept;

/// Whether the death of `entry`'s participant has left a bundle that was decided and may not be published.
bool has_decided_bundle(const JobTable& table, const ParticipantEntry& entry, std::uint32_t owner) noexcept;

}  // namespace ringmill
