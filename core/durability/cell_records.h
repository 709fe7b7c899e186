// What a cell says, as records in the journal's open block.
//
// A record is read from a cell that goes on meanwhile: the cell's word is read before and after, and what was read in
// between counts if both are the same. Otherwise the record is taken back, and the caller visits the cell again.
//
//   write_job()     the whole job: its record, what stands beside it (options, links, a change), and in front of it,
//                   once per segment, the names of its kind and of its retry policy
//   write_change()  of a life that the journal knows: its attempts, or a change record
//   write_ended()   all lives of the cell before its word's are over
//
// The payload of a large job is written in parts, over as many blocks as they need, and its record behind them; so is
// a result in the arena, in front of the change that speaks of it. A call that finds no room for the next part goes on
// there when it is made again.
//
// Killed at any point: the open block is lost with the process, and the cell is pending (ipc/journal_marks.h).
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "core/durability/in_flight.h"
#include "core/durability/visits.h"
#include "core/journal/block_builder.h"
#include "core/journal/records.h"
#include "core/journal/writer.h"
#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class CellRecords {
 public:
  CellRecords(const Segment& segment, JournalWriter& writer, CellsInFlight& in_flight);

  /// What of a job is written.
  enum class Told {
    all,
    its_beginning,  // as it was before its first attempt: older than whatever the journal may have of it
  };
  /// Visit::changed: the cell changed while it was read; Visit::moves: the job is in its last step.
  Visit write_job(CellIndex index, StateWord word, Purpose purpose, Told told);
  /// For a life that the journal knows. Visit::changed, Visit::moves: as above.
  Visit write_change(CellIndex index, StateWord word, Purpose purpose);
  /// All generations before that of `word` are over. True whatever the cell does meanwhile.
  Visit write_ended(CellIndex index, StateWord word, Purpose purpose);

  /// What is done with a job that is in its last step, and so cannot be read as it was before.
  enum class Patience {
    waits,                // Visit::moves: it is visited again
    takes_what_is_there,  // what can be read of it is written: its attempts at least
  };
  void set_patience(Patience patience) noexcept { patience_ = patience; }
  /// Compaction copies the survivors of this segment; nothing: of none.
  void set_compacted(std::optional<std::uint64_t> segment) noexcept { compacted_ = segment; }

  std::uint64_t count() const noexcept { return count_; }

 private:
  /// What became of a change record.
  enum class Change {
    written,
    none,   // the job waits or runs, without a text
    moves,  // the job moves on at this moment, and cannot be read; nothing is appended
  };
  /// A payload, or a result, that is being written in parts. One of each of the round, and one of each that is copied
  /// forward, are under way at the same time.
  struct Parting {
    std::uint64_t id = 0;
    std::uint64_t change = 0;  // of a result: CellOptions::started
    std::uint32_t parts = 0;   // written
    std::uint64_t first_segment = 0;
  };
  enum class Body { payload, result };
  using Block = std::expected<BlockBuilder*, Visit>;

  /// All parts that are left. Visit::changed: as for write_job().
  Visit write_parts(CellIndex index, StateWord word, Body body, Parting& parting, Purpose purpose);
  /// The parts of the result, if the job is over and has one in the arena.
  Visit write_result_parts(CellIndex index, StateWord word, Purpose purpose);
  Parting& parting_of(Body body, Purpose purpose) noexcept {
    return partings_[purpose == Purpose::compaction ? 1 : 0][body == Body::result ? 1 : 0];
  }
  std::optional<std::span<const std::byte>> body_of(JobId id, Body body) const noexcept {
    return body == Body::result ? arena_.result_of(id) : arena_.payload_of(id);
  }
  bool is_result_in_arena(CellIndex index, StateWord word) const noexcept {
    return word.state() == CellState::completed &&
           (table_.header(index).flags.load() & cell_flag::result_in_arena) != 0;
  }
  std::uint64_t change_of(CellIndex index) const noexcept {
    const CellOptions* const options = table_.options(index);
    return options != nullptr ? options->started.load() : 0;
  }
  static std::span<std::byte> append_part(BlockBuilder& block, Body body, const Parting& parting, std::uint32_t bytes,
                                          std::uint64_t whole_bytes) noexcept;
  /// The job's record, but for what stands beside it. Words that are read may be torn: the caller looks at the word
  /// again.
  JobRecord record_of(CellIndex index, StateWord word, std::uint32_t most_payload, Told told) const noexcept;
  /// The record that `parting` has written the payload of, or the whole job.
  void append_job(BlockBuilder& block, CellIndex index, const JobRecord& record, const Parting* parting) noexcept;
  Change append_beside_job(BlockBuilder& block, CellIndex index, StateWord word, Purpose purpose, Told told) noexcept;
  void append_links(BlockBuilder& block, CellIndex index, StateWord word, const CellLinks& links) noexcept;
  void append_notes(BlockBuilder& block, JobId id, const CellNotes& cell) noexcept;
  Change append_change(BlockBuilder& block, CellIndex index, StateWord word, Purpose purpose) noexcept;
  /// What is read may be torn: the caller looks at the word again. False: the parts of its result are not there yet.
  bool append_change_as_read(BlockBuilder& block, CellIndex index, StateWord word, Purpose purpose) noexcept;

  bool is_parked(CellIndex index, StateWord word) const noexcept;
  /// True if the job's record, and the count of its attempts, do not say all.
  bool needs_change(CellIndex index, StateWord word) const noexcept;
  /// True if the journal may have it as one that waits for its time or for others, though no attempt of it has ended.
  bool had_to_wait(CellIndex index) const noexcept;
  /// True if all that was read of the cell since `word` belongs to it.
  bool is_as_it_was(CellIndex index, StateWord word) const noexcept;
  /// True if a job that moves on can be visited again; false: it is taken as it is.
  bool may_visit_again(CellIndex index) const noexcept;

  std::uint32_t most_bytes_beside_job() const noexcept;
  /// True if the open segment does not name it yet; from now on it does.
  bool is_unnamed(std::uint64_t& named_in) const noexcept;
  Block room(std::uint32_t bytes, Purpose purpose);
  /// Room for the records of a job of this kind and retry policy. Their names are before it, or earlier in the same
  /// segment, unless the cell is corrupted.
  Block room_for_job(std::uint32_t kind, std::uint32_t policy, std::uint32_t bytes, Purpose purpose);
  void remember(CellIndex index);

  const Segment* segment_;
  JournalWriter* writer_;
  CellsInFlight* in_flight_;
  JobTable table_;
  Arena arena_;
  std::vector<std::uint64_t> kind_named_in_;        // per kind: the segment that has its name
  std::vector<std::uint64_t> policy_named_in_;      // per retry policy, likewise
  std::array<std::array<Parting, 2>, 2> partings_;  // by purpose and body
  std::optional<std::uint64_t> compacted_;
  Patience patience_ = Patience::waits;
  std::uint64_t count_ = 0;
};

}  // namespace ringmill
