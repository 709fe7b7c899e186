// How many jobs a recovery would bring back, by the same rules, without an engine's shared memory.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/durability/never_were.h"
#include "core/journal/parts.h"
#include "core/journal/reader.h"
#include "ipc/layout.h"

namespace ringmill {

/// Visits the records of one journal in the order of their blocks. Those that wait count, now or later, those that are
/// kept after their end, and the dead that were not buried yet. What a recovery would call damage is not looked for.
class LiveJobs : public WholeJobsVisitor {
 public:
  /// Cells from `capacity` on are none of the engine's: a recovery takes none of their jobs.
  explicit LiveJobs(std::uint32_t capacity = most_cells) : WholeJobsVisitor(false), capacity_(capacity) {}

  void on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) override;
  void on_ended(const JournalPlace& place, JobId id) override;
  void on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) override;
  void on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) override;
  void on_links(const JournalPlace& place, const LinksRecord& record) override;
  void on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) override;
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}

  /// After the last record. Costs a look at each cell that the journal names.
  std::uint64_t count() const;

 private:
  struct Cell {
    std::uint64_t generation = 0;  // the highest of which the job was read; 0: none
    std::uint64_t ended_below = 0;
    bool is_over = false;  // kept, or dead

    bool stands() const noexcept { return generation != 0 && generation >= ended_below; }
  };
  struct Link {
    std::uint64_t generation = 0;
    BornRule rule = BornRule::alone;
    JobId leader;
  };

  bool is_cell(JobId id) const noexcept { return index_of(id) < capacity_; }
  Cell& cell_of(JobId id);
  /// All generations of the cell before that of `id` are over.
  void end_those_before(JobId id);
  NeverWere::Bond bond_of(CellIndex cell) const;

  std::uint32_t capacity_;
  std::vector<Cell> cells_;
  std::unordered_map<CellIndex, Link> links_;
};

}  // namespace ringmill
