// A journal written by hand, block by block, right or wrong; and one read into lines of text.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/journal/block_builder.h"
#include "core/journal/format.h"
#include "core/journal/reader.h"
#include "tests/journal/memory_device.h"

namespace ringmill::test {

inline constexpr std::uint64_t test_engine = 0x1122334455667788;

struct HandWritten {
  MemoryDevice device;
  std::uint64_t engine_id = test_engine;
  std::uint64_t segment_bytes = 16 * journal_unit;

  // What the next segment or block will say.
  std::uint64_t epoch = 1;
  std::uint64_t segment = 0;
  std::uint64_t number = 0;  // of the last block
  /// A block says that the one `lag` before it was durable, or a later one where it must have been: what was there when
  /// the segment was begun, or when the keeper took over.
  std::uint64_t lag = 1;
  std::uint64_t least_durable = 0;
  std::uint64_t oldest = 1;
  std::uint64_t oldest_in_head = 1;
  SlotNumber slot = 0;
  std::uint64_t offset = 0;  // where the next block will stand
  std::uint64_t first_block = 1;
  std::uint64_t previous_end = 0;
  std::map<std::uint64_t, std::uint64_t> ends;  // of this segment's blocks, by number; and where the first one begins
  std::vector<std::string> lines;               // of what was written so far, as Lines reads it

  std::vector<std::byte>& file() { return device.files.at(slot); }

  /// Another keeper has found that the chain ends with block `last` of this segment, and goes on.
  void take_over(std::uint64_t last) {
    ++epoch;
    number = least_durable = last;
    offset = ends.at(last);
  }
  /// The next segment, in `in_slot`: what the file has already stays behind the head. All blocks so far are durable.
  void begin(SlotNumber in_slot) {
    previous_end = ends.empty() ? 0 : ends.at(number);
    ends = {{number, journal_unit}};
    first_block = number + 1;
    least_durable = number;
    ++segment;
    slot = in_slot;
    offset = journal_unit;
    device.files[slot].resize(segment_bytes);
    SegmentHead head{.segment_bytes_in_units = static_cast<std::uint32_t>(segment_bytes / journal_unit),
                     .engine_id = engine_id,
                     .segment = segment,
                     .epoch = epoch,
                     .first_block = first_block,
                     .oldest = oldest_in_head,
                     .created_at_ns = 1,
                     .previous_end_in_units = static_cast<std::uint32_t>(previous_end / journal_unit)};
    put_head(head);
  }
  void put_head(SegmentHead head) {
    head.checksum = checksum_of(head);
    std::fill_n(file().begin(), journal_unit, std::byte{});
    std::memcpy(file().data(), &head, sizeof head);
  }

  BlockHead next_head() {
    ++number;
    const std::uint64_t durable = std::max(number - std::min(lag, number), least_durable);
    return {.engine_id = engine_id,
            .segment = segment,
            .number = number,
            .durable = durable,
            .oldest = oldest,
            .epoch = epoch,
            .offset_in_units = static_cast<std::uint32_t>(offset / journal_unit),
            .durable_end_in_units = static_cast<std::uint32_t>(ends.at(durable) / journal_unit),
            .previous_end_in_units = static_cast<std::uint32_t>(previous_end / journal_unit),
            .index = static_cast<std::uint32_t>(number - first_block),
            .written_at_ns = 2};
  }
  /// A block of whatever `fill` appends, at the next place. Returns where it stands.
  template <class Fill>
  std::uint64_t block_of(const Fill& fill) {
    alignas(journal_unit) static std::array<std::byte, most_block_bytes> buffer;
    BlockBuilder builder{std::span<std::byte>(buffer)};
    fill(builder);
    const std::span<const std::byte> block = builder.seal(next_head());
    std::ranges::copy(block, file().begin() + static_cast<std::ptrdiff_t>(offset));
    const std::uint64_t at = offset;
    offset += block.size();
    ends[number] = offset;
    return at;
  }
  /// A block with one job of each number in `ids`, their payload of so many bytes.
  std::uint64_t jobs(const std::vector<std::uint64_t>& ids, std::uint32_t payload_bytes = 5) {
    return block_of([&](BlockBuilder& builder) {
      for (const std::uint64_t id : ids) {
        const std::string payload = payload_of(id, payload_bytes);
        const auto to =
            builder.append_job({.payload_bytes = payload_bytes, .id = id, .enqueued_at_ms_and_attempts = 7, .kind = 1});
        std::memcpy(to.data(), payload.data(), payload.size());
        lines.push_back(job_line(id, payload));
      }
    });
  }
  std::uint64_t job(std::uint64_t id) { return jobs({id}); }

  static std::string payload_of(std::uint64_t id, std::uint32_t bytes) {
    std::string text = fmt::format("{:05}", id);
    while (text.size() < bytes) text += text;
    text.resize(bytes);
    return text;
  }
  static std::string job_line(std::uint64_t id, std::string_view payload) {
    return fmt::format("job {} {}", id, payload.substr(0, 40));
  }
  static std::string change_line(std::uint64_t id, std::string_view text) {
    return fmt::format("change {} {}", id, text.substr(0, 40));
  }
  static std::string options_line(std::uint64_t id, std::uint64_t keep_ms) {
    return fmt::format("options {} {}", id, keep_ms);
  }

  static std::string notes_line(std::uint64_t id, std::string_view tag) { return fmt::format("notes {} {}", id, tag); }
  static std::string part_line(std::uint64_t id, std::uint32_t number, std::string_view part) {
    return fmt::format("part {} {} {}", id, number, part.substr(0, 40));
  }
  static std::string large_line(std::uint64_t id, std::uint64_t bytes) { return fmt::format("large {} {}", id, bytes); }

  /// Makes the checksum of the block at `at` right.
  void sign(std::uint64_t at) {
    BlockHead head;
    std::memcpy(&head, &file()[at], sizeof head);
    head.checksum = checksum_of_block({&file()[at], head.bytes});
    std::memcpy(&file()[at], &head, sizeof head);
  }
  void flip(std::uint64_t at, unsigned bit = 0) { file()[at] ^= std::byte{static_cast<unsigned char>(1U << bit)}; }
  void zero(std::uint64_t from, std::uint64_t bytes) {
    std::fill_n(file().begin() + static_cast<std::ptrdiff_t>(from), bytes, std::byte{});
  }
};

/// What a reader was told, a line each.
class Lines : public JournalVisitor {
 public:
  std::vector<std::string> lines;

  void on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte> payload) override {
    lines.push_back(HandWritten::job_line(record.id, as_text(payload)));
  }
  void on_ended(const JournalPlace&, JobId id) override { lines.push_back(fmt::format("ended {}", id.value())); }
  void on_attempts(const JournalPlace&, JobId id, std::uint16_t attempts) override {
    lines.push_back(fmt::format("attempts {} {}", id.value(), attempts));
  }
  void on_kind(const JournalPlace&, std::uint32_t kind, std::string_view name) override {
    lines.push_back(fmt::format("kind {} {}", kind, name));
  }
  void on_change(const JournalPlace&, const ChangeRecord& record, std::string_view text) override {
    lines.push_back(HandWritten::change_line(record.id, text));
  }
  void on_options(const JournalPlace&, const OptionsRecord& record) override {
    lines.push_back(HandWritten::options_line(record.id, record.keep_ms));
  }
  void on_notes(const JournalPlace&, const NotesRecord& record, std::string_view tag) override {
    lines.push_back(HandWritten::notes_line(record.id, tag));
  }
  void on_part(const JournalPlace&, const PartRecord& record, std::span<const std::byte> part) override {
    lines.push_back(HandWritten::part_line(record.id, record.number, as_text(part)));
  }
  void on_large_job(const JournalPlace&, const LargeJobRecord& record) override {
    lines.push_back(HandWritten::large_line(record.job.id, record.job.payload_bytes));
  }
  void on_retry_policy(const JournalPlace&, std::uint32_t policy, std::string_view text) override {
    lines.push_back(fmt::format("retry policy {} {}", policy, text));
  }
};

struct Read {
  JournalReport report;
  std::vector<std::string> lines;
};

inline Result<Read> read_all(JournalDevice& device, std::uint64_t engine_id = test_engine) {
  Lines visitor;
  auto report = read_journal(device, engine_id, visitor);
  if (!report) return std::unexpected(std::move(report.error()));
  return Read{*std::move(report), std::move(visitor.lines)};
}

}  // namespace ringmill::test
