// Jobs that wait with the keeper because of the rules of their kind (core/flow_control/admission.h), and how they come
// back. Private memory of the keeper: hints, found again by a pass over the table. An entry is believed only if its
// cell still says that it is parked.
//
//                                                                killed just after the step
//   park.Q1  a parked job's mark, or a scan: note it             the next keeper's first scan finds it
//   park.Q2  waiting = whether any job waits                     the next keeper does it again
//   park.Q3  the kind is not paused (any more), permits are free,  as Q1
//            tokens are there: promote the first ones
//            (settle.P1 to settle.P3 of core/table/settling.h)
//
// Q2 comes before the look at the permits: see the end of core/flow_control/admission.h. Jobs of one kind come back in
// the order of their levels, then of their enqueues; each goes to the end of its level and keeps its mark, so it is not
// sent behind those that came after it. Of a kind with limits as many come back as there are free permits and tokens,
// less those that have come back and were not claimed yet.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/table/settling.h"
#include "ipc/segment.h"
#include "ipc/wait_mark.h"

namespace ringmill {

class Parked {
 public:
  explicit Parked(Segment& segment) noexcept : segment_(&segment) {}

  /// Does Q1. `word` is delayed, for this reason.
  void note(const JobTable& table, CellIndex index, StateWord word);
  /// Does Q2 and Q3 for all kinds, at most `most` jobs. Returns true if more can be done at once.
  bool bring_back(Settling& settling, std::uint32_t most);

  /// Returns when the next token is there that a job waits for: lease clock, or ~0.
  std::uint64_t next_due_ns() const noexcept;

  /// As Timers::begin_rebuild() and end_rebuild().
  void begin_rebuild();
  void end_rebuild();

 private:
  struct Entry {
    std::uint32_t level = 0;
    std::uint64_t enqueued_at_ns = 0;
    std::uint64_t id = 0;
    auto operator<=>(const Entry& other) const noexcept = default;
  };
  static constexpr std::uint64_t no_due = ~std::uint64_t{0};
  struct OfKind {
    std::vector<Entry> waiting;               // a heap, the first one in front
    std::vector<std::uint64_t> brought_back;  // and not claimed when we looked last
    std::uint64_t due_ns = no_due;            // of the next token, where only that is missing
  };
  using Kinds = std::map<std::uint32_t, OfKind>;

  static void add(OfKind& kind, const Entry& entry);
  bool bring_back(Settling& settling, std::uint32_t number, OfKind& kind, std::uint32_t& most);
  /// Returns how many jobs the rule allows to come back at this moment.
  std::uint32_t allowed(const JobTable& table, std::uint32_t number, OfKind& kind) const;

  Segment* segment_;
  Kinds kinds_;
  bool rebuilding_ = false;
  Kinds next_kinds_;
};

}  // namespace ringmill
