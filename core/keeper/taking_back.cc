#include "core/keeper/taking_back.h"

#include <algorithm>

#include "core/keeper/sleeping_claimers.h"
#include "core/table/lease_slots.h"
#include "ipc/registry.h"
#include "ipc/sleepers.h"
#include "ipc/visits.h"

namespace ringmill {

void TakingBack::look() {
  if (find() && announce()) take();
}

bool TakingBack::find() {
  unbegun_.clear();
  visits_.resize(most_participants, 1);
  note_sleepers();
  const Sleepers asleep(*segment_, segment_->signals().sleepers);
  for_each_entry_in_use(*segment_, [&](std::uint32_t number, ParticipantState state) {
    const std::uint64_t visit = segment_->participant(number).visit.load();
    const std::uint64_t before = std::exchange(visits_[number], visit);
    if (sleepers_.empty() || state != ParticipantState::alive || visit != before || visit % 2 != 0) return;
    if (!asleep.is_announced(number)) find_of(number, visit);  // what sleeps has nothing in advance
  });
  return !unbegun_.empty();
}

void TakingBack::find_of(std::uint32_t number, std::uint64_t visit) {
  const JobTable& table = reaper_->settling().table();
  for (const LeaseSlot& slot : segment_->participant(number).leases) {
    const JobId id(slot.job_id.load());
    const CellIndex index = index_of(id);
    if (!id || slot.started_at_ns.load() != 0 || !table.stands(id)) continue;
    const StateWord word = table.word(index);
    if (!word.is(CellState::running, number + 1) || word.generation() != generation_of(id)) continue;
    if (speaks_of(slot, id, word) && is_wanted(index)) unbegun_.push_back({number, visit, index, word});  // back.T1
  }
}

void TakingBack::note_sleepers() {
  sleepers_.clear();
  for_each_sleeping_claimer(*segment_, [this](const ParticipantEntry& entry) {
    sleepers_.push_back({.any_kind = entry.interest_any_kind.load() != 0,
                         .levels = entry.interest_levels.load(),
                         .kinds = entry.interest_kinds.load()});
  });
}

bool TakingBack::is_wanted(CellIndex index) const noexcept {
  const CellHeader& header = reaper_->settling().table().header(index);
  const std::uint32_t level = header.level.load_once().unbounded() % 64;
  const std::uint32_t kind = header.kind.load_once().unbounded() % 64;
  return std::ranges::any_of(sleepers_, [level, kind](const Interest& sleeper) {
    return (sleeper.levels >> level & 1) != 0 && (sleeper.any_kind || (sleeper.kinds >> kind & 1) != 0);
  });
}

bool TakingBack::announce() noexcept {
  segment_->signals().chunks_left.fetch_add(1);  // back.T2
  return make_barrier_everywhere();
}

std::uint32_t TakingBack::take() noexcept {
  std::uint32_t taken = 0;
  for (const Unbegun& job : unbegun_) {
    if (segment_->participant(job.number).visit.load() != job.visit) continue;  // back.T3
    if (reaper_->take_back(job.index, job.word)) ++taken;                       // back.T4
  }
  unbegun_.clear();
  return taken;
}

}  // namespace ringmill
