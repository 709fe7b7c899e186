// Reaps dead participants, and revokes leases whose deadline has passed.
//
//                                                              killed just after the step (the reaper may die too)
//   reap.D1  CAS the entry: alive or starting -> reaping       the next keeper sees reaping, and begins at D2
//   reap.D2  clear its sleeping signs                          again
//   reap.K   kill what is left of its command's session        again, unless the word was cleared: then its commands
//            (core/keeper/left_session.h)                      were killed, or are about to be
//   reap.B   publish a decided bundle (core/table/bundles.h)   again: what is published is not filling any more
//   reap.D3  each lease slot: the rule for the cell's state    again: a cell whose word has moved on is left alone
//   reap.D4  each id of the placing list: push the hint again  again: doubled hints are harmless
//   reap.D5  wake one for each job that waits, and all that    a wake may have gone to the dead, or been about to
//            sleep without a sign                              come from it
//   reap.D6  a scan of the whole table with the same rules     again
//   reap.D7  entry: reaping -> free, next epoch                done
//
// D3 makes the handover instant; D6 catches what the slots missed. Each repair of a cell is a compare-and-swap from the
// word that was judged, so any number of reapers at once do no harm. What D3 writes into a job that was lost says how
// its worker died, as far as the kernel tells it at that moment (core/keeper/deaths.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/instance/engine_core.h"
#include "core/keeper/deaths.h"
#include "core/table/settling.h"

namespace ringmill {

class Reaper {
 public:
  /// `number` is the acting participant's, of the calling thread.
  Reaper(EngineCore& engine, std::uint32_t number)
      : engine_(&engine),
        segment_(&engine.segment),
        settling_(engine.segment, number),
        me_(&engine.segment.participant(number)),
        deaths_(engine.segment) {}

  /// Does D1 to D5. Returns false if the entry is no longer in use.
  bool take_over(std::uint32_t number) noexcept;
  /// Applies the rule of one cell's state, for the scan; `owner` is known to be dead.
  void apply_rule(CellIndex index, StateWord word, std::uint32_t owner) noexcept;
  /// D7.
  void release_entry(std::uint32_t number) noexcept;
  /// Ends a lease whose job has not begun, as a release does. Returns false if `word` does not stand there any more.
  bool take_back(CellIndex index, StateWord word) noexcept;

  /// Revokes the leases of one living participant whose deadline has passed; returns the next deadline, or no_deadline.
  static constexpr std::uint64_t no_deadline = ~std::uint64_t{0};
  std::uint64_t expire_leases(std::uint32_t number, std::uint64_t now_ns) noexcept;

  /// Moves a job that was not begun in time to the dead letters.
  void expire_job(CellIndex index, StateWord word) noexcept;
  /// Moves a waiting job to the dead letters.
  void bury(CellIndex index, StateWord word, DeathCause cause, std::string_view text) noexcept;
  /// Cancels a waiting job.
  void cancel(CellIndex index, StateWord word) noexcept;
  /// Frees the cell of a kept or buried job, and lists it. Returns false if the cell's word is no longer `word`.
  bool drop(CellIndex index, StateWord word) noexcept;
  /// The same for a result that goes before its time: it is counted.
  bool evict(CellIndex index, StateWord word) noexcept;

  Settling& settling() noexcept { return settling_; }
  Deaths& deaths() noexcept { return deaths_; }
  const Directory& directory() const noexcept { return engine_->directory.folder(); }

 private:
  void pass_on_wakes(Role role) noexcept;
  void reap_slot(const LeaseSlot& slot, std::uint32_t owner) noexcept;
  /// Ends the run of another participant. The keeper stages its own slot first, so that the next keeper finishes if
  /// this one dies.
  bool finish_for(const ParticipantEntry& other, CellIndex index, StateWord word, LeaseNote note) noexcept;
  bool settle(CellIndex index, StateWord word, const Ending& ending) noexcept;
  /// Names the job in our own slot while `end` acts on its cell; lists the cell if that has freed it.
  template <class End>
  bool act(CellIndex index, StateWord word, const End& end) noexcept;
  void list(CellIndex index) noexcept;
  /// Decides the outcome of a run whose worker died, or lost its lease.
  void retry(CellIndex index, StateWord word, const LeaseSlot* slot, std::uint32_t owner, DeathCause cause) noexcept;
  std::string sentence_on_loss(std::uint32_t owner) noexcept;
  const LeaseSlot* slot_of(std::uint32_t owner, CellIndex index, StateWord word) const noexcept;
  /// Visits each cell: for the assertion before D7, in debug builds.
  bool owns_no_cell(std::uint32_t owner) const noexcept;

  EngineCore* engine_;
  Segment* segment_;
  Settling settling_;
  ParticipantEntry* me_;
  Deaths deaths_;
};

}  // namespace ringmill
