// Engines whose shared memory is gone or damaged: what comes back from the journal, and what is said about it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/durability/recovery.h"
#include "core/engine/engine_recovery.h"
#include "core/inspect/invariants.h"
#include "core/journal/file_names.h"
#include "tests/crash/single_step.h"
#include "tests/journal/written_journal.h"
#include "tests/support/core_test.h"
#include "tests/support/levels.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using crash::SteppedProcess;

/// The blocks of a journal, in order.
struct Blocks : JournalVisitor {
  std::vector<JournalPlace> places;
  void on_block(const JournalPlace& place, const BlockHead&) override { places.push_back(place); }
  void on_job(const JournalPlace&, const JobRecord&, std::span<const std::byte>) override {}
  void on_ended(const JournalPlace&, JobId) override {}
  void on_attempts(const JournalPlace&, JobId, std::uint16_t) override {}
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}
};

/// An engine without shared memory, and what its journal says.
struct LostEngine {
  ScratchEngine scratch;
  std::filesystem::path segment_file = scratch.segment_file();

  explicit LostEngine(const CreateOptions& options = small_engine()) : scratch(options) { lose_memory(); }

  void lose_memory() const { std::filesystem::remove(segment_file); }
  std::filesystem::path journal() const { return scratch.directory() / "journal"; }
  std::filesystem::path first_file() const { return journal() / "0000.segment"; }
  Engine open() const { return scratch.open(without_keeper); }
  EngineFiles directory() const { return must(EngineFiles::open(scratch.directory())); }
  std::unique_ptr<JournalDevice> device() const {
    return must(open_journal_device(must(Directory::open(journal())), DeviceChoice::pwritev2, 0600));
  }
  /// A journal of as many blocks as there are payloads, with a job each, in cells 0, 1, 2...
  std::vector<JobId> write(const std::vector<std::string>& payloads) const {
    WrittenJournal written(scratch.directory());
    written.kind(0, kind_name);
    std::vector<JobId> ids;
    for (const std::string& payload : payloads) {
      ids.push_back(id_of(7, static_cast<CellIndex>(ids.size())));
      written.job({.id = ids.back(), .payload = payload});
      written.flush();
    }
    return ids;
  }
  std::vector<JournalPlace> blocks() const {
    Blocks blocks;
    must(read_journal(*device(), directory().config().engine_id, blocks));
    return blocks.places;
  }
  /// Changes a byte of a record in the n-th block.
  void damage(std::size_t block) const {
    const auto at = static_cast<off_t>(blocks().at(block).offset + sizeof(BlockHead) + 20);
    const File file = must(open_file(first_file(), O_RDWR));
    char byte = 0;
    ASSERT_EQ(::pread(file.descriptor(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ 0x40);
    ASSERT_EQ(::pwrite(file.descriptor(), &byte, 1, at), 1);
    ASSERT_EQ(::fsync(file.descriptor()), 0);
  }
  Result<RecoveryReport> recover() const {
    const auto opened = directory();
    const File locks = must(opened.open_locks());
    std::optional<RecoveryReport> report;
    auto segment = open_segment(opened, locks, false, &report);
    if (!segment) return std::unexpected(segment.error());
    if (!report) return std::unexpected(Error(ErrorCode::already_exists, "nothing was to recover"));
    return *std::move(report);
  }
  Result<RecoveryReport> rebuild() const {
    const auto opened = directory();
    const File locks = must(opened.open_locks());
    return rebuild_segment(opened, locks);
  }
};

std::string payload_of(const Job& job) { return std::string(as_text(job.payload())); }

TEST(Recovery, jobs_of_the_journal_wait_under_their_ids_and_run) {
  const LostEngine lost;
  const std::vector<JobId> ids = lost.write({"one", "two", "three"});
  Engine engine = lost.open();
  const auto worker = must(engine.attach(Role::worker));
  std::map<JobId, std::string> ran;
  for (std::size_t n = 0; n < ids.size(); ++n) {
    Job job = must(worker->claim());
    ran[job.id()] = payload_of(job);
    EXPECT_EQ(engine.kind_name(job.kind()), kind_name);
    must(job.complete());
  }
  EXPECT_EQ(ran, (std::map<JobId, std::string>{{ids[0], "one"}, {ids[1], "two"}, {ids[2], "three"}}));
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  for (const JobId id : ids) EXPECT_EQ(must(engine.job(id)).state, JobState::ended);
}

TEST(Recovery, ids_of_jobs_that_came_back_are_not_given_again) {
  const LostEngine lost;
  std::set<JobId> seen;
  for (const JobId id : lost.write(std::vector<std::string>(200, "x"))) seen.insert(id);
  for (int life = 0; life < 3; ++life) {
    Engine engine = lost.open();
    const auto worker = must(engine.attach(Role::worker));
    const std::uint64_t floor = JobTable(lost.scratch.open_core()->segment).word(255).generation();
    while (auto job = worker->claim()) must(job->complete());
    const Kind kind = must(engine.kind(kind_name));
    for (int n = 0; n < 256; ++n) {
      const JobId id = must(worker->enqueue({.kind = kind, .level = must(engine.level("low"))}));
      EXPECT_TRUE(seen.insert(id).second) << id.to_string();
      EXPECT_GE(generation_of(id), floor);
      must(must(worker->claim()).complete());
    }
    lost.lose_memory();
  }
}

TEST(Recovery, the_report_says_what_came_back) {
  const LostEngine lost;
  {
    WrittenJournal written(lost.scratch.directory());
    written.kind(0, "a");
    written.kind(1, "b");
    written.job({.id = id_of(5, 1)});
    written.job({.id = id_of(5, 2)});
    written.ended(id_of(6, 2));
    written.flush();
  }
  const RecoveryReport report = must(lost.recover());
  EXPECT_EQ(report.jobs, 1U);
  EXPECT_EQ(report.kinds, 2U);
  EXPECT_EQ(report.epoch, 1U);
  EXPECT_EQ(report.journal.records, 5U);
  EXPECT_TRUE(report.journal.damage.empty());
}

TEST(Recovery, an_engine_without_anything_in_its_journal_opens_empty) {
  const LostEngine lost;
  const LogCapture log;
  EXPECT_EQ(must(lost.recover()).jobs, 0U);
  EXPECT_TRUE(log.has("made anew, empty"));
}

TEST(Recovery, one_line_of_the_log_says_how_many_jobs_came_back) {
  const LostEngine lost;
  lost.write({"one", "two"});
  const LogCapture log;
  must(lost.recover());
  EXPECT_EQ(log.count("2 jobs came back from its journal"), 1U);
  EXPECT_EQ(log.messages().size(), 1U);
}

TEST(Recovery, keeps_the_epoch_for_the_next_keeper) {
  const LostEngine lost;
  lost.write({"one"});
  lost.write({"other"});  // a keeper of its own
  EXPECT_EQ(must(lost.recover()).epoch, 2U);
  EXPECT_EQ(lost.scratch.open_core()->segment.journal().epoch.load(), 2U);
}

TEST(Recovery, begins_above_what_the_journal_shows_when_the_generation_file_is_older) {
  const LostEngine lost;
  const std::uint64_t beyond = generation_step * 5;
  {
    WrittenJournal written(lost.scratch.directory());
    written.kind(0, kind_name);
    written.job({.id = id_of(beyond, 1)});
    written.flush();
  }
  const LogCapture log;
  Engine engine = lost.open();
  EXPECT_TRUE(log.has("older than the journal"));
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_GT(
      generation_of(must(producer->enqueue({.kind = must(engine.kind(kind_name)), .level = level_at(engine, 1)}))),
      beyond);
  EXPECT_EQ(check_invariants(lost.scratch.open_core()->segment, false), std::vector<std::string>{});
}

TEST(Recovery, a_torn_tail_is_normal_and_said_in_one_line) {
  const LostEngine lost;
  const std::vector<JobId> ids = lost.write({"one", "two", "three"});
  lost.damage(2);  // nothing after it says that it was durable
  const LogCapture log;
  const RecoveryReport report = must(lost.recover());
  EXPECT_EQ(report.jobs, 2U);
  EXPECT_TRUE(report.journal.torn_tail.has_value());
  EXPECT_TRUE(report.journal.damage.empty());
  EXPECT_EQ(log.count("torn"), 1U);
  EXPECT_EQ(log.count("damage"), 0U);
}

TEST(Recovery, damage_is_reported_and_the_rest_comes_back) {
  const LostEngine lost;
  const std::vector<JobId> ids = lost.write({"one", "two", "three", "four"});
  const std::uint64_t offset = lost.blocks().at(1).offset;
  lost.damage(1);
  const LogCapture log;
  const RecoveryReport report = must(lost.recover());
  EXPECT_EQ(report.jobs, 3U);
  ASSERT_EQ(report.journal.damage.size(), 1U);
  EXPECT_EQ(report.journal.damage[0].segment, 1U);
  EXPECT_EQ(report.journal.damage[0].offset, offset);
  EXPECT_TRUE(log.has(fmt::format("damaged: segment 1, offset {}", offset)));
  EXPECT_TRUE(log.has("may touch " + ids[1].to_string()));
}

TEST(Recovery, the_bytes_of_a_damaged_block_are_kept_aside) {
  const LostEngine lost;
  lost.write({"one", "two", "three", "four"});
  const std::uint64_t offset = lost.blocks().at(1).offset;
  lost.damage(1);
  const RecoveryReport report = must(lost.recover());
  const auto kept = lost.journal() / damaged_file_name(1, offset);
  EXPECT_EQ(report.kept_aside, std::vector<std::filesystem::path>{kept});
  const std::string all = must(read_file(lost.first_file()));
  EXPECT_EQ(must(read_file(kept)), all.substr(offset, report.journal.damage.at(0).bytes));
}

TEST(Recovery, an_engine_without_the_folder_of_its_journal_is_not_opened_empty) {
  const LostEngine lost;
  lost.write({"one"});
  std::filesystem::rename(lost.journal(), lost.scratch.directory() / "unmounted");
  const auto opened = Engine::open(lost.scratch.directory(), without_keeper);
  ASSERT_EQ(code_of(opened), ErrorCode::not_found);
  EXPECT_NE(opened.error().message().find("the engine's journal is missing"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(lost.segment_file));
  std::filesystem::rename(lost.scratch.directory() / "unmounted", lost.journal());
  EXPECT_EQ(must(lost.recover()).jobs, 1U);
}

TEST(Recovery, the_journal_of_another_engine_is_refused) {
  const LostEngine lost;
  const LostEngine other;
  other.write({"one"});
  std::filesystem::copy(other.first_file(), lost.first_file());
  EXPECT_EQ(code_of(lost.recover()), ErrorCode::incompatible);
  EXPECT_FALSE(std::filesystem::exists(lost.segment_file));
}

TEST(Recovery, waits_for_writes_of_a_dead_process) {
  const LostEngine lost;
  lost.write({"one"});
  const File file = must(open_file(lost.first_file(), O_RDWR));
  ASSERT_TRUE(must(try_lock_byte(file, 0)));
  const LogCapture log;
  bool was_there = true;
  std::thread landing([&] {
    EXPECT_TRUE(await([&] { return log.has("waits for writes of a dead process"); }));
    was_there = std::filesystem::exists(lost.segment_file);
    unlock_byte(file, 0);
  });
  const auto report = lost.recover();
  landing.join();
  EXPECT_EQ(must(report).jobs, 1U);
  EXPECT_FALSE(was_there);
}

TEST(Recovery, does_not_wait_for_ever_for_writes_of_a_dead_process) {
  const LostEngine lost;
  lost.write({"one"});
  const File file = must(open_file(lost.first_file(), O_RDWR));
  ASSERT_TRUE(must(try_lock_byte(file, 0)));
  const LogCapture log;
  const auto device = lost.device();
  const auto made =
      Segment::create(lost.segment_file, lost.directory().config(), 1, 2, [&](Segment& fresh) -> Result<void> {
        TableRebuild table(fresh);
        const auto read = read_into(table, *device, 1, {.progress = {}, .fence_wait = std::chrono::milliseconds(20)});
        if (!read) return std::unexpected(read.error());
        return {};
      });
  EXPECT_EQ(code_of(made), ErrorCode::busy);
}

TEST(Recovery, killed_after_any_of_its_system_calls_it_starts_again_and_ends_the_same) {
  const LostEngine lost;
  const std::vector<JobId> ids = lost.write({"one", "two", "three", "four", "five"});
  lost.damage(1);
  std::uint64_t n = 0;
  for (auto state = SteppedProcess::State::between; state == SteppedProcess::State::between; ++n) {
    lost.lose_memory();
    SteppedProcess recovering([&lost] {
      const LogCapture log;
      ringmill_step_begin();
      const bool opened = Engine::open(lost.scratch.directory(), without_keeper).has_value();
      ringmill_step_end();
      if (!opened) ::_exit(1);
    });
    recovering.run_to_begin();
    state = recovering.step_calls(n);
    ASSERT_TRUE(state == SteppedProcess::State::between || state == SteppedProcess::State::at_end) << "call " << n;
    recovering.kill();
    const LogCapture log;
    const Engine engine = lost.open();
    for (const std::size_t job : {0U, 2U, 3U, 4U}) ASSERT_EQ(must(engine.job(ids[job])).state, JobState::queued) << n;
    ASSERT_EQ(engine.status().cells_used, 4U) << n;
    ASSERT_EQ(check_invariants(lost.scratch.open_core()->segment, true), std::vector<std::string>{}) << n;
    ASSERT_EQ(lost.scratch.place().shm_names().size(), 1U) << n;
  }
  EXPECT_GT(n, 40U) << "a recovery has more calls than that: this test has seen nothing";
}

TEST(Recovery, of_two_that_open_at_once_one_recovers_and_both_have_the_jobs) {
  const LostEngine lost;
  const std::vector<JobId> ids = lost.write({"one", "two"});
  const LogCapture log;
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&] {
      const Engine engine = lost.open();
      EXPECT_EQ(must(engine.job(ids[1])).state, JobState::queued);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(log.count("came back"), 1U);
}

TEST(RecoveryOnDemand, is_refused_while_participants_live) {
  const LostEngine lost;
  Engine engine = lost.open();
  const auto worker = must(engine.attach(Role::worker));
  EXPECT_EQ(code_of(lost.rebuild()), ErrorCode::busy);
  EXPECT_EQ(engine.status().unlinked, false);
}

TEST(RecoveryOnDemand, takes_what_the_journal_has_in_the_place_of_what_the_memory_had) {
  const LostEngine lost;
  Engine engine = lost.open();
  must(must(engine.attach(Role::producer))
           ->enqueue(
               {.kind = must(engine.kind(kind_name)), .level = level_at(engine, 0), .durability = Durability::memory}));
  lost.write({"from the journal"});
  const LogCapture log;
  EXPECT_EQ(must(lost.rebuild()).jobs, 1U);
  Engine anew = lost.open();
  const auto worker = must(anew.attach(Role::worker));
  Job job = must(worker->claim());
  EXPECT_EQ(payload_of(job), "from the journal");
  must(job.complete());
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
}

TEST(RecoveryOnDemand, is_reported_to_processes_that_have_the_old_memory_open) {
  const LostEngine lost;
  Engine engine = lost.open();
  must(lost.rebuild());
  EXPECT_EQ(code_of(engine.attach(Role::producer)), ErrorCode::not_found);
  EXPECT_TRUE(Engine::open(lost.scratch.directory(), without_keeper)->attach(Role::producer).has_value());
}

TEST(RecoveryOnDemand, that_fails_leaves_the_old_memory_in_use) {
  const LostEngine lost;
  Engine engine = lost.open();
  const LostEngine other;
  other.write({"one"});
  std::filesystem::copy(other.first_file(), lost.first_file());
  EXPECT_EQ(code_of(lost.rebuild()), ErrorCode::incompatible);
  EXPECT_TRUE(engine.attach(Role::producer).has_value());
}

/// Shared memory that cannot be used, in several ways.
void spoil(const std::filesystem::path& segment, std::size_t at, std::uint64_t value) {
  const File file = must(open_file(segment, O_RDWR));
  ASSERT_EQ(::pwrite(file.descriptor(), &value, sizeof value, static_cast<off_t>(at)), 8);
}

TEST(RecoveryOnDemand, mends_shared_memory_that_is_damaged_and_open_says_so) {
  const std::vector<std::function<void(const std::filesystem::path&)>> damages{
      [](const auto& path) { spoil(path, offsetof(SegmentHeader, checksum), 1); },
      [](const auto& path) { spoil(path, offsetof(SegmentHeader, magic), 1); },
      [](const auto& path) { spoil(path, offsetof(SegmentHeader, version), layout_version); },  // and state 0: creating
      [](const auto& path) { std::filesystem::resize_file(path, 8192); },
      [](const auto& path) { std::filesystem::resize_file(path, 0); },
  };
  for (const auto& damage : damages) {
    const LostEngine lost;
    const std::vector<JobId> ids = lost.write({"one"});
    static_cast<void>(lost.open());
    damage(lost.segment_file);
    const auto opened = Engine::open(lost.scratch.directory(), without_keeper);
    ASSERT_EQ(code_of(opened), ErrorCode::corrupt);
    EXPECT_NE(opened.error().message().find("`ringmill recover " + lost.scratch.directory().string() +
                                            " --from-journal` makes it anew"),
              std::string::npos)
        << opened.error().message();
    EXPECT_EQ(must(lost.rebuild()).jobs, 1U);
    EXPECT_EQ(must(lost.open().job(ids[0])).state, JobState::queued);
  }
}

TEST(RecoveryOnDemand, takes_the_place_of_the_shared_memory_of_another_version) {
  const LostEngine lost;
  lost.write({"one"});
  static_cast<void>(lost.open());
  spoil(lost.segment_file, offsetof(SegmentHeader, version), std::uint64_t{1} << 32 | (layout_version + 1));
  const auto opened = Engine::open(lost.scratch.directory(), without_keeper);
  ASSERT_EQ(code_of(opened), ErrorCode::incompatible);
  EXPECT_NE(opened.error().message().find("--from-journal` makes it anew"), std::string::npos);
  EXPECT_EQ(must(lost.rebuild()).jobs, 1U);
}

TEST(RecoveryOnDemand, a_file_of_another_user_is_not_replaced) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const LostEngine lost;
  static_cast<void>(lost.open());
  ASSERT_EQ(::chown(lost.segment_file.c_str(), 12345, 12345), 0);
  const LogCapture log;
  EXPECT_TRUE(lost.rebuild().has_value());
  EXPECT_TRUE(log.has("belongs to another user"));
  struct stat facts {};
  ASSERT_EQ(::stat(lost.segment_file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, 12345U);
  EXPECT_NE(lost.directory().segment_path(), lost.segment_file);
}

}  // namespace
}  // namespace ringmill::test
