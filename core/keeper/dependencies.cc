#include "core/keeper/dependencies.h"

#include <algorithm>

#include <fmt/format.h>

#include "ipc/clock.h"

namespace ringmill {

Dependencies::Fate Dependencies::fate_of(JobId parent) {
  const JobTable& table = reaper_->settling().table();
  if (!table.can_have_given(parent)) return Fate::well;  // the list is corrupted
  const CellIndex index = index_of(parent);
  if (table.stands(parent)) {
    table.header(index).flags.fetch_or(cell_flag::has_children);  // dep.F1
  }
  const StateWord word(table.state(index).load());  // dep.F2: seq_cst
  if (word.generation() != generation_of(parent)) return is_dead_letter(parent) ? Fate::badly : Fate::well;
  switch (word.state()) {
    case CellState::completing:
      return Fate::is_completing;
    case CellState::completed:
      return Fate::well;
    case CellState::cancelled:
    case CellState::burying:
      return Fate::badly;
    case CellState::free:
      return Fate::well;
    default:
      return Fate::lives;
  }
}

bool Dependencies::is_dead_letter(JobId id) {
  if (!letters_) {
    auto opened = DeadLetterStore::open(reaper_->directory(), DeadLetterStore::Access::read_only);
    if (!opened) return false;  // nothing was ever buried
    letters_ = *std::move(opened);
  }
  return letters_->find(id).has_value();
}

bool Dependencies::look_at(CellIndex index, StateWord word) {
  const JobTable& table = reaper_->settling().table();
  const std::vector<JobId> parents = table.parent_ids(index);
  if (table.word(index) != word) return false;
  const JobId id = job_id_of(word, index);
  const bool is_new = !waits_for_.contains(id.value());
  std::uint32_t living = 0;
  bool again = false;
  JobId bad_parent;
  for (const JobId parent : parents) {
    const Fate fate = fate_of(parent);
    if (fate == Fate::lives || fate == Fate::is_completing) ++living;
    if (fate == Fate::is_completing) again = true;
    if (fate == Fate::badly) bad_parent = parent;
    if (is_new && table.stands(parent)) children_[parent.value()].ids.push_back(id.value());
  }
  // The end of a parent may be noted later than it was seen here. Then it counts down once too often, which costs one
  // more check.
  waits_for_[id.value()] = living;
  if (living == 0) decide(index, word, bad_parent);
  return again;
}

void Dependencies::decide(CellIndex index, StateWord word, JobId bad_parent) {
  Settling& settling = reaper_->settling();
  const JobTable& table = settling.table();
  const CellLinks* const links = table.links(index);
  if (bad_parent && links != nullptr && links->runs_all_the_same.load() == 0) {
    reaper_->bury(index, word, DeathCause::parent_dead,
                  fmt::format("job {}, which it waited for, is dead or was cancelled", bad_parent.to_string()));
    return;
  }
  const DueTime due = DueTime::of(table.header(index).due_at.load());
  const std::uint64_t now_ns = due.is_wall ? exact_wall_clock_ns() : lease_clock_ns();
  if (due.ns <= now_ns) {
    settling.promote(index, word);
  } else if (settling.put_off(index, word)) {
    settling.mark_for_keeper(index, due);
  }
}

void Dependencies::note_end(CellIndex index, StateWord word, std::vector<JobId>& no_longer_kept) {
  const JobTable& table = reaper_->settling().table();
  const JobId id = job_id_of(word, index);
  const std::vector<JobId> parents = table.parent_ids(index);
  if (table.word(index) == word) {
    waits_for_.erase(id.value());
    for (const JobId parent : parents) {
      const auto found = children_.find(parent.value());
      if (found == children_.end()) continue;
      std::erase(found->second.ids, id.value());
      if (!found->second.ids.empty()) continue;
      children_.erase(found);
      no_longer_kept.push_back(parent);
    }
  }
  const auto found = children_.find(id.value());
  if (found == children_.end() || found->second.is_over) return;
  found->second.is_over = true;
  const std::vector<std::uint64_t> waiting = found->second.ids;
  for (const std::uint64_t child : waiting) {
    const auto left = waits_for_.find(child);
    if (left == waits_for_.end() || left->second == 0 || --left->second != 0) continue;
    const StateWord child_word = table.word(index_of(JobId(child)));
    if (child_word.state() != CellState::blocked || child_word.generation() != generation_of(JobId(child))) continue;
    look_at(index_of(JobId(child)), child_word);
  }
}

}  // namespace ringmill
