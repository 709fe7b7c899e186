// What was handed to the journal, block by block, and what a reader gets back: the sweep's own memory, outside of the
// engine, and a replay of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/journal/device.h"
#include "core/journal/reader.h"
#include "core/table/notes.h"
#include "ipc/layout.h"

namespace ringmill::crash {

constexpr bool is_over(JournaledState state) noexcept {
  return state == JournaledState::completed || state == JournaledState::cancelled || state == JournaledState::dead;
}

/// One record, as far as two records can differ.
struct LedgerRecord {
  RecordType type = RecordType::job;
  std::uint64_t id = 0;
  std::uint64_t content = 0;  // of a job or a kind: a hash of all that does not change during its life
  std::uint64_t enqueued_at_ms = 0;
  std::uint16_t attempts = 0;
  JournaledState state = JournaledState::waits;
  std::string text{};         // of a change
  std::uint64_t options = 0;  // of options: options_content_of() them
  std::uint64_t links = 0;    // of links: links_content_of() them
  BornRule rule = BornRule::alone;
  std::uint64_t born_of = 0;
  std::uint64_t notes = 0;  // of notes: notes_content_of() them

  bool operator==(const LedgerRecord&) const noexcept = default;
};

/// `content` without the moment of enqueueing, the attempts and the lease, whose word a result's length takes.
std::uint64_t content_of(std::uint16_t level, std::uint16_t kind, std::uint16_t most_attempts,
                         std::span<const std::byte> payload) noexcept;
/// What a job asks for beyond the plain, moments aside. 0: nothing.
std::uint64_t options_content_of(const OptionsRecord& record) noexcept;
/// What a linked job is beyond its payload, in which its parents' ids are. Never 0.
std::uint64_t links_content_of(std::uint32_t parents, bool runs_all_the_same) noexcept;
/// What a job carries beside its payload. 0: nothing.
std::uint64_t notes_content_of(const Notes& notes) noexcept;
LedgerRecord ledger_record_of(const JobRecord& record, std::span<const std::byte> payload) noexcept;

/// The cells as the journal tells them.
class Replay {
 public:
  struct Life {
    std::uint64_t generation = 0;
    std::uint64_t content = 0;
    std::uint64_t enqueued_at_ms = 0;
    std::uint16_t attempts = 0;
    JournaledState state = JournaledState::waits;
    std::string text{};
    std::uint64_t options = 0;
    std::uint64_t links = 0;
    BornRule rule = BornRule::alone;
    std::uint64_t born_of = 0;
    std::uint64_t notes = 0;
    bool operator==(const Life&) const noexcept = default;
  };

  void apply(const LedgerRecord& record);
  /// Jobs that are in the table, by cell, whether they count or not.
  const std::map<std::uint32_t, Life>& live() const noexcept { return live_; }
  /// Those that count: each whose leader the journal knows, and for follow-ups that it is over.
  std::map<std::uint32_t, Life> counting() const;
  /// The highest generation that was heard of, by cell.
  std::uint64_t generation_of_cell(std::uint32_t cell) const noexcept;

 private:
  static void wait_again(Life& life, std::uint16_t attempts);

  std::map<std::uint32_t, Life> live_;
  std::map<std::uint32_t, std::uint64_t> ended_below_;
  std::map<std::uint32_t, std::uint64_t> heard_;
};

struct LedgerBlock {
  std::uint64_t segment = 0;
  std::vector<LedgerRecord> records;
};

/// All blocks that were ever begun, by number.
class BlockLedger {
 public:
  void add(std::uint64_t number, std::uint64_t segment, const LedgerRecord& record);
  /// The next keeper goes on behind block `last`: what the one before it began later is a branch that may still be
  /// found, as long as nothing behind `last` was acknowledged.
  void cut_behind(std::uint64_t last);
  /// After a power cut: `as_found` up to `last` is the only history.
  void keep_only(std::uint64_t last, const std::map<std::uint64_t, LedgerBlock>& as_found);

  const std::map<std::uint64_t, LedgerBlock>& blocks() const noexcept { return blocks_; }
  std::uint64_t last() const noexcept { return blocks_.empty() ? 0 : blocks_.rbegin()->first; }
  /// Every history that may be on the disk and ends with block `last`, `acknowledged` being durable.
  std::vector<std::map<std::uint64_t, LedgerBlock>> histories(std::uint64_t last, std::uint64_t acknowledged) const;
  /// Was such a block ever begun?
  bool knows(std::uint64_t number, const std::vector<LedgerRecord>& records) const;

 private:
  struct Branch {
    std::uint64_t base = 0;
    std::map<std::uint64_t, LedgerBlock> blocks;  // behind base
  };
  std::map<std::uint64_t, LedgerBlock> blocks_;
  std::vector<Branch> branches_;
  std::multimap<std::uint64_t, std::vector<LedgerRecord>> left_;  // every block that was ever cut off
};

/// What a reader got.
struct ReadBack {
  struct Block {
    JournalPlace place;
    std::uint64_t durable = 0;
    std::uint32_t bytes = 0;
    std::vector<LedgerRecord> records;
  };
  std::vector<Block> blocks;
  JournalReport report;

  std::uint64_t most_durable() const noexcept;
};

Result<ReadBack> read_back(JournalDevice& device, std::uint64_t engine_id);
Replay replay_of(const std::vector<ReadBack::Block>& blocks);
Replay replay_of(const std::map<std::uint64_t, LedgerBlock>& blocks);

}  // namespace ringmill::crash
