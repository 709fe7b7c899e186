#include "core/journal/live_jobs.h"

#include <algorithm>

#include "core/journal/note.h"

namespace ringmill {

LiveJobs::Cell& LiveJobs::cell_of(JobId id) {
  const std::size_t index = index_of(id);
  if (index >= cells_.size()) cells_.resize(index + 1);  // the vector's room doubles by itself
  return cells_[index];
}

void LiveJobs::end_those_before(JobId id) {
  Cell& cell = cell_of(id);
  cell.ended_below = std::max(cell.ended_below, generation_of(id));
}

void LiveJobs::on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte>) {
  const JobId id(record.id);
  Cell& cell = cell_of(id);
  if (generation_of(id) <= cell.generation) return;
  cell.generation = generation_of(id);
  cell.is_over = false;
}

void LiveJobs::on_ended(const JournalPlace&, JobId id) { end_those_before(id); }

/// A life whose attempts are counted shows that those before it are over. So do changes and parts.
void LiveJobs::on_attempts(const JournalPlace&, JobId id, std::uint16_t) { end_those_before(id); }

void LiveJobs::on_change(const JournalPlace&, const ChangeRecord& record, std::string_view) {
  const JobId id(record.id);
  end_those_before(id);
  Cell& cell = cell_of(id);
  if (cell.generation == generation_of(id) && !waits_to_begin(cell_state(record.state))) cell.is_over = true;
}

void LiveJobs::on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) {
  end_those_before(JobId(record.id));
  WholeJobsVisitor::on_part(place, record, part);
}

void LiveJobs::on_links(const JournalPlace&, const LinksRecord& record) {
  const JobId id(record.id);
  const bool is_of_this_life = cell_of(id).generation == generation_of(id);
  if (!is_of_this_life || record.rule > static_cast<std::uint8_t>(BornRule::after_it)) return;
  Link& link = links_[index_of(id)];
  if (link.generation == generation_of(id) && link.rule == BornRule::alone) return;  // that is the last word
  link = {.generation = generation_of(id), .rule = BornRule{record.rule}, .leader = JobId(record.born_of)};
}

bool LiveJobs::leader_counts(const std::vector<Cell>& cells, const Link& link) {
  const std::size_t index = index_of(link.leader);
  if (index >= cells.size()) return false;
  const Cell& leader = cells[index];
  if (std::max(leader.generation, leader.ended_below) > generation_of(link.leader)) return true;  // over
  if (leader.generation != generation_of(link.leader) || leader.never_was) return false;
  return link.rule == BornRule::with_it || leader.is_over;
}

std::uint64_t LiveJobs::count() const {
  std::vector<Cell> cells = cells_;
  // Whose leader never was never was either.
  for (bool again = true; again;) {
    again = false;
    for (const auto& [index, link] : links_) {
      Cell& cell = cells[index];
      if (cell.never_was || cell.generation != link.generation || link.rule == BornRule::alone ||
          leader_counts(cells, link)) {
        continue;
      }
      cell.never_was = again = true;
    }
  }
  return static_cast<std::uint64_t>(
      std::ranges::count_if(cells, [](const Cell& cell) { return cell.stands() && !cell.never_was; }));
}

}  // namespace ringmill
