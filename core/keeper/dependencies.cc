#include "core/keeper/dependencies.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/table/damage.h"
#include "core/table/parents.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// Less than a millisecond of work, unless each is looked for among the dead letters.
constexpr std::size_t most_parents_in_a_look = 4096;

}  // namespace

Dependencies::Fate Dependencies::fate_of(JobId parent) {
  const JobTable& table = reaper_->settling().table();
  if (!table.can_have_given(parent)) return Fate::well;  // the list is corrupted
  const CellIndex index = index_of(parent);
  if (table.stands(parent)) {
    std::atomic<std::uint16_t>& flags = table.header(index).flags;
    if ((flags.load() & cell_flag::has_children) == 0) flags.fetch_or(cell_flag::has_children);  // dep.F1
  }
  // dep.F2: seq_cst. A cell that is not there has no job, and gets none before the next turn.
  const StateWord word = table.is_there(index) ? StateWord(table.state(index).load()) : table.word(index);
  if (word.generation() != generation_of(parent)) return is_dead_letter(parent) ? Fate::dead : Fate::well;
  switch (word.state()) {
    case CellState::completing:
      return Fate::is_completing;
    case CellState::completed:
      return Fate::well;
    case CellState::cancelled:
      return Fate::cancelled;
    case CellState::burying:
      return Fate::dead;
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

Dependencies::Child* Dependencies::child_of(CellIndex index, StateWord word) {
  const JobId id = job_id_of(word, index);
  if (const auto known = children_.find(id.value()); known != children_.end()) return &known->second;
  const JobTable& table = reaper_->settling().table();
  auto parents = parents_of(table, arena_, id);
  if (table.word(index) != word) return nullptr;
  if (!parents) {
    reaper_->bury(index, word, DeathCause::failed, sentence_of(Damage::payload));
    return nullptr;
  }
  std::ranges::reverse(*parents);  // they are taken from the back
  Child& child = children_[id.value()];
  child.to_look_at = *std::move(parents);
  if (!child.to_look_at.empty()) ++partly_known_;
  return &child;
}

bool Dependencies::look_at(CellIndex index, StateWord word) {
  Child* const child = child_of(index, word);
  if (child == nullptr) return false;
  const JobId id = job_id_of(word, index);
  std::size_t left = most_parents_in_a_look;
  for (const JobId parent : std::exchange(child->completing, {})) {
    if (look_again_at(parent) == Fate::is_completing) child->completing.push_back(parent);
  }
  if (!child->to_look_at.empty()) {
    for (; left != 0 && !child->to_look_at.empty(); --left) {
      take_up(id, *child, child->to_look_at.back());
      child->to_look_at.pop_back();  // only now: until then nothing is decided
    }
    if (!child->to_look_at.empty()) return true;
    child->to_look_at.shrink_to_fit();
    --partly_known_;
  } else {
    // A mark that was lost costs no more than the time until a scan comes by, once for each few thousand parents.
    for (std::size_t n = std::min(left, child->parents.size()); n != 0 && child->living != 0; --n) {
      if (child->next >= child->parents.size()) child->next = 0;
      look_again_at(child->parents[child->next++]);
    }
  }
  if (word.state() != CellState::blocked) return false;  // its parents are kept for it
  if (child->living == 0) decide(index, word, *child);
  return !child->completing.empty();
}

void Dependencies::take_up(JobId id, Child& child, JobId parent) {
  Fate fate = fate_of(parent);
  const bool stands = reaper_->settling().table().stands(parent);
  if (!stands && fate == Fate::is_completing) fate = fate_of(parent);  // it ended in between, and went
  child.note(parent, fate);
  if (!stands) return;
  Parent& known = parents_[parent.value()];
  ++known.children;
  child.parents.push_back(parent);
  if (is_over(fate)) {
    say_over(parent, known, fate);
    return;
  }
  known.waiting.push_back(id.value());
  ++child.living;
  if (fate == Fate::is_completing) child.completing.push_back(parent);
}

Dependencies::Fate Dependencies::look_again_at(JobId parent) {
  const auto known = parents_.find(parent.value());
  if (known == parents_.end() || known->second.is_over) return Fate::well;
  const Fate fate = fate_of(parent);
  if (is_over(fate)) say_over(parent, known->second, fate);
  return fate;
}

void Dependencies::decide(CellIndex index, StateWord word, const Child& child) {
  Settling& settling = reaper_->settling();
  const JobTable& table = settling.table();
  const CellLinks* const links = table.links(index);
  const bool runs_all_the_same = links == nullptr || links->runs_all_the_same.load() != 0;
  if (child.dead_parent && !runs_all_the_same) {
    reaper_->bury(index, word, DeathCause::parent_dead,
                  fmt::format("job {}, which it waited for, is dead", child.dead_parent.to_string()));
    return;
  }
  if (child.has_cancelled_parent && !runs_all_the_same) {
    reaper_->cancel(index, word);
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

void Dependencies::say_over(JobId parent, Parent& known, Fate fate) {
  if (std::exchange(known.is_over, true)) return;
  const JobTable& table = reaper_->settling().table();
  for (const std::uint64_t waiting : std::exchange(known.waiting, {})) {
    const auto found = children_.find(waiting);
    if (found == children_.end()) continue;  // it has ended
    Child& child = found->second;
    child.note(parent, fate);
    if (--child.living != 0 || !child.to_look_at.empty()) continue;
    const CellIndex index = index_of(JobId(waiting));
    const StateWord word = table.word(index);
    if (word.state() != CellState::blocked || word.generation() != generation_of(JobId(waiting))) continue;
    decide(index, word, child);
  }
}

void Dependencies::note_end(CellIndex index, StateWord word, std::vector<JobId>& no_longer_kept) {
  const JobId id = job_id_of(word, index);
  if (const auto found = children_.find(id.value()); found != children_.end()) {
    if (!found->second.to_look_at.empty()) --partly_known_;
    for (const JobId parent : found->second.parents) {
      const auto known = parents_.find(parent.value());
      if (known == parents_.end() || --known->second.children != 0) continue;
      parents_.erase(known);
      no_longer_kept.push_back(parent);
    }
    children_.erase(found);
  }
  const auto known = parents_.find(id.value());
  if (known == parents_.end()) return;
  const Fate fate = word.state() == CellState::completed   ? Fate::well
                    : word.state() == CellState::cancelled ? Fate::cancelled
                                                           : Fate::dead;
  say_over(id, known->second, fate);
}

}  // namespace ringmill
