#include "core/durability/live_jobs.h"

#include <algorithm>

#include "core/journal/note.h"

namespace ringmill {

LiveJobs::Cell& LiveJobs::cell_of(JobId id) {
  const std::size_t index = index_of(id);
  if (index >= cells_.size()) cells_.resize(index + 1);  // the vector's room doubles by itself
  return cells_[index];
}

void LiveJobs::end_those_before(JobId id) {
  if (!is_cell(id)) return;
  Cell& cell = cell_of(id);
  cell.ended_below = std::max(cell.ended_below, generation_of(id));
}

void LiveJobs::on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte>) {
  const JobId id(record.id);
  if (!is_cell(id)) return;
  Cell& cell = cell_of(id);
  if (generation_of(id) <= cell.generation) return;
  cell.generation = generation_of(id);
  cell.is_over = false;
}

void LiveJobs::on_ended(const JournalPlace&, JobId id) { end_those_before(id); }

/// A generation with counted attempts shows that those before it are over. So do changes and parts.
void LiveJobs::on_attempts(const JournalPlace&, JobId id, std::uint16_t) { end_those_before(id); }

void LiveJobs::on_change(const JournalPlace&, const ChangeRecord& record, std::string_view) {
  const JobId id(record.id);
  if (!is_cell(id)) return;
  end_those_before(id);
  Cell& cell = cell_of(id);
  if (cell.generation == generation_of(id) && !waits_to_begin(cell_state(record.state))) cell.is_over = true;
}

void LiveJobs::on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) {
  if (!is_cell(JobId(record.id))) return;
  end_those_before(JobId(record.id));
  WholeJobsVisitor::on_part(place, record, part);
}

void LiveJobs::on_links(const JournalPlace&, const LinksRecord& record) {
  const JobId id(record.id);
  if (!is_cell(id)) return;
  const bool is_of_this_life = cell_of(id).generation == generation_of(id);
  if (!is_of_this_life || record.rule > static_cast<std::uint8_t>(BornRule::after_it)) return;
  Link& link = links_[index_of(id)];
  if (link.generation == generation_of(id) && link.rule == BornRule::alone) return;  // that is the last word
  link = {.generation = generation_of(id), .rule = BornRule{record.rule}, .leader = JobId(record.born_of)};
}

NeverWere::Bond LiveJobs::bond_of(CellIndex cell) const {
  constexpr NeverWere::Bond counts{};
  constexpr NeverWere::Bond never_was{.never_was = true};
  const auto found = links_.find(cell);
  if (found == links_.end()) return counts;
  const Link& link = found->second;
  if (cells_[cell].generation != link.generation || link.rule == BornRule::alone) return counts;
  const CellIndex index = index_of(link.leader);
  if (index >= cells_.size()) return never_was;
  const Cell& leader = cells_[index];
  if (std::max(leader.generation, leader.ended_below) > generation_of(link.leader)) return counts;  // over
  if (leader.generation != generation_of(link.leader)) return never_was;
  if (link.rule == BornRule::with_it || leader.is_over) return {.leader = index};
  return never_was;
}

std::uint64_t LiveJobs::count() const {
  NeverWere never_were(cells_.size());
  for (const auto& [index, link] : links_) {
    never_were.look_at(index, [this](CellIndex cell) { return bond_of(cell); });
  }
  std::uint64_t count = 0;
  for (CellIndex index = 0; index < cells_.size(); ++index) {
    if (cells_[index].stands() && !never_were.contains(index)) ++count;
  }
  return count;
}

}  // namespace ringmill
