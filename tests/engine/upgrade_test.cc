// Engines that former versions of ringmill have made, and killed in the middle of their work: tests/engine/stored. Each
// is put on this machine as if it had been made here since the last boot.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include <ringmill/dead_letters.h>

#include "core/dead_letters/store.h"
#include "core/engine/engine_upgrade.h"
#include "core/instance/engine_identity.h"
#include "core/schedules/schedule_book.h"
#include "ipc/layout.h"
#include "ipc/segment.h"
#include "tests/crash/single_step.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;
using crash::SteppedProcess;

class StoredEngine {
 public:
  explicit StoredEngine(const std::string& archive) {
    const fs::path folder = place_.directory().parent_path();
    const std::string unpack =
        "tar -C " + folder.string() + " -xJf " RINGMILL_SOURCES "/tests/engine/stored/" + archive;
    EXPECT_EQ(std::system(unpack.c_str()), 0);
    directory_ = folder / "mill";
    settle_directory();
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with("ringmill-")) settle_memory(entry.path());
    }
    std::ifstream names(folder / "ids");
    for (std::string name, id; names >> name >> id;) ids_[name] = *JobId::parse(id);
  }

  const fs::path& directory() const { return directory_; }
  const ScratchPlace& place() const { return place_; }
  JobId id(const std::string& name) const { return ids_.at(name); }
  const std::map<std::string, JobId>& ids() const { return ids_; }

 private:
  void settle_directory() const {
    const auto home = must(find_home(must(Directory::open(directory_)))).home;
    std::ifstream in(directory_ / "engine.json");
    auto json = nlohmann::ordered_json::parse(in);
    json["shm_dir"] = place_.shm_dir().string();
    json["home"] = {{"inode", home.inode}, {"born_ns", home.born_ns}, {"directory", home.directory}};
    std::ofstream(directory_ / "engine.json") << json.dump(2) << "\n";
    fs::permissions(directory_ / "engine.json", fs::perms{0600});
  }
  void settle_memory(const fs::path& stored) const {
    std::string bytes = must(read_file(stored));
    auto& header = *reinterpret_cast<SegmentHeader*>(bytes.data());
    const auto boot = must(boot_id());
    header.boot_id[0].store(boot[0]);
    header.boot_id[1].store(boot[1]);
    header.reserved[1].store(0);  // the home's word: of the machine that it was made on
    const std::array<std::uint64_t, 14> fields{header.magic.load(),
                                               header.version.load(),
                                               header.engine_id.load(),
                                               header.boot_id[0].load(),
                                               header.boot_id[1].load(),
                                               header.bytes.load(),
                                               std::uint64_t{header.capacity.load()} << 32 | header.cell_bytes.load(),
                                               header.level_count.load(),
                                               header.default_lease_ms.load(),
                                               header.created_at_ns.load(),
                                               header.first_generation.load(),
                                               header.level_ring_slots.load(),
                                               header.arena_bytes.load(),
                                               header.max_payload.load()};
    header.checksum.store(XXH3_64bits(fields.data(), sizeof fields));
    const fs::path there = place_.shm_dir() / stored.filename();
    std::ofstream(there, std::ios::binary) << bytes;
    fs::permissions(there, fs::perms{0600});
  }

  ScratchPlace place_;
  fs::path directory_;
  std::map<std::string, JobId> ids_;
};

void expect_all_of(const StoredEngine& stored, Engine& engine) {
  for (const std::string durability : {"memory", "durable"}) {
    for (const std::string sort : {"plain-", "large-", "unique-", "tube-"}) {
      EXPECT_EQ(must(engine.job(stored.id(sort + durability))).state, JobState::queued) << sort << durability;
    }
    EXPECT_EQ(must(engine.job(stored.id("delayed-" + durability))).state, JobState::delayed);
    EXPECT_EQ(must(engine.job(stored.id("child-" + durability))).state, JobState::blocked);
  }
  EXPECT_EQ(must(engine.job(stored.id("kept"))).result, "result");
  const JobInfo lost = must(engine.job(stored.id("lost")));
  EXPECT_EQ(lost.state, JobState::queued);
  EXPECT_EQ(lost.attempts, 1U);
}

/// All but the delayed ones; what they say.
void expect_to_run_all_of(const StoredEngine& stored, Engine& engine) {
  const auto worker = must(engine.attach(Role::worker));
  std::map<JobId, std::string> payloads;
  while (auto job = worker->claim(std::chrono::milliseconds(200))) {
    payloads[job->id()] = std::string(as_text(job->payload()));
    must(job->complete());
  }
  EXPECT_EQ(payloads.size(), 11U) << "five of each durability, and the lost one";
  EXPECT_EQ(payloads[stored.id("lost")], "held");
  for (const std::string durability : {"memory", "durable"}) {
    EXPECT_EQ(payloads[stored.id("plain-" + durability)], "plain " + durability);
    EXPECT_TRUE(payloads[stored.id("large-" + durability)] == std::string(30'000, 'L'));
    EXPECT_EQ(payloads[stored.id("child-" + durability)], "c");
  }
}

TEST(Upgrade, of_layout_6_keeps_each_job_those_of_durability_memory_included) {
  const StoredEngine stored("layout-6.tar.xz");
  const auto refused = Engine::open(stored.directory());
  ASSERT_EQ(code_of(refused), ErrorCode::incompatible);
  EXPECT_NE(refused.error().message().find("`ringmill upgrade`"), std::string::npos) << refused.error().message();
  const UpgradeReport report = must(upgrade_engine(stored.directory()));
  EXPECT_EQ(report.from, 6U);
  EXPECT_EQ(report.resize.jobs, 14U);
  EXPECT_EQ(must(upgrade_engine(stored.directory())).from, 0U) << "once is enough";
  EXPECT_EQ(stored.place().shm_names().size(), 1U);
  Engine engine = must(Engine::open(stored.directory()));
  expect_all_of(stored, engine);
  const EngineStatus status = engine.status();
  EXPECT_TRUE(
      std::ranges::any_of(status.kinds, [](const auto& kind) { return kind.name == "poisonous" && kind.paused; }));
  EXPECT_EQ(status.totals.enqueued, stored.ids().size());
  const auto letters = must(DeadLetterStore::open(stored.directory(), DeadLetterStore::Access::read_only));
  EXPECT_TRUE(letters.find(stored.id("dead")));
  EXPECT_TRUE(must(ScheduleBook(stored.directory()).find("nightly")).paused);
  expect_to_run_all_of(stored, engine);
}

TEST(Upgrade, what_was_durable_comes_back_after_it_and_a_reboot) {
  const StoredEngine stored("layout-6.tar.xz");
  must(upgrade_engine(stored.directory()));
  { const Engine engine = must(Engine::open(stored.directory())); }
  fs::remove(stored.place().shm_dir() / stored.place().shm_names().at(0));
  Engine engine = must(Engine::open(stored.directory()));
  for (const std::string sort : {"plain-", "large-", "unique-", "tube-", "delayed-", "child-"}) {
    EXPECT_TRUE(engine.job(stored.id(sort + "durable"))) << sort;
  }
}

TEST(Upgrade, an_engine_whose_memory_is_gone_needs_none) {
  const StoredEngine stored("layout-6.tar.xz");
  fs::remove(stored.place().shm_dir() / stored.place().shm_names().at(0));
  EXPECT_EQ(must(upgrade_engine(stored.directory())).from, 0U);
  EXPECT_EQ(must(must(Engine::open(stored.directory())).job(stored.id("plain-durable"))).state, JobState::queued);
}

TEST(Upgrade, memory_with_a_damaged_header_is_refused) {
  const StoredEngine stored("layout-6.tar.xz");
  const fs::path memory = stored.place().shm_dir() / stored.place().shm_names().at(0);
  {
    std::fstream file(memory, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offsetof(SegmentHeader, capacity));
    file.write("\xff\xff\xff\x7f", 4);
  }
  EXPECT_EQ(code_of(upgrade_engine(stored.directory())), ErrorCode::corrupt);
}

/// Made by commit 93c399c, before jobs carried anything beside their payload.
TEST(Upgrade, journal_letters_and_schedules_of_layout_7_from_before_notes_open_as_they_are) {
  const StoredEngine stored("layout-7.tar.xz");
  fs::remove(stored.place().shm_dir() / stored.place().shm_names().at(0));
  EXPECT_EQ(must(upgrade_engine(stored.directory())).from, 0U);
  Engine engine = must(Engine::open(stored.directory()));
  for (const std::string sort : {"plain-", "large-", "unique-", "tube-", "delayed-", "child-"}) {
    const JobInfo info = must(engine.job(stored.id(sort + "durable")));
    EXPECT_EQ(info.tag + info.trace_parent, "") << sort;
    EXPECT_FALSE(info.retried_from) << sort;
  }
  EXPECT_EQ(must(engine.job(stored.id("kept"))).result, "result");
  DeadLetters letters(engine);
  EXPECT_EQ(must(letters.find(stored.id("dead"))).tag, "");
  const JobId retried = must(letters.retry(stored.id("dead")));
  EXPECT_EQ(must(engine.job(retried)).retried_from, stored.id("dead"));
  EXPECT_EQ(must(ScheduleBook(stored.directory()).find("nightly")).job.tag, "");
}

TEST(KilledUpgrade, leaves_the_engine_as_it_was_or_upgraded_and_the_next_one_ends_it) {
  using State = SteppedProcess::State;
  std::uint64_t n = 0;
  std::uint64_t upgraded = 0;
  for (State state = State::between; state == State::between; n += 7) {
    const StoredEngine stored("layout-6.tar.xz");
    SteppedProcess process([&stored] {
      ringmill_step_begin();
      const bool done = upgrade_engine(stored.directory()).has_value();
      ringmill_step_end();
      if (!done) ::_exit(1);
    });
    process.run_to_begin();
    state = process.step_calls(n);
    ASSERT_TRUE(state == State::between || state == State::at_end) << "call " << n << ": " << process.ending();
    process.kill();
    const auto again = upgrade_engine(stored.directory());
    ASSERT_TRUE(again) << n << ": " << again.error().message();
    upgraded += again->from == 0 ? 1 : 0;
    Engine engine = must(Engine::open(stored.directory(), without_keeper));
    expect_all_of(stored, engine);
    EXPECT_EQ(stored.place().shm_names().size(), 1U) << n;
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(n, 60U);
  EXPECT_GT(upgraded, 0U);
}

}  // namespace
}  // namespace ringmill::test
