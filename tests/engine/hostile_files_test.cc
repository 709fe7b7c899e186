// What another user with write access to an engine's directory may put there: pipes, links, folders, huge files, and
// directories that are exchanged between two steps. Nothing hangs, nothing takes memory without bound, and no file
// outside of the engine is written, removed, or gets another mode.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "core/dead_letters/store.h"
#include "core/durability/recovery.h"
#include "core/engine/engine_creation.h"
#include "core/engine/engine_recovery.h"
#include "core/flow_control/flow_rules.h"
#include "core/levels/level_list.h"
#include "core/schedules/schedule_book.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned longest_seconds = 20;

/// Does what a program does with an engine: opens it, recovers it, changes its rules and levels. In a child that the
/// kernel ends when it hangs.
int use_everything_in_child(const fs::path& directory) {
  Child child([&directory] {
    ::alarm(longest_seconds);
    if (auto engine = Engine::open(directory)) {
      if (const auto kind = engine->kind("mail")) static_cast<void>(engine->pause(*kind));
      static_cast<void>(engine->add_level("later"));
    }
    if (const auto opened = EngineFiles::open(directory)) {
      if (const auto locks = opened->open_locks()) static_cast<void>(rebuild_segment(*opened, *locks));
    }
    static_cast<void>(DeadLetterStore::open(directory, DeadLetterStore::Access::read_only));
    static_cast<void>(ScheduleBook(directory).list());
    return 0;
  });
  return child.wait();
}

mode_t mode_of(const fs::path& file) {
  struct stat facts {};
  return ::stat(file.c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
}

class HostileFiles : public ::testing::TestWithParam<const char*> {
 protected:
  ScratchEngine scratch_;
  fs::path file_ = scratch_.directory() / GetParam();
};

TEST_P(HostileFiles, a_pipe_in_its_place_holds_nothing_up) {
  fs::remove(file_);
  ASSERT_EQ(::mkfifo(file_.c_str(), 0666), 0);
  EXPECT_EQ(use_everything_in_child(scratch_.directory()), 0);
}

TEST_P(HostileFiles, a_huge_sparse_file_in_its_place_takes_no_memory) {
  fs::remove(file_);
  must(write_file_durably(file_, "{", 0600));
  ASSERT_EQ(::truncate(file_.c_str(), off_t{40} << 30), 0);
  EXPECT_EQ(use_everything_in_child(scratch_.directory()), 0);
}

TEST_P(HostileFiles, a_link_in_its_place_is_not_followed) {
  const ScratchFolder outside;
  const fs::path victim = outside.path() / "victim";
  must(write_file_durably(victim, "precious", 0600));
  fs::remove(file_);
  fs::create_symlink(victim, file_);
  EXPECT_EQ(use_everything_in_child(scratch_.directory()), 0);
  EXPECT_EQ(must(read_file(victim)), "precious");
  EXPECT_EQ(mode_of(victim), 0600U);
}

INSTANTIATE_TEST_SUITE_P(, HostileFiles,
                         ::testing::Values("engine.json", "generation", "flow-control.json", "levels.json", "lock",
                                           "dead-letters.db", "dead-letters.db-wal", "dead-letters.db-shm",
                                           "dead-letters.db-journal", "schedules.db", "schedules.db-journal"),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::ranges::replace_if(
                               name, [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

/// While the book is open: SQLite looks for a journal at each transaction.
TEST(HostileJournalOfSchedules, a_pipe_that_is_put_there_later_holds_no_transaction_up) {
  const ScratchFolder folder;
  Schedule schedule{.name = "beat", .times = EveryTimes{std::chrono::seconds(1)}};
  schedule.kind = "beat";
  schedule.level = "default";
  Child child([&] {
    ::alarm(longest_seconds);
    ScheduleBook book(folder.path());
    must(book.add(schedule, std::chrono::system_clock::now()));
    if (::mkfifo((folder.path() / "schedules.db-journal").c_str(), 0666) != 0) return 1;
    return book.list() ? 2 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(HostileCreation, a_pipe_in_place_of_its_note_holds_neither_it_nor_a_removal_up) {
  const ScratchPlace place;
  const auto put_pipe = [&place] { return ::mkfifo((place.directory() / "creating").c_str(), 0666) == 0; };
  fs::create_directory(place.directory());
  ASSERT_TRUE(put_pipe());
  Child child([&] {
    ::alarm(longest_seconds);
    must(Engine::create(place.directory(), place.here(small_engine())));
    if (!put_pipe()) return 1;
    must(Engine::remove(place.directory()));
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_FALSE(fs::exists(place.directory()));
}

TEST(HostileSegment, a_pipe_in_its_place_holds_nothing_up) {
  const ScratchEngine scratch;
  fs::remove(scratch.segment_file());
  ASSERT_EQ(::mkfifo(scratch.segment_file().c_str(), 0666), 0);
  EXPECT_EQ(use_everything_in_child(scratch.directory()), 0);
  EXPECT_EQ(code_of(Engine::open(scratch.directory(), without_keeper)), ErrorCode::permission_denied);
}

TEST(HostileSegment, another_users_file_is_told_apart_from_a_wrong_mode) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchEngine scratch;
  ASSERT_EQ(::chown(scratch.segment_file().c_str(), 12345, 12345), 0);
  ASSERT_EQ(::chmod(scratch.segment_file().c_str(), 0666), 0);
  const auto opened = must(EngineFiles::open(scratch.directory())).open_segment_to_read();
  ASSERT_EQ(code_of(opened), ErrorCode::permission_denied);
  EXPECT_NE(opened.error().message().find("another user"), std::string::npos) << opened.error().message();
}

TEST(HostileSegment, another_users_file_in_its_place_is_not_removed_with_the_engine) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchEngine scratch;
  const fs::path segment = scratch.segment_file();
  ASSERT_EQ(::chown(segment.c_str(), 12345, 12345), 0);
  EXPECT_EQ(code_of(Engine::remove(scratch.directory(), true)), ErrorCode::permission_denied);
  EXPECT_TRUE(fs::exists(segment));
  EXPECT_TRUE(fs::exists(scratch.directory() / "engine.json")) << "what is left can be removed later";
}

class HostileJournal : public ::testing::TestWithParam<const char*> {
 protected:
  void put(const fs::path& file) const {
    const std::string what = GetParam();
    if (what == "folder") fs::create_directories(file / "full");
    if (what == "pipe") {
      EXPECT_EQ(::mkfifo(file.c_str(), 0666), 0);
    }
    if (what == "link") fs::create_symlink(victim_, file);
  }
  void expect_a_device_that_writes() const {
    const auto device = must(open_journal_device(must(Directory::open(journal_)), DeviceChoice::pwritev2, 0600));
    must(device->prepare(0, 4 * journal_unit));
    EXPECT_EQ(must(device->slots()), std::vector<SlotNumber>{0});
    EXPECT_TRUE(must(device->try_fence(0)));
    EXPECT_EQ(must(read_file(victim_)), "precious");
    EXPECT_EQ(mode_of(victim_), 0600U);
  }

  ScratchEngine scratch_;
  ScratchFolder outside_;
  fs::path victim_ = outside_.path() / "victim";
  fs::path journal_ = scratch_.directory() / "journal";

  void SetUp() override {
    must(write_file_durably(victim_, "precious", 0600));
    fs::remove(journal_ / "0000.segment");
  }
};

TEST_P(HostileJournal, one_named_probe_does_not_stop_the_journal) {
  put(journal_ / "probe");
  expect_a_device_that_writes();
}

TEST_P(HostileJournal, one_named_as_a_slot_does_not_stop_the_journal) {
  put(journal_ / "0000.segment");
  expect_a_device_that_writes();
}

TEST_P(HostileJournal, one_named_as_a_slot_does_not_stop_a_recovery) {
  put(journal_ / "0007.segment");
  fs::remove(scratch_.segment_file());
  EXPECT_TRUE(scratch_.open(without_keeper).status().keeper_pid == 0);
}

INSTANTIATE_TEST_SUITE_P(, HostileJournal, ::testing::Values("folder", "pipe", "link"),
                         [](const auto& one) { return std::string(one.param); });

TEST(HostileJournalFolder, one_that_more_users_may_write_than_the_engine_says_is_refused) {
  const ScratchEngine scratch;
  fs::remove(scratch.segment_file());
  ASSERT_EQ(::chmod((scratch.directory() / "journal").c_str(), 0777), 0);
  EXPECT_EQ(code_of(Engine::open(scratch.directory(), without_keeper)), ErrorCode::permission_denied);
}

TEST(HostileJournalFolder, another_users_is_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  const ScratchEngine scratch;
  fs::remove(scratch.segment_file());
  ASSERT_EQ(::chown((scratch.directory() / "journal").c_str(), 12345, 12345), 0);
  EXPECT_EQ(code_of(Engine::open(scratch.directory(), without_keeper)), ErrorCode::permission_denied);
}

TEST(ExchangedDirectories, a_removal_takes_the_engine_that_it_opened_not_the_one_that_a_link_leads_to) {
  const ScratchEngine other;
  const ScratchEngine scratch;
  const EngineFiles opened = must(EngineFiles::open(scratch.directory()));
  const fs::path aside = scratch.directory().string() + ".aside";
  fs::rename(scratch.directory(), aside);
  fs::create_directory_symlink(other.directory(), scratch.directory());
  must(remove_files(opened));
  EXPECT_TRUE(other.open(without_keeper).status().keeper_pid == 0) << "the other engine is whole";
  EXPECT_FALSE(fs::exists(aside / "engine.json"));
  fs::remove(scratch.directory());
}

TEST(ExchangedDirectories, a_journal_that_becomes_a_link_is_neither_recovered_nor_emptied) {
  const ScratchEngine scratch;
  const ScratchFolder outside;
  must(write_file_durably(outside.path() / "0000.segment", "precious", 0600));
  const EngineFiles opened = must(EngineFiles::open(scratch.directory()));
  fs::rename(opened.journal_path(), scratch.directory() / "journal.aside");
  fs::create_directory_symlink(outside.path(), opened.journal_path());
  const File locks = must(opened.open_locks());
  EXPECT_EQ(code_of(rebuild_segment(opened, locks)), ErrorCode::permission_denied);
  static_cast<void>(remove_files(opened));
  EXPECT_EQ(outside.names(), std::vector<std::string>{"0000.segment"});
  EXPECT_EQ(must(read_file(outside.path() / "0000.segment")), "precious");
}

TEST(ExchangedDirectories, damage_is_kept_aside_in_the_folder_that_was_opened) {
  const ScratchEngine scratch;
  const ScratchFolder outside;
  const EngineFiles opened = must(EngineFiles::open(scratch.directory()));
  const Directory folder = must(opened.open_journal_folder());
  const auto device = must(open_journal_device(folder, DeviceChoice::pwritev2, 0600));
  must(device->prepare(3, 4 * journal_unit));
  const fs::path aside = scratch.directory() / "journal.aside";
  fs::rename(opened.journal_path(), aside);
  fs::create_directory_symlink(outside.path(), opened.journal_path());
  JournalDamage damage;
  damage.segment = 1;
  damage.slot = 3;
  damage.offset = journal_unit;
  damage.bytes = journal_unit;
  damage.reason = "planted";
  EXPECT_EQ(keep_aside({damage}, *device, folder, 0600).size(), 1U);
  EXPECT_TRUE(outside.names().empty());
  EXPECT_TRUE(fs::exists(aside / ("damaged-1-" + std::to_string(journal_unit))));
}

/// F2: a name is exchanged all the time between nothing, a plain file and a link to a file that is precious.
TEST(ExchangedDirectories, the_mode_of_a_file_outside_stays_while_databases_are_opened_again_and_again) {
  const ScratchFolder outside;
  const fs::path victim = outside.path() / "victim";
  must(write_file_durably(victim, "precious", 0600));
  const ScratchFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  std::atomic<bool> stop{false};
  std::thread exchanger([&] {
    const char* const names[] = {"dead-letters.db-wal", "dead-letters.db-shm", "dead-letters.db", "schedules.db"};
    for (unsigned n = 0; !stop; ++n) {
      const fs::path file = folder.path() / names[n % std::size(names)];
      ::unlink(file.c_str());
      [[maybe_unused]] const int linked = ::symlink(victim.c_str(), file.c_str());  // not where SQLite was faster
      if (n % 8 >= 4) ::unlink(file.c_str());
    }
  });
  constexpr int openings = 300;
  for (int n = 0; n < openings; ++n) {
    static_cast<void>(
        DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write, {}, std::chrono::milliseconds(1)));
    ScheduleBook book(folder.path(), std::chrono::milliseconds(1));
    Schedule schedule{.name = "beat", .times = EveryTimes{std::chrono::seconds(1)}};
    schedule.kind = "beat";
    schedule.level = "default";
    static_cast<void>(book.add(schedule, std::chrono::system_clock::now()));
    static_cast<void>(book.list());
  }
  stop = true;
  exchanger.join();
  EXPECT_EQ(mode_of(victim), 0600U);
  EXPECT_EQ(must(read_file(victim)), "precious");
}

/// Turn 2, 25: a directory that was renamed while it was open, and another engine in its place.
TEST(ExchangedDirectories, an_engine_whose_directory_was_renamed_writes_nothing_into_the_next_one_of_that_name) {
  const ScratchPlace place;
  must(Engine::create(place.directory(), place.here(small_engine())));
  const EngineFiles old = must(EngineFiles::open(place.directory()));
  fs::rename(place.directory(), place.directory().string() + ".old");
  must(Engine::create(place.directory(), place.here(small_engine())));
  must(DeadLetterStore::open(old.folder(), DeadLetterStore::Access::read_write));
  must(old.write_generation_limit(3 * generation_step));
  EXPECT_FALSE(fs::exists(place.directory() / "dead-letters.db"));
  EXPECT_EQ(must(read_file(place.directory() / "generation")), std::to_string(generation_step) + "\n");
  EXPECT_TRUE(fs::exists(place.directory().string() + ".old/dead-letters.db"));
  must(Engine::remove(place.directory(), true));
}

}  // namespace
}  // namespace ringmill::test
