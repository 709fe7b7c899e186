// Jobs that a participant has claimed in advance, and does not come to begin: its handler is slow. While another
// participant sleeps that claims such jobs, the keeper takes them back, and that one gets them.
//
// A participant hands such a job out without a swap, so a swap alone would not tell whether it has begun. But a handler
// runs outside of all calls, and each call begins a visit (ipc/visits.h):
//
//   the keeper                                              a participant
//   back.T1  the visit is even, as at the look before:
//            note its leases that have not begun, with      its visit becomes odd (visit.V1)
//            the words of their cells                       chunks_left has changed (visit.V2): swap each word of
//   back.T2  change chunks_left, then a barrier in every    what is claimed in advance to the next version; lost: the
//            process                                        job was taken back (Consumer::secure())
//   back.T3  the visit is still as in T1, or no more        then it hands out what is left
//   back.T4  end the run as a release does, if the word is
//            still as in T1
//
// Either the participant's visit.V1 comes before the barrier, and back.T3 sees it; or its visit.V2 comes after, and its
// swap and that of back.T4 decide. Killed after any of these steps: nothing is left to repair.
#pragma once

#include <cstdint>
#include <vector>

#include "core/keeper/reaper.h"
#include "ipc/segment.h"

namespace ringmill {

class TakingBack {
 public:
  TakingBack(const Segment& segment, Reaper& reaper) noexcept : segment_(&segment), reaper_(&reaper) {}

  /// One look: T1 to T4. Only what did not move since the look before counts, so looks some 10 ms apart.
  void look();

  // The parts of a look.
  /// T1. Returns false if there is nothing to take back.
  bool find();
  /// T2. Returns false where the kernel makes no barriers.
  bool announce() noexcept;
  /// T3 and T4. Returns how many were taken back.
  std::uint32_t take() noexcept;

 private:
  /// What a sleeper claims: bits, as in ParticipantEntry.
  struct Interest {
    bool any_kind = false;
    std::uint64_t levels = 0;
    std::uint64_t kinds = 0;
  };
  struct Unbegun {
    std::uint32_t number = 0;
    std::uint64_t visit = 0;
    CellIndex index = 0;
    StateWord word{};
  };

  void note_sleepers();
  bool is_wanted(CellIndex index) const noexcept;
  void find_of(std::uint32_t number, std::uint64_t visit);

  const Segment* segment_;
  Reaper* reaper_;
  std::vector<std::uint64_t> visits_;  // of the look before, by number; odd: not known
  std::vector<Interest> sleepers_;
  std::vector<Unbegun> unbegun_;
};

}  // namespace ringmill
