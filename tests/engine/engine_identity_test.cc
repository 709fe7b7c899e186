// Shared memory and directory belong together: copies, restored backups, moved directories, another /dev/shm
// (core/instance/engine_identity.h).
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine_adoption.h"
#include "core/engine/engine_recovery.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;

void copy_directory(const fs::path& from, const fs::path& to) { fs::copy(from, to, fs::copy_options::recursive); }

JobId enqueue_durably(Engine& engine, std::string_view payload) {
  const auto producer = must(engine.attach(Role::producer));
  return must(producer->enqueue({.kind = must(engine.kind(kind_name)),
                                 .level = must(engine.level("default")),
                                 .payload = as_payload(payload),
                                 .durability = Durability::durable}));
}

/// An engine with one durable job, which no process has open any more.
struct CopyRig {
  ScratchEngine scratch;
  fs::path directory = scratch.directory();
  fs::path copy = directory.parent_path() / "copy";
  JobId job;

  CopyRig() {
    Engine engine = scratch.open();
    job = enqueue_durably(engine, "first");
  }
  ~CopyRig() { fs::remove_all(copy); }
  CopyRig(const CopyRig&) = delete;
  CopyRig& operator=(const CopyRig&) = delete;
};

std::string id_of(const fs::path& directory) {
  return must(EngineFiles::open(directory, EngineFiles::For::look)).engine_id();
}

/// What `ringmill recover` does.
Result<std::optional<RecoveryReport>> recover(const fs::path& path) {
  auto directory = EngineFiles::open(path, EngineFiles::For::mend);
  if (!directory) return std::unexpected(directory.error());
  const auto locks = directory->open_locks();
  if (!locks) return std::unexpected(locks.error());
  if (needs_adoption(*directory)) {
    if (auto adopted = adopt(*directory, *locks); !adopted) return std::unexpected(adopted.error());
  }
  std::optional<RecoveryReport> report;
  if (auto segment = open_segment(*directory, *locks, false, &report); !segment) {
    return std::unexpected(segment.error());
  }
  return report;
}

std::uint64_t queued_in(const Engine& engine) {
  std::uint64_t queued = 0;
  for (const auto& level : engine.status().levels) queued += level.queued;
  return queued;
}

void expect_waiting(const fs::path& directory, JobId id) {
  const auto engine = Engine::open(directory, without_keeper);
  ASSERT_TRUE(engine.has_value()) << engine.error().message();
  const auto job = engine->job(id);
  ASSERT_TRUE(job.has_value()) << job.error().message();
  EXPECT_EQ(job->state, JobState::queued);
}

TEST(EngineIdentity, a_copy_is_refused_and_the_original_goes_on) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  const auto opened = Engine::open(rig.copy, without_keeper);
  ASSERT_EQ(code_of(opened), ErrorCode::incompatible);
  EXPECT_NE(opened.error().message().find("ringmill recover"), std::string::npos) << opened.error().message();
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, a_copy_of_an_engine_in_use_has_no_keeper_and_runs_no_jobs) {
  const CopyRig rig;
  Engine engine = rig.scratch.open();
  const auto worker = must(engine.attach(Role::worker));
  const auto lease = must(worker->claim(std::chrono::seconds(5)));
  const std::uint32_t attempts = must(engine.job(rig.job)).attempts;
  copy_directory(rig.directory, rig.copy);
  EXPECT_EQ(code_of(Engine::open(rig.copy)), ErrorCode::incompatible);
  EXPECT_EQ(must(engine.job(rig.job)).state, JobState::running);
  EXPECT_EQ(must(engine.job(rig.job)).attempts, attempts);
  EXPECT_EQ(must(engine.job(rig.job)).worker, worker->number());
}

TEST(EngineIdentity, a_copy_is_refused_where_there_is_no_memory_either) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  fs::remove(rig.scratch.segment_file());
  EXPECT_EQ(code_of(Engine::open(rig.copy, without_keeper)), ErrorCode::incompatible);
  EXPECT_TRUE(rig.scratch.place().shm_names().empty());
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, removing_a_copy_leaves_the_originals_memory) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  must(Engine::remove(rig.copy));
  EXPECT_FALSE(fs::exists(rig.copy));
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, a_copy_becomes_an_engine_of_its_own_with_what_its_journal_holds) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  const auto report = must(recover(rig.copy));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->jobs, 1U);
  EXPECT_NE(id_of(rig.copy), id_of(rig.directory));
  expect_waiting(rig.copy, rig.job);
  expect_waiting(rig.directory, rig.job);
  // Each has a journal that goes on, and comes back from it.
  JobId later;
  {
    Engine engine = must(Engine::open(rig.copy));
    later = enqueue_durably(engine, "later");
  }
  fs::remove(must(EngineFiles::open(rig.copy)).segment_path());
  expect_waiting(rig.copy, later);
  expect_waiting(rig.copy, rig.job);
  EXPECT_EQ(code_of(must(Engine::open(rig.directory, without_keeper)).job(later)), ErrorCode::not_found);
  must(Engine::remove(rig.copy));
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, a_copy_by_hard_links_is_refused_and_not_adopted) {
  const CopyRig rig;
  fs::copy(rig.directory, rig.copy, fs::copy_options::recursive | fs::copy_options::create_hard_links);
  EXPECT_EQ(code_of(Engine::open(rig.copy, without_keeper)), ErrorCode::incompatible);
  const auto adopted = recover(rig.copy);
  ASSERT_EQ(code_of(adopted), ErrorCode::incompatible);
  EXPECT_NE(adopted.error().message().find("hard links"), std::string::npos) << adopted.error().message();
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, a_copy_that_was_adopted_is_not_adopted_again) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  must(recover(rig.copy));
  const std::string id = id_of(rig.copy);
  EXPECT_FALSE(must(recover(rig.copy)).has_value());
  EXPECT_EQ(id_of(rig.copy), id);
  must(Engine::remove(rig.copy));
}

TEST(EngineIdentity, a_backup_restored_over_the_directory_comes_back_as_it_was) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  JobId later;
  {
    Engine engine = rig.scratch.open();
    later = enqueue_durably(engine, "later");
  }
  fs::remove_all(rig.directory);
  copy_directory(rig.copy, rig.directory);
  EXPECT_EQ(code_of(Engine::open(rig.directory, without_keeper)), ErrorCode::incompatible);
  EXPECT_EQ(must(recover(rig.directory))->jobs, 1U);
  expect_waiting(rig.directory, rig.job);
  // Its id may have been given before the backup, for all that the engine knows. It is no job any more.
  const Engine engine = must(Engine::open(rig.directory, without_keeper));
  EXPECT_EQ(must(engine.job(later)).state, JobState::ended);
  EXPECT_EQ(queued_in(engine), 1U);
}

TEST(EngineIdentity, a_backup_of_an_earlier_memory_put_back_in_place_is_noticed_and_recovered) {
  const CopyRig rig;
  copy_directory(rig.directory, rig.copy);
  fs::remove(rig.scratch.segment_file());
  {
    Engine engine = rig.scratch.open();  // another making
    enqueue_durably(engine, "later");
  }
  // As rsync does it: the files are replaced, and `lock`, which is the same, stays.
  fs::copy(rig.copy, rig.directory, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  EXPECT_EQ(must(recover(rig.directory))->jobs, 1U);
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, a_directory_that_is_moved_within_its_file_system_goes_on) {
  const CopyRig rig;
  fs::rename(rig.directory, rig.copy);
  expect_waiting(rig.copy, rig.job);
  fs::rename(rig.copy, rig.directory);
}

TEST(EngineIdentity, what_has_a_directory_open_that_is_moved_goes_on_and_others_come_in) {
  const CopyRig rig;
  Engine engine = rig.scratch.open();
  fs::rename(rig.directory, rig.copy);
  const JobId later = enqueue_durably(engine, "later");
  {
    Engine other = must(Engine::open(rig.copy));
    EXPECT_EQ(must(other.job(later)).state, JobState::queued);
    enqueue_durably(other, "from another process");
  }
  EXPECT_EQ(queued_in(engine), 3U);
  fs::rename(rig.copy, rig.directory);
}

TEST(EngineIdentity, memory_of_another_directory_is_not_replaced_on_demand) {
  const CopyRig rig;
  {
    const auto core = rig.scratch.open_core();
    MemorySigns signs = MemorySigns::of(core->segment);
    ++signs.home;  // as that of a snapshot's origin looks
    signs.put_into(core->segment);
  }
  const auto directory = must(EngineFiles::open(rig.directory));
  const File locks = must(directory.open_locks());
  EXPECT_EQ(code_of(rebuild_segment(directory, locks)), ErrorCode::incompatible);
  EXPECT_EQ(code_of(Engine::open(rig.directory, without_keeper)), ErrorCode::incompatible);
  const fs::path former = directory.segment_path();
  EXPECT_EQ(must(recover(rig.directory))->jobs, 1U);
  EXPECT_TRUE(fs::exists(former)) << "it is left to its own directory";
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, the_id_of_another_engine_opens_none_of_its_memory) {
  const CopyRig victim;
  const ScratchPlace place;
  CreateOptions options = small_engine();
  options.shm_dir = victim.scratch.place().shm_dir();
  must(Engine::create(place.directory(), options));
  std::string text = must(read_file(place.directory() / "engine.json"));
  text.replace(text.find(id_of(place.directory())), 16, id_of(victim.directory));
  must(write_file_durably(place.directory() / "engine.json", text, 0600));
  EXPECT_EQ(code_of(Engine::open(place.directory(), without_keeper)), ErrorCode::incompatible);
  must(Engine::remove(place.directory(), true));
  expect_waiting(victim.directory, victim.job);
}

TEST(EngineIdentity, an_engine_from_before_such_signs_is_opened_and_gets_them_with_its_next_memory) {
  const CopyRig rig;
  {
    const auto core = rig.scratch.open_core();
    MemorySigns{}.put_into(core->segment);
  }
  fs::remove(rig.directory / "memory");
  std::string text = must(read_file(rig.directory / "engine.json"));
  const std::size_t home = text.find("  \"home\"");
  text.erase(home, text.find("},\n", home) + 3 - home);
  must(write_file_durably(rig.directory / "engine.json", text, 0600));
  expect_waiting(rig.directory, rig.job);
  fs::remove(rig.scratch.segment_file());
  expect_waiting(rig.directory, rig.job);
  EXPECT_TRUE(fs::exists(rig.directory / "memory"));
  copy_directory(rig.directory, rig.copy);
  EXPECT_EQ(code_of(Engine::open(rig.copy, without_keeper)), ErrorCode::incompatible);
}

TEST(EngineIdentity, a_note_whose_memory_was_never_put_in_place_costs_no_durable_job) {
  const CopyRig rig;
  std::string text = must(read_file(rig.directory / "memory"));
  const std::size_t making = text.find("making ") + 7;
  text.replace(making, 16, "0123456789abcdef");
  must(write_file_durably(rig.directory / "memory", text, 0600));
  expect_waiting(rig.directory, rig.job);
}

TEST(EngineIdentity, processes_of_a_deleted_directory_are_told_to_end) {
  const CopyRig rig;
  Engine engine = rig.scratch.open();
  const auto worker = must(engine.attach(Role::worker));
  const auto job = must(worker->claim(std::chrono::seconds(5)));
  fs::remove_all(rig.directory);
  const auto ended = worker->claim(std::chrono::seconds(20));
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code(), ErrorCode::not_found) << ended.error().message();
}

/// A container that shares the directory, and has a /dev/shm of its own.
class OtherShm : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a tmpfs in a mount namespace of its own";
  }
  /// Runs `body` there.
  static Child elsewhere(const CopyRig& rig, const std::function<int()>& body) {
    return Child([&] {
      const bool is_apart = ::unshare(CLONE_NEWNS) == 0 &&
                            ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                            ::mount("none", "/dev/shm", "tmpfs", 0, "mode=1777,size=64m") == 0;
      if (!is_apart) return 98;
      fs::create_directories(rig.scratch.place().shm_dir());
      fs::permissions(rig.scratch.place().shm_dir(), fs::perms::owner_all);
      return body();
    });
  }
};

TEST_F(OtherShm, one_is_refused_while_a_process_lives_in_the_first_memory) {
  const CopyRig rig;
  Engine engine = rig.scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  Child other = elsewhere(
      rig, [&rig] { return code_of(Engine::open(rig.directory, without_keeper)) == ErrorCode::busy ? 0 : 1; });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(must(engine.job(rig.job)).state, JobState::queued);
}

TEST_F(OtherShm, durable_jobs_of_both_memories_are_kept) {
  const CopyRig rig;
  Child other = elsewhere(rig, [&rig] {
    Engine engine = must(Engine::open(rig.directory));
    if (must(engine.job(rig.job)).state != JobState::queued) return 1;
    enqueue_durably(engine, "from elsewhere");
    return 0;
  });
  ASSERT_EQ(other.wait(), 0);
  {
    Engine engine = must(Engine::open(rig.directory));
    EXPECT_EQ(queued_in(engine), 2U);
    enqueue_durably(engine, "from here");
  }
  EXPECT_EQ(must(recover(rig.directory)).has_value(), false);
  fs::remove(rig.scratch.segment_file());
  EXPECT_EQ(must(recover(rig.directory))->jobs, 3U);
}

TEST_F(OtherShm, the_first_memory_is_refused_while_a_process_lives_in_the_second) {
  const CopyRig rig;
  Child other = elsewhere(rig, [&rig] {
    const Engine engine = must(Engine::open(rig.directory));
    if (!await([&engine] { return engine.keeps(); })) return 1;
    must(write_file_durably(rig.copy, "", 0600));
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&rig] { return fs::exists(rig.copy); }));
  EXPECT_EQ(code_of(Engine::open(rig.directory, without_keeper)), ErrorCode::busy);
  other.kill();
  expect_waiting(rig.directory, rig.job);
}

TEST_F(OtherShm, a_caller_that_waits_in_the_first_memory_is_told_that_it_is_out_of_date) {
  const CopyRig rig;
  const Engine engine = rig.scratch.open(without_keeper);
  Child other = elsewhere(rig, [&rig] {
    Engine there = must(Engine::open(rig.directory));
    const auto worker = must(there.attach(Role::worker));
    return must(worker->claim(std::chrono::seconds(5))).complete() ? 0 : 1;
  });
  EXPECT_EQ(code_of(engine.wait(rig.job, std::chrono::seconds(30))), ErrorCode::stale);
  EXPECT_EQ(other.wait(), 0);
}

TEST_F(OtherShm, a_process_that_opened_the_first_memory_before_does_not_enter_it_any_more) {
  const CopyRig rig;
  Engine engine = rig.scratch.open(without_keeper);
  Child other = elsewhere(rig, [&rig] { return Engine::open(rig.directory, without_keeper) ? 0 : 1; });
  ASSERT_EQ(other.wait(), 0);
  EXPECT_EQ(code_of(engine.attach(Role::worker)), ErrorCode::stale);
}

}  // namespace
}  // namespace ringmill::test
