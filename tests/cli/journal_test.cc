// ringmill verify and ringmill dump --journal: they read the journal, and change nothing.
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/journal/format.h"
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class JournalCommand : public CommandLine {
 protected:
  std::string enqueue_durably(const std::string& payload) {
    const Ran ran = on_engine("enqueue", {"--kind", "mail", "--payload", payload, "--durability", "durable"});
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines().at(0);
  }
  std::filesystem::path journal() const { return place_.directory() / "journal"; }
  /// The places of the blocks in which the journal's records stand.
  struct Place {
    std::uint64_t segment;
    std::uint64_t offset;
    bool operator==(const Place&) const = default;
  };
  std::vector<Place> places() {
    std::vector<Place> found;
    for (const auto& record : on_engine("dump", {"--journal", "--json"}).json_lines()) {
      const Place place{record["segment"], record["offset"]};
      if (found.empty() || found.back() != place) found.push_back(place);
    }
    return found;
  }
  std::filesystem::path file_of(std::uint64_t segment) const {
    for (const auto& entry : std::filesystem::directory_iterator(journal())) {
      std::ifstream file(entry.path(), std::ios::binary);
      SegmentHead head;
      file.read(reinterpret_cast<char*>(&head), sizeof head);
      if (head.segment == segment) return entry.path();
    }
    return {};
  }
  void flip(const Place& place, std::uint64_t byte_of_block) {
    const auto at = static_cast<std::streamoff>(place.offset + byte_of_block);
    std::fstream file(file_of(place.segment), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
  }
  std::vector<std::pair<std::string, std::string>> contents() const {
    std::vector<std::pair<std::string, std::string>> files;
    for (const auto& entry : std::filesystem::directory_iterator(journal())) {
      std::ifstream file(entry.path(), std::ios::binary);
      files.emplace_back(entry.path().filename(), std::string(std::istreambuf_iterator<char>(file), {}));
    }
    std::ranges::sort(files);
    return files;
  }
};

TEST_F(JournalCommand, verify_has_the_keys_of_the_contract) {
  enqueue_durably("hello");
  const Ran ran = on_engine("verify", {"--json"});
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  const auto json = ran.json();
  EXPECT_EQ(keys_of(json),
            (std::vector<std::string>{"segments", "blocks", "records", "jobs_live", "torn_tail", "damage"}));
  EXPECT_GE(json["segments"], 1);
  EXPECT_GE(json["records"], 2);  // the kind and the job
  EXPECT_EQ(json["jobs_live"], 1);
  EXPECT_TRUE(json["torn_tail"].is_null());
  EXPECT_TRUE(json["damage"].empty());
}

TEST_F(JournalCommand, verify_counts_the_jobs_that_a_recovery_would_bring_back) {
  enqueue_durably("a");
  enqueue_durably("b");
  ASSERT_EQ(on_engine("work", {"--exec", "true", "--drain"}).exit_code, 0);
  enqueue_durably("c");
  EXPECT_EQ(on_engine("verify", {"--json"}).json()["jobs_live"], 1);
}

TEST_F(JournalCommand, verify_names_damage_and_answers_no) {
  enqueue_durably("a");
  const std::string lost = enqueue_durably("b");
  enqueue_durably("c");
  const auto blocks = places();
  ASSERT_GE(blocks.size(), 3U);
  const Place hit = blocks[blocks.size() - 2];
  flip(hit, sizeof(BlockHead) + sizeof(JobRecord));
  const Ran ran = on_engine("verify", {"--json"});
  EXPECT_EQ(ran.exit_code, 1) << testing::PrintToString(ran);
  const auto damage = ran.json()["damage"];
  ASSERT_EQ(damage.size(), 1U) << ran.out;
  EXPECT_EQ(damage[0]["segment"], hit.segment);
  EXPECT_EQ(damage[0]["offset"], hit.offset);
  EXPECT_EQ(damage[0]["bytes"], journal_unit);
  EXPECT_EQ(damage[0]["reason"], "checksum");
  EXPECT_EQ(damage[0]["suspects"], nlohmann::ordered_json::array({lost}));
  EXPECT_NE(on_engine("verify").out.find("damage"), std::string::npos);
}

TEST_F(JournalCommand, verify_and_dump_write_nothing) {
  enqueue_durably("a");
  const auto before = contents();
  on_engine("verify");
  on_engine("dump", {"--journal"});
  EXPECT_EQ(contents(), before);
}

TEST_F(JournalCommand, a_journal_that_cannot_be_opened_is_told_with_its_reason) {
  std::filesystem::permissions(journal(), std::filesystem::perms{0777});  // more than the engine's mode says
  const Ran ran = on_engine("enqueue", {"--kind", "mail", "--payload", "x", "--durability", "durable"});
  EXPECT_EQ(ran.exit_code, 3) << testing::PrintToString(ran);
  EXPECT_NE(ran.err.find("Permission denied"), std::string::npos) << ran.err;
  EXPECT_NE(on_engine("status").out.find("FAILED: Permission denied"), std::string::npos);
  EXPECT_EQ(status()["journal"]["last_error"], "Permission denied");
  std::filesystem::permissions(journal(), std::filesystem::perms{0700});
  // What the last keeper said stands until the next one is in office.
  EXPECT_TRUE(await([this] {
    return on_engine("enqueue", {"--kind", "mail", "--payload", "y", "--durability", "durable"}).exit_code == 0;
  }));
}

TEST_F(JournalCommand, verify_works_while_the_journal_is_written) {
  Command writer(words_for("enqueue", {"--kind", "mail", "--lines", "-", "--durability", "durable", "--quiet"}), [] {
    std::string lines;
    for (int n = 0; n < 200; ++n) lines += fmt::format("job {}\n", n);
    return lines;
  }());
  for (int n = 0; n < 20; ++n) {
    const Ran ran = on_engine("verify", {"--json"});
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  }
  EXPECT_EQ(writer.end().exit_code, 0);
  EXPECT_EQ(on_engine("verify", {"--json"}).json()["jobs_live"], 200);
}

TEST_F(JournalCommand, verify_refuses_another_engines_journal_by_name) {
  enqueue_durably("a");
  const ScratchPlace other;
  ASSERT_EQ(ringmill({"init", other.directory(), "--shm-dir", other.shm_dir()}).exit_code, 0);
  std::filesystem::copy(file_of(1), other.directory() / "journal" / "0007.segment");
  expect_error(ringmill({"verify", other.directory()}), 3, "0007.segment belongs to engine");
}

TEST_F(JournalCommand, verify_of_no_engine_fails) {
  expect_error(ringmill({"verify", "/nonexistent/engine"}), 3, "/nonexistent/engine");
}

TEST_F(JournalCommand, dump_shows_the_journals_records_in_their_order) {
  const std::string id = enqueue_durably("two words\n");
  const auto records = on_engine("dump", {"--journal", "--json", "--payload"}).json_lines();
  ASSERT_GE(records.size(), 2U);
  EXPECT_EQ(records[0]["type"], "kind");
  EXPECT_EQ(records[0]["name"], "mail");
  const auto& job = records[1];
  EXPECT_EQ(keys_of(job),
            (std::vector<std::string>{"segment", "offset", "block", "type", "id", "kind", "level", "attempts",
                                      "max_attempts", "lease_ms", "payload_size", "enqueued_at", "payload"}));
  EXPECT_EQ(job["type"], "job");
  EXPECT_EQ(job["id"], id);
  EXPECT_EQ(job["kind"], "mail");
  EXPECT_EQ(job["payload"], "two words\n");
  EXPECT_EQ(job["segment"], 1);
  EXPECT_EQ(job["offset"], journal_unit);
  const Ran text = on_engine("dump", {"--journal", "--payload"});
  EXPECT_NE(text.out.find(id), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("two words\\n"), std::string::npos) << text.out;
  EXPECT_EQ(on_engine("dump", {"--journal", "--json", "--limit", "1"}).lines().size(), 1U);
}

TEST_F(JournalCommand, dump_of_the_journal_takes_no_filter_of_jobs) {
  expect_error(on_engine("dump", {"--journal", "--state", "queued"}), 2, "--journal");
}

}  // namespace
}  // namespace ringmill::test
