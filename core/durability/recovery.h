// From the journal to a table: shared memory that is gone or damaged is made anew with the jobs that were durable.
//
//   rec.R1  wait for the fence of every file: writes of a dead keeper may be on their way still
//   rec.R2  each record goes to its cell, those of one job in the order in which they were written; what it does there
//           is in the table of recovery_rules.h
//   rec.R2a  jobs of batches that did not commit (the leader is missing or, for follow-ups, not over) are dropped;
//           then, repeatedly, batches led by dropped jobs. The journal is told that they are over, before their leader
//           can be over once more
//   rec.R3  each cell, once: its job is as it stands if no note names a higher generation, and a large payload gets an
//           extent; else the cell is free, with a generation above all that were ever given
//   rec.R4  hints, in the order in which the jobs were enqueued; names of kinds under their old numbers
//
// R2 keeps its notes in words of the cell that R3 clears: the table that grows is all the memory it needs, but for
// sixteen bytes per job for the order of R4, twenty-four per job with a unique key, and the payloads of large jobs.
// Whatever a journal says, each record and each cell is looked at a bounded number of times. Killed at any point: the
// segment has no name yet that a process opens, and the journal was only read.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/durability/never_were.h"
#include "core/journal/device.h"
#include "core/journal/parts.h"
#include "core/journal/reader.h"
#include "core/journal/recovery_report.h"
#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "core/table/unique_jobs.h"
#include "ipc/segment.h"

namespace ringmill {

/// R2 to R4. The segment is one that Segment::create() hands to its filler.
class TableRebuild : public JournalVisitor {
 public:
  /// Dynamic levels are in `fresh` already (core/levels/dynamic_levels.h).
  explicit TableRebuild(Segment& fresh);
  /// The engine had more cells once, and none of those beyond its capacity had a job when it got fewer: records of them
  /// are no damage. Before the first record.
  void set_most_cells(std::uint32_t cells) noexcept { most_cells_ = cells; }

  void on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) override;
  void on_ended(const JournalPlace& place, JobId id) override;
  void on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) override;
  void on_kind(const JournalPlace& place, std::uint32_t kind, std::string_view name) override;
  void on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) override;
  void on_options(const JournalPlace& place, const OptionsRecord& record) override;
  void on_links(const JournalPlace& place, const LinksRecord& record) override;
  void on_notes(const JournalPlace& place, const NotesRecord& record, std::string_view tag) override;
  void on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) override;
  void on_result_part(const JournalPlace& place, const ResultPartRecord& record,
                      std::span<const std::byte> part) override;
  void on_large_job(const JournalPlace& place, const LargeJobRecord& record) override;
  void on_retry_policy(const JournalPlace& place, std::uint32_t policy, std::string_view text) override;

  /// The highest generation that the journal shows to have been used. The segment's first generation must be above it
  /// before finish().
  std::uint64_t highest_generation() const noexcept { return highest_generation_; }

  /// R3 and R4. Once. Error no_space: the arena is too small for the large jobs that are to come back, and the segment
  /// is of no use; arena_wanted() says what is enough. That happens where the last moments before a crash are not all
  /// there: the job that had an extent last, and the one without an end record.
  Result<void> finish();
  std::uint64_t arena_wanted() const noexcept { return arena_wanted_; }

  std::uint64_t jobs() const noexcept { return jobs_; }
  std::uint64_t kinds() const noexcept;
  /// Records that stood in sound blocks and cannot be true, and kinds that lost their names: one entry per block, or
  /// per kind.
  std::vector<JournalDamage> take_damage() { return std::move(damage_); }

 private:
  struct KindName {
    std::string name;
    std::uint64_t block = 0;
  };
  struct Waiting {
    std::uint64_t enqueued_at_ms = 0;
    std::uint64_t id = 0;
    auto operator<=>(const Waiting&) const noexcept = default;
  };

  /// False, and noted as damage: no cell can have given that id.
  bool accept(const JournalPlace& place, JobId id);
  /// Takes the memory of this cell's chunk, as grow.G1 (ipc/cell_chunks.h) does. False: the tmpfs is full.
  bool make_cells(CellIndex index);
  void note_damage(const JournalPlace& place, const char* reason, JobId id);
  void note_attempts(JobId id, std::uint16_t attempts);
  /// Of the job that stands, whose record says that it waits after so many attempts.
  static void wait_again(CellHeader& header, std::uint16_t attempts) noexcept;
  /// What a job record says, of one whose payload is in place or comes.
  void take_job(std::uint64_t segment, const JobRecord& record, std::uint16_t flags,
                std::span<const std::byte> payload);
  void fill(CellHeader& header, std::uint64_t segment, const JobRecord& record, std::uint16_t flags,
            std::span<const std::byte> payload);
  /// R2a.
  void drop_what_never_was();
  NeverWere::Bond bond_of(CellIndex cell) const;
  /// What a change record says of a result.
  void take_result(const JournalPlace& place, const ChangeRecord& record, std::string_view text);
  /// R3 of a job that comes back.
  void place_payload(CellIndex index, JobId id);
  void place_result(CellIndex index, JobId id);
  /// Jobs of which a part is missing, and that are not over.
  void note_incomplete();
  /// R3 for one cell. True: it is free.
  bool settle(CellIndex index, std::uint64_t free_word);
  /// A moment stays one. Of a span what is left by the wall clock is left, on the lease clock of this boot: it went on
  /// while the machine was off.
  DueTime on_its_clock(DueTime due) const noexcept;
  void place_hints();
  /// Of a dynamic level: what its ring has no room for waits for the keeper.
  void place_hints_in_level(std::uint32_t level, const std::vector<Waiting>& jobs);
  bool knows_level(std::uint32_t level) const noexcept;
  void place_kinds();
  void place_unique();

  Segment* segment_;
  JobTable table_;
  std::array<KindName, most_kinds> kinds_;
  std::bitset<most_kinds> kinds_used_;
  std::vector<std::vector<Waiting>> waiting_;  // per level
  std::vector<UniqueJobs::Keyed> unique_;
  std::vector<CellIndex> linked_;  // cells with links records that name a leader, some more than once
  NeverWere never_were_{0};        // per cell, if there are any
  std::vector<JournalDamage> damage_;
  Arena arena_;
  JournalParts parts_{true};
  JournalParts result_parts_{true};
  /// Whole results that change records have confirmed. A later change of the same job may never be confirmed.
  struct KeptResult {
    JobId id;
    std::uint64_t change = 0;
    std::vector<std::byte> bytes;
  };
  std::unordered_map<CellIndex, KeptResult> results_;
  struct Incomplete {
    JobId id;
    JournalPlace place;
  };
  std::unordered_map<CellIndex, Incomplete> incomplete_;
  /// Kept jobs of which a part of the result was not found.
  std::unordered_map<CellIndex, Incomplete> lost_results_;
  std::uint64_t arena_wanted_ = 0;
  bool lacks_memory_ = false;
  struct Now {
    std::uint64_t wall_ns = 0;
    std::uint64_t lease_ns = 0;
  };
  Now now_;  // when rec.R3 began
  std::uint64_t highest_generation_ = 0;
  std::uint32_t most_cells_ = 0;
  std::uint64_t jobs_ = 0;
};

struct RecoveryProgress {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes = 0;
  std::chrono::nanoseconds elapsed{0};
};

struct RecoveryOptions {
  /// Called about every second, when it takes that long.
  std::function<void(const RecoveryProgress&)> progress;
  /// As in ReadOptions.
  std::uint64_t segment_bytes = any_length;
  /// How long writes of a dead process are waited for.
  std::chrono::milliseconds fence_wait{std::chrono::seconds{10}};
};

/// R1 and R2. Errors: busy (writes are still in flight), incompatible, system.
Result<JournalReport> read_into(TableRebuild& table, JournalDevice& device, std::uint64_t engine_id,
                                const RecoveryOptions& options);

/// Copies the bytes of damaged blocks to files in `folder`, before their place is written again. What cannot be copied
/// is logged and left.
std::vector<std::filesystem::path> keep_aside(const std::vector<JournalDamage>& damage, JournalDevice& device,
                                              const Directory& folder, std::uint32_t file_mode);

/// One line for people: which segment, which offset, why, which ids may be touched.
std::string text_of(const JournalDamage& damage);

}  // namespace ringmill
