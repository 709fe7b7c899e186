// docs/journal-format.md is true: its example is what is written, and a reader written from it alone reads as ours
// does.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/journal/hand_written.h"
#include "tests/journal/random_journal.h"
#include "tests/support/must.h"
#include "tests/support/program.h"
#include "tests/support/random.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

using Json = nlohmann::ordered_json;

/// The JSON lines that journal.py prints, from our reader.
class JsonLines : public JournalVisitor {
 public:
  std::vector<Json> lines;

  void on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) override {
    Json json = begin(place, "job");
    json["id"] = JobId(record.id).to_string();
    json["level"] = record.level;
    json["kind"] = record.kind;
    json["attempts"] = record.attempts();
    json["most_attempts"] = record.most_attempts;
    json["lease_ms"] = record.lease_ms;
    json["enqueued_at_ms"] = record.enqueued_at_ms();
    json["payload"] = hex(payload);
    lines.push_back(json);
  }
  void on_ended(const JournalPlace& place, JobId id) override {
    Json json = begin(place, "ended");
    json["id"] = id.to_string();
    lines.push_back(json);
  }
  void on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) override {
    Json json = begin(place, "attempts");
    json["id"] = id.to_string();
    json["attempts"] = attempts;
    lines.push_back(json);
  }
  void on_kind(const JournalPlace& place, std::uint32_t kind, std::string_view name) override {
    Json json = begin(place, "kind");
    json["kind"] = kind;
    json["name"] = hex(as_payload(name));
    lines.push_back(json);
  }
  void on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) override {
    Json json = begin(place, "change");
    json["id"] = JobId(record.id).to_string();
    json["attempts"] = record.attempts;
    json["state"] = static_cast<int>(record.state);
    json["cause"] = record.cause;
    json["due_ms"] = record.due_ms();
    json["is_moment"] = record.is_wall();
    json["is_cut"] = (record.due & ChangeRecord::result_cut_bit) != 0;
    json["is_in_parts"] = (record.due & ChangeRecord::result_parts_bit) != 0;
    json["started_ms"] = record.started & 0xffffffffffff;
    json["worker"] = static_cast<int>(record.started >> 48) - 1;
    json["ended_at_ms"] = record.ended_at_ms;
    json["text"] = hex(as_payload(text));
    lines.push_back(json);
  }
  void on_options(const JournalPlace& place, const OptionsRecord& record) override {
    Json json = begin(place, "options");
    json["id"] = JobId(record.id).to_string();
    json["cell_flags"] = record.cell_flags;
    json["retry_policy"] = record.retry_policy;
    json["expires_at_ms"] = record.expires_at_ms;
    json["keep_ms"] = record.keep_ms;
    json["unique"] =
        hex(std::as_bytes(std::span(&record.unique_low, 1))) + hex(std::as_bytes(std::span(&record.unique_high, 1)));
    lines.push_back(json);
  }
  void on_links(const JournalPlace& place, const LinksRecord& record) override {
    Json json = begin(place, "links");
    json["id"] = JobId(record.id).to_string();
    json["rule"] = record.rule;
    json["runs_all_the_same"] = record.runs_all_the_same;
    json["parents"] = record.parents;
    json["born_of"] = JobId(record.born_of).to_string();
    lines.push_back(json);
  }
  void on_notes(const JournalPlace& place, const NotesRecord& record, std::string_view tag) override {
    Json json = begin(place, "notes");
    json["id"] = JobId(record.id).to_string();
    json["trace_flags"] = record.trace_flags;
    json["serial"] =
        hex(std::as_bytes(std::span(&record.serial_low, 1))) + hex(std::as_bytes(std::span(&record.serial_high, 1)));
    json["retried_from"] = JobId(record.retried_from).to_string();
    json["trace_id"] = hex(std::as_bytes(std::span(record.trace_id)));
    json["trace_parent"] = hex(std::as_bytes(std::span(record.trace_parent)));
    json["tag"] = hex(as_payload(tag));
    lines.push_back(json);
  }
  void on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) override {
    Json json = begin(place, "part");
    json["id"] = JobId(record.id).to_string();
    json["number"] = record.number;
    json["payload_bytes"] = record.payload_bytes;
    json["part"] = hex(part);
    lines.push_back(json);
  }
  void on_result_part(const JournalPlace& place, const ResultPartRecord& record,
                      std::span<const std::byte> part) override {
    Json json = begin(place, "result_part");
    json["id"] = JobId(record.id).to_string();
    json["number"] = record.number;
    json["result_bytes"] = record.result_bytes;
    json["change"] = record.change;
    json["part"] = hex(part);
    lines.push_back(json);
  }
  void on_large_job(const JournalPlace& place, const LargeJobRecord& record) override {
    Json json = begin(place, "large_job");
    json["id"] = JobId(record.job.id).to_string();
    json["level"] = record.job.level;
    json["kind"] = record.job.kind;
    json["attempts"] = record.job.attempts();
    json["most_attempts"] = record.job.most_attempts;
    json["lease_ms"] = record.job.lease_ms;
    json["enqueued_at_ms"] = record.job.enqueued_at_ms();
    json["payload_bytes"] = record.job.payload_bytes;
    json["first_segment"] = record.first_segment;
    lines.push_back(json);
  }
  void on_retry_policy(const JournalPlace& place, std::uint32_t policy, std::string_view text) override {
    Json json = begin(place, "retry_policy");
    json["retry_policy"] = policy;
    json["text"] = hex(as_payload(text));
    lines.push_back(json);
  }

 private:
  static Json begin(const JournalPlace& place, std::string_view type) {
    return {{"segment", place.segment}, {"offset", place.offset}, {"block", place.block}, {"type", type}};
  }
  static std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
  }
};

Json summary_of(const JournalReport& report) {
  Json json{{"segments", report.segments},
            {"blocks", report.blocks},
            {"records", report.records},
            {"last_block", report.last_block}};
  json["torn_tail"] = nullptr;
  if (report.torn_tail) {
    json["torn_tail"] = Json{{"segment", report.torn_tail->segment}, {"offset", report.torn_tail->offset}};
  }
  json["damage"] = Json::array();
  for (const JournalDamage& damage : report.damage) {
    json["damage"].push_back(
        {{"segment", damage.segment}, {"offset", damage.offset}, {"bytes", damage.bytes}, {"reason", damage.reason}});
  }
  return json;
}

/// Damage in one order: readers may find it in another.
Json sorted(Json summary) {
  auto& damage = summary["damage"];
  std::vector<std::string> texts;
  for (const Json& one : damage) texts.push_back(one.dump());
  std::ranges::sort(texts);
  damage = texts;
  return summary;
}

void put_segments(const MemoryDevice& device, const std::filesystem::path& folder) {
  for (const auto& [slot, bytes] : device.files) {
    std::ofstream file(folder / fmt::format("{:04}.segment", slot), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
}

void expect_agreement(MemoryDevice& device) {
  JsonLines ours;
  const JournalReport report = must(read_journal(device, test_engine, ours));
  const ScratchFolder folder;
  put_segments(device, folder.path());
  const Ran theirs = Program("/usr/bin/python3", {std::string(RINGMILL_SOURCES) + "/tests/journal/journal.py",
                                                  folder.path().string(), fmt::format("{:016x}", test_engine)})
                         .end();
  ASSERT_EQ(theirs.err, "");
  EXPECT_EQ(theirs.exit_code, report.damage.empty() ? 0 : 1);
  std::vector<Json> lines = theirs.json_lines();
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(sorted(lines.back()), sorted(summary_of(report)));
  lines.pop_back();
  ASSERT_EQ(lines.size(), ours.lines.size());
  for (std::size_t n = 0; n < lines.size(); ++n) ASSERT_EQ(lines[n], ours.lines[n]);
}

void write_example(HandWritten& journal) {
  journal.segment_bytes = 2 * journal_unit;
  journal.begin(0);
  journal.block_of([](BlockBuilder& builder) {
    builder.append_kind(1, "mail");
    const auto payload = builder.append_job({.level = 1,
                                             .payload_bytes = 5,
                                             .id = std::uint64_t{1} << 24 | 3,
                                             .enqueued_at_ms_and_attempts = 1764000000000,
                                             .kind = 1});
    std::memcpy(payload.data(), "hello", 5);
    builder.append_ended(JobId(std::uint64_t{2} << 24 | 4));
  });
}

/// The bytes of the ```hexdump block: `hexdump -C`, where * stands for lines like the one before.
std::vector<std::byte> documented_example() {
  std::ifstream file(std::string(RINGMILL_SOURCES) + "/docs/journal-format.md");
  std::vector<std::byte> bytes;
  std::vector<std::byte> last(16);
  bool is_inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "```hexdump") {
      is_inside = true;
    } else if (is_inside && line == "```") {
      break;
    } else if (is_inside && line != "*") {
      std::istringstream words(line.substr(0, line.find('|')));
      std::size_t at = 0;
      words >> std::hex >> at;
      while (bytes.size() < at) bytes.insert(bytes.end(), last.begin(), last.end());
      last.clear();
      for (unsigned byte = 0; words >> byte;) last.push_back(static_cast<std::byte>(byte));
      bytes.insert(bytes.end(), last.begin(), last.end());
    }
  }
  return bytes;
}

TEST(JournalFormatDocument, its_example_is_what_is_written) {
  HandWritten journal;
  write_example(journal);
  EXPECT_TRUE(documented_example() == journal.file());
}

TEST(JournalFormatDocument, a_reader_written_from_it_reads_its_example_as_ours_does) {
  HandWritten journal;
  write_example(journal);
  expect_agreement(journal.device);
}

/// One block with the three records that `spoil` has gone over, between records that are right.
HandWritten with_later_life(void (*spoil)(ChangeRecord&, OptionsRecord&) = [](ChangeRecord&, OptionsRecord&) {}) {
  HandWritten journal;
  journal.begin(0);
  journal.job(1);
  journal.block_of([spoil](BlockBuilder& builder) {
    const std::string text = "no such host";
    ChangeRecord change{.attempts = 3,
                        .text_bytes = static_cast<std::uint16_t>(text.size()),
                        .state = JournaledState::dead,
                        .cause = 6,
                        .id = 2,
                        .due = ChangeRecord::wall_bit | 1764000000123,
                        .started = std::uint64_t{8} << 48 | 1764000000001,
                        .ended_at_ms = 1764000000002};
    OptionsRecord options{.cell_flags = 6,
                          .retry_policy = 256,
                          .id = 2,
                          .expires_at_ms = 1764000000777,
                          .keep_ms = 60000,
                          .unique_low = 0x0123456789abcdef,
                          .unique_high = 0xfedcba9876543210};
    spoil(change, options);
    builder.append_retry_policy(256, "fixed:5s");
    static_cast<void>(builder.append_job({.id = 2, .enqueued_at_ms_and_attempts = 7, .kind = 1}));
    builder.append_options(options);
    builder.append_links({.rule = 2, .runs_all_the_same = 1, .parents = 1, .id = options.id, .born_of = 0x3000007});
    builder.append_notes({.trace_flags = 1,
                          .id = options.id,
                          .serial_low = 7,
                          .serial_high = 8,
                          .retried_from = 0x3000009,
                          .trace_id = {0x0a, 0xf7},
                          .trace_parent = {0xb7}},
                         "order-17");
    const auto room = builder.append_change(change);
    std::memcpy(room.data(), text.data(), std::min(text.size(), room.size()));
  });
  journal.job(3);
  journal.job(4);
  return journal;
}

TEST(JournalFormatDocument, a_reader_written_from_it_refuses_a_tag_that_is_too_long_as_ours_does) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{31}, std::size_t{32}}) {
    HandWritten journal;
    journal.begin(0);
    journal.block_of([bytes](BlockBuilder& builder) { builder.append_notes({.id = 2}, std::string(bytes, 't')); });
    journal.job(3);
    Lines ours;
    const JournalReport report = must(read_journal(journal.device, test_engine, ours));
    EXPECT_EQ(report.damage.empty(), bytes <= 31) << bytes;
    expect_agreement(journal.device);
  }
}

TEST(JournalFormatDocument, a_reader_written_from_it_reads_a_jobs_later_life_as_ours_does) {
  HandWritten journal = with_later_life();
  JsonLines ours;
  must(read_journal(journal.device, test_engine, ours));
  ASSERT_EQ(ours.lines.size(), 9U) << "jobs 1, 3 and 4, and six records in the block between";
  EXPECT_EQ(ours.lines[5]["type"], "notes");
  EXPECT_EQ(ours.lines[6]["type"], "change");
  expect_agreement(journal.device);
}

TEST(JournalFormatDocument, a_reader_written_from_it_finds_the_same_damage_in_a_jobs_later_life_as_ours_does) {
  const std::vector<void (*)(ChangeRecord&, OptionsRecord&)> spoils{
      [](ChangeRecord& change, OptionsRecord&) { change.state = static_cast<JournaledState>(6); },
      [](ChangeRecord& change, OptionsRecord&) { change.id = 0; },
      [](ChangeRecord&, OptionsRecord& options) { options.id = 0; },
  };
  for (std::size_t n = 0; n < spoils.size(); ++n) {
    SCOPED_TRACE(n);
    HandWritten journal = with_later_life(spoils[n]);
    JsonLines ours;
    const JournalReport report = must(read_journal(journal.device, test_engine, ours));
    ASSERT_EQ(report.damage.size(), 1U);
    EXPECT_EQ(report.damage[0].reason, "records");
    EXPECT_EQ(ours.lines.size(), 3U) << "the blocks around it are read";
    expect_agreement(journal.device);
  }
}

TEST(JournalFormatDocument, a_text_longer_than_its_block_is_damage_for_both_readers) {
  HandWritten journal = with_later_life();
  // text_bytes of the change record, the last of the second block: its fixed part and 16 bytes of text end the records.
  BlockHead head;
  const std::uint64_t block = 2 * journal_unit;
  std::memcpy(&head, &journal.file()[block], sizeof head);
  const std::uint64_t record = block + sizeof head + head.record_bytes - sizeof(ChangeRecord) - 16;
  ASSERT_EQ(journal.file()[record], std::byte{5});
  journal.file()[record + offsetof(ChangeRecord, text_bytes) + 1] = std::byte{0xff};
  journal.sign(block);
  JsonLines ours;
  const JournalReport report = must(read_journal(journal.device, test_engine, ours));
  ASSERT_EQ(report.damage.size(), 1U);
  EXPECT_EQ(report.damage[0].reason, "records");
  expect_agreement(journal.device);
}

/// A payload of two parts and the record that they belong to; `spoil` has gone over the second part.
HandWritten with_parts(void (*spoil)(PartRecord&) = [](PartRecord&) {}) {
  HandWritten journal;
  journal.segment_bytes = 40 * journal_unit;
  journal.begin(0);
  for (std::uint16_t number = 0; number < 2; ++number) {
    journal.block_of([number, spoil](BlockBuilder& builder) {
      PartRecord part{.number = number,
                      .part_bytes = number == 0 ? most_part_bytes : 13,
                      .id = 2,
                      .payload_bytes = most_part_bytes + 13};
      if (number == 1) spoil(part);
      std::ranges::fill(builder.append_part(part), static_cast<std::byte>('a' + number));
    });
  }
  journal.block_of([](BlockBuilder& builder) {
    LargeJobRecord record;
    record.job.level = 2;
    record.job.payload_bytes = most_part_bytes + 13;
    record.job.id = 2;
    record.job.enqueued_at_ms_and_attempts = std::uint64_t{3} << 48 | 1764000000000;
    record.job.kind = 1;
    record.first_segment = 1;
    builder.append_large_job(record);
  });
  return journal;
}

TEST(JournalFormatDocument, a_reader_written_from_it_reads_a_payload_in_parts_as_ours_does) {
  HandWritten journal = with_parts();
  JsonLines ours;
  must(read_journal(journal.device, test_engine, ours));
  ASSERT_EQ(ours.lines.size(), 3U);
  EXPECT_EQ(ours.lines[1]["number"], 1);
  EXPECT_EQ(ours.lines[2]["type"], "large_job");
  expect_agreement(journal.device);
}

TEST(JournalFormatDocument, a_reader_written_from_it_finds_the_same_damage_in_parts_as_ours_does) {
  const std::vector<void (*)(PartRecord&)> spoils{
      [](PartRecord& part) { part.id = 0; },
      [](PartRecord& part) { part.number = 2; },
      [](PartRecord& part) { part.part_bytes = 12; },
      [](PartRecord& part) { part.payload_bytes = ~std::uint64_t{0}; },
  };
  for (std::size_t n = 0; n < spoils.size(); ++n) {
    SCOPED_TRACE(n);
    HandWritten journal = with_parts(spoils[n]);
    JsonLines ours;
    const JournalReport report = must(read_journal(journal.device, test_engine, ours));
    ASSERT_EQ(report.damage.size(), 1U);
    EXPECT_EQ(report.damage[0].reason, "records");
    EXPECT_EQ(ours.lines.size(), 2U) << "the blocks around it are read";
    expect_agreement(journal.device);
  }
}

/// A result of two parts and the change that speaks of it; `spoil` has gone over the second part.
HandWritten with_result_parts(void (*spoil)(ResultPartRecord&) = [](ResultPartRecord&) {}) {
  HandWritten journal;
  journal.segment_bytes = 40 * journal_unit;
  journal.begin(0);
  journal.job(2);
  for (std::uint16_t number = 0; number < 2; ++number) {
    journal.block_of([number, spoil](BlockBuilder& builder) {
      ResultPartRecord part{.number = number,
                            .part_bytes = number == 0 ? most_part_bytes : 13,
                            .id = 2,
                            .result_bytes = most_part_bytes + 13,
                            .change = 77};
      if (number == 1) spoil(part);
      std::ranges::fill(builder.append_result_part(part), static_cast<std::byte>('a' + number));
    });
  }
  journal.block_of([](BlockBuilder& builder) {
    builder.append_change({.attempts = 1,
                           .state = JournaledState::completed,
                           .id = 2,
                           .due = ChangeRecord::result_parts_bit | 1764000000123,
                           .started = 77});
  });
  return journal;
}

TEST(JournalFormatDocument, a_reader_written_from_it_reads_a_result_in_parts_as_ours_does) {
  HandWritten journal = with_result_parts();
  JsonLines ours;
  must(read_journal(journal.device, test_engine, ours));
  ASSERT_EQ(ours.lines.size(), 4U);
  EXPECT_EQ(ours.lines[2]["type"], "result_part");
  EXPECT_EQ(ours.lines[3]["is_in_parts"], true);
  expect_agreement(journal.device);
}

TEST(JournalFormatDocument, a_reader_written_from_it_finds_the_same_damage_in_a_result_as_ours_does) {
  const std::vector<void (*)(ResultPartRecord&)> spoils{
      [](ResultPartRecord& part) { part.id = 0; },
      [](ResultPartRecord& part) { part.number = 2; },
      [](ResultPartRecord& part) { part.part_bytes = 12; },
      [](ResultPartRecord& part) { part.result_bytes = ~std::uint64_t{0}; },
  };
  for (std::size_t n = 0; n < spoils.size(); ++n) {
    SCOPED_TRACE(n);
    HandWritten journal = with_result_parts(spoils[n]);
    JsonLines ours;
    ASSERT_EQ(must(read_journal(journal.device, test_engine, ours)).damage.size(), 1U);
    expect_agreement(journal.device);
  }
}

TEST(JournalFormatDocument, a_reader_written_from_it_agrees_with_ours_on_journals_of_many_keepers) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 10; ++n) {
    RandomJournal journal(seed + n);
    SCOPED_TRACE(seed + n);
    expect_agreement(journal.written.device);
  }
}

TEST(JournalFormatDocument, a_reader_written_from_it_agrees_with_ours_on_journals_that_were_harmed) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 40; ++n) {
    RandomJournal journal(seed + n);
    journal.harm();
    SCOPED_TRACE(seed + n);
    expect_agreement(journal.written.device);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace ringmill::test
