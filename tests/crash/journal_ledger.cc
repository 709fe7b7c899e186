#include "tests/crash/journal_ledger.h"

#include <algorithm>
#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fmt/format.h>

#include "core/durability/journaled_notes.h"
#include "core/journal/parts.h"
#include "ipc/layout.h"
#include "ipc/state_word.h"

namespace ringmill::crash {

namespace {

class Collector final : public WholeJobsVisitor {
 public:
  Collector() : WholeJobsVisitor(true) {}

  void on_block(const JournalPlace& place, const BlockHead& head) override {
    blocks.push_back({.place = place, .durable = head.durable, .bytes = head.bytes, .records = {}});
  }
  void on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte> payload) override {
    blocks.back().records.push_back(ledger_record_of(record, payload));
  }
  void on_ended(const JournalPlace&, JobId id) override {
    blocks.back().records.push_back({.type = RecordType::ended, .id = id.value()});
  }
  void on_attempts(const JournalPlace&, JobId id, std::uint16_t attempts) override {
    blocks.back().records.push_back({.type = RecordType::attempts, .id = id.value(), .attempts = attempts});
  }
  void on_change(const JournalPlace&, const ChangeRecord& record, std::string_view text) override {
    blocks.back().records.push_back({.type = RecordType::change,
                                     .id = record.id,
                                     .attempts = record.attempts,
                                     .state = record.state,
                                     .text = record.is_result_in_parts() ? result_of(record) : std::string(text)});
  }
  void on_result_part(const JournalPlace&, const ResultPartRecord& record, std::span<const std::byte> part) override {
    parts_.add(record, part);
  }
  void on_options(const JournalPlace&, const OptionsRecord& record) override {
    blocks.back().records.push_back(
        {.type = RecordType::options, .id = record.id, .options = options_content_of(record)});
  }
  void on_links(const JournalPlace&, const LinksRecord& record) override {
    blocks.back().records.push_back({.type = RecordType::links,
                                     .id = record.id,
                                     .links = links_content_of(record.parents, record.runs_all_the_same != 0),
                                     .rule = static_cast<BornRule>(record.rule),
                                     .born_of = record.born_of});
  }
  void on_notes(const JournalPlace&, const NotesRecord& record, std::string_view tag) override {
    blocks.back().records.push_back(
        {.type = RecordType::notes, .id = record.id, .notes = notes_content_of(notes_of(record, tag))});
  }
  void on_kind(const JournalPlace&, std::uint32_t kind, std::string_view name) override {
    blocks.back().records.push_back(
        {.type = RecordType::kind, .id = kind, .content = XXH3_64bits(name.data(), name.size())});
  }

  std::vector<ReadBack::Block> blocks;

 private:
  /// A second record of one result need not have all parts behind the first.
  std::string result_of(const ChangeRecord& record) {
    const auto whole = parts_.take(JobId(record.id), record.started);
    if (whole) results_[{record.id, record.started}] = as_text(*whole);
    return results_[{record.id, record.started}];
  }

  JournalParts parts_{true};
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> results_;
};

}  // namespace

std::uint64_t content_of(std::uint16_t level, std::uint16_t kind, std::uint16_t most_attempts,
                         std::span<const std::byte> payload) noexcept {
  const std::array<std::uint32_t, 3> fields{level, kind, most_attempts};
  return XXH3_64bits_withSeed(payload.data(), payload.size(), XXH3_64bits(fields.data(), sizeof fields));
}

std::uint64_t options_content_of(const OptionsRecord& record) noexcept {
  const auto flags = static_cast<std::uint64_t>(record.cell_flags & cell_flag::journaled);
  if (flags == 0 && record.retry_policy == 0) return 0;
  const std::array<std::uint64_t, 6> fields{flags,
                                            record.retry_policy,
                                            record.keep_ms,
                                            record.unique_low,
                                            record.unique_high,
                                            record.expires_at_ms != 0 ? 1U : 0U};
  return XXH3_64bits(fields.data(), sizeof fields);
}

std::uint64_t links_content_of(std::uint32_t parents, bool runs_all_the_same) noexcept {
  if (parents == 0) return 0;  // a job that waits for no other may have links, or none
  return std::uint64_t{parents} << 2 | (runs_all_the_same ? 2U : 0U) | 1U;
}

std::uint64_t notes_content_of(const Notes& notes) noexcept {
  if (notes == Notes()) return 0;
  const std::string text = fmt::format("{} {} {} {} {}", notes.serial_low, notes.serial_high,
                                       notes.retried_from.value(), notes.trace.text(), notes.tag());
  return XXH3_64bits(text.data(), text.size());
}

LedgerRecord ledger_record_of(const JobRecord& record, std::span<const std::byte> payload) noexcept {
  return {.type = RecordType::job,
          .id = record.id,
          .content = content_of(record.level, record.kind, record.most_attempts, payload),
          .enqueued_at_ms = record.enqueued_at_ms(),
          .attempts = record.attempts()};
}

/// A record that says no more than that the job waits after so many attempts.
void Replay::wait_again(Life& life, std::uint16_t attempts) {
  if (is_over(life.state) || attempts < life.attempts) return;
  life.attempts = attempts;
  life.state = JournaledState::waits;
}

void Replay::apply(const LedgerRecord& record) {
  if (record.type == RecordType::kind) return;
  const std::uint32_t cell = index_of(JobId(record.id));
  const std::uint64_t generation = generation_of(JobId(record.id));
  heard_[cell] = std::max(heard_[cell], generation);
  const auto life = live_.find(cell);
  switch (record.type) {
    case RecordType::job:
      if (generation < ended_below_[cell]) return;
      if (life != live_.end() && life->second.generation > generation) return;
      // What is over stays over; and the beginning of a job that leads others may be written once more.
      if (life != live_.end() && life->second.generation == generation)
        return wait_again(life->second, record.attempts);
      live_[cell] = {.generation = generation,
                     .content = record.content,
                     .enqueued_at_ms = record.enqueued_at_ms,
                     .attempts = record.attempts};
      return;
    case RecordType::change:
      if (life == live_.end() || life->second.generation != generation) return;
      if (is_over(life->second.state) && !is_over(record.state)) return;
      life->second.attempts = record.attempts;
      life->second.state = record.state;
      life->second.text = record.text;
      return;
    case RecordType::options:
      if (life != live_.end() && life->second.generation == generation) life->second.options = record.options;
      return;
    case RecordType::ended:
      ended_below_[cell] = std::max(ended_below_[cell], generation);
      if (life != live_.end() && life->second.generation < generation) live_.erase(life);
      return;
    case RecordType::attempts:
      if (life == live_.end() || life->second.generation != generation) return;
      return wait_again(life->second, record.attempts);
    case RecordType::links:
      if (life == live_.end() || life->second.generation != generation) return;
      life->second.links = record.links;
      life->second.rule = record.rule;
      life->second.born_of = record.born_of;
      return;
    case RecordType::kind:
    case RecordType::retry_policy:
    case RecordType::part:
    case RecordType::large_job:
    case RecordType::result_part:
      return;
    case RecordType::notes:
      if (life != live_.end() && life->second.generation == generation) life->second.notes = record.notes;
      return;
  }
}

std::map<std::uint32_t, Replay::Life> Replay::counting() const {
  std::map<std::uint32_t, Life> left = live_;
  const auto counts = [&](const Life& life) {
    if (life.rule == BornRule::alone) return true;
    const JobId leader(life.born_of);
    if (generation_of_cell(index_of(leader)) > generation_of(leader)) return true;  // over
    const auto there = left.find(index_of(leader));
    if (there == left.end() || there->second.generation != generation_of(leader)) return false;
    return life.rule == BornRule::with_it || is_over(there->second.state);
  };
  // What came with one that does not count does not count either.
  while (std::erase_if(left, [&](const auto& cell) { return !counts(cell.second); }) != 0) {
  }
  return left;
}

std::uint64_t Replay::generation_of_cell(std::uint32_t cell) const noexcept {
  const auto at = heard_.find(cell);
  return at == heard_.end() ? 0 : at->second;
}

void BlockLedger::add(std::uint64_t number, std::uint64_t segment, const LedgerRecord& record) {
  LedgerBlock& block = blocks_[number];
  block.segment = segment;
  block.records.push_back(record);
}

void BlockLedger::cut_behind(std::uint64_t last) {
  Branch branch{.base = last, .blocks = {}};
  const auto from = blocks_.upper_bound(last);
  branch.blocks.insert(from, blocks_.end());
  blocks_.erase(from, blocks_.end());
  for (const auto& [number, block] : branch.blocks) left_.emplace(number, block.records);
  // A branch of a branch: what leads to it is part of it.
  for (const Branch& older : std::vector(branches_)) {
    if (older.base <= last) continue;
    branches_.push_back({.base = last, .blocks = older.blocks});
    branches_.back().blocks.insert(branch.blocks.begin(), branch.blocks.upper_bound(older.base));
  }
  std::erase_if(branches_, [last](const Branch& older) { return older.base > last; });
  if (!branch.blocks.empty()) branches_.push_back(std::move(branch));
}

void BlockLedger::keep_only(std::uint64_t last, const std::map<std::uint64_t, LedgerBlock>& as_found) {
  blocks_ = as_found;
  blocks_.erase(blocks_.upper_bound(last), blocks_.end());
  branches_.clear();
}

std::vector<std::map<std::uint64_t, LedgerBlock>> BlockLedger::histories(std::uint64_t last,
                                                                         std::uint64_t acknowledged) const {
  std::vector<std::map<std::uint64_t, LedgerBlock>> found;
  found.emplace_back(blocks_.begin(), blocks_.upper_bound(last));
  for (const Branch& branch : branches_) {
    if (branch.base < acknowledged || branch.base >= last) continue;
    auto& history = found.emplace_back(blocks_.begin(), blocks_.upper_bound(branch.base));
    history.insert(branch.blocks.begin(), branch.blocks.upper_bound(last));
  }
  return found;
}

bool BlockLedger::knows(std::uint64_t number, const std::vector<LedgerRecord>& records) const {
  const auto at = blocks_.find(number);
  if (at != blocks_.end() && at->second.records == records) return true;
  const auto [first, last] = left_.equal_range(number);
  return std::any_of(first, last, [&](const auto& left) { return left.second == records; });
}

std::uint64_t ReadBack::most_durable() const noexcept {
  std::uint64_t most = 0;
  for (const Block& block : blocks) most = std::max(most, block.durable);
  return most;
}

Result<ReadBack> read_back(JournalDevice& device, std::uint64_t engine_id) {
  Collector collector;
  auto report = read_journal(device, engine_id, collector);
  if (!report) return std::unexpected(report.error());
  return ReadBack{.blocks = std::move(collector.blocks), .report = *std::move(report)};
}

Replay replay_of(const std::vector<ReadBack::Block>& blocks) {
  Replay replay;
  for (const ReadBack::Block& block : blocks) {
    for (const LedgerRecord& record : block.records) replay.apply(record);
  }
  return replay;
}

Replay replay_of(const std::map<std::uint64_t, LedgerBlock>& blocks) {
  Replay replay;
  for (const auto& [number, block] : blocks) {
    for (const LedgerRecord& record : block.records) replay.apply(record);
  }
  return replay;
}

}  // namespace ringmill::crash
