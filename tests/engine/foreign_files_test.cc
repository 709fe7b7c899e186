// Files of another user where the engine's should be: a symbolic link, a foreign owner, a directory that others may
// write (hazard 18 in docs/hazards.md). Refused, with a sentence that names the file. The segment's own file:
// tests/ipc/segment_test.cc.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "core/dead_letters/store.h"
#include "core/inspect/job_view.h"
#include "core/schedules/schedule_book.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

constexpr uid_t other_user = 12345;

struct ForeignFilesRig {
  ScratchEngine scratch;
  std::filesystem::path directory = scratch.directory();

  Result<Engine> open() const { return Engine::open(directory, without_keeper); }
};

template <class T>
void expect_refused(const Result<T>& result, const std::string& named) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), ErrorCode::permission_denied);
  EXPECT_NE(result.error().message().find(named), std::string::npos) << result.error().message();
}

void replace_by_link(const std::filesystem::path& file) {
  std::filesystem::rename(file, file.string() + ".real");
  std::filesystem::create_symlink(file.string() + ".real", file);
}

TEST(ForeignFilesInProcess, an_engines_directory_that_is_a_symbolic_link_is_not_opened) {
  const ForeignFilesRig rig;
  replace_by_link(rig.directory);
  expect_refused(rig.open(), "symbolic link");
}

TEST(ForeignFilesInProcess, a_slash_behind_a_symbolic_link_does_not_open_it) {
  const ForeignFilesRig rig;
  replace_by_link(rig.directory);
  expect_refused(Engine::open(rig.directory.string() + "/", without_keeper), "symbolic link");
}

TEST(ForeignFilesInProcess, an_engines_directory_that_is_a_symbolic_link_is_not_removed) {
  const ForeignFilesRig rig;
  replace_by_link(rig.directory);
  expect_refused(Engine::remove(rig.directory, true), "symbolic link");
  EXPECT_TRUE(std::filesystem::exists(rig.directory / "engine.json"));
}

TEST(ForeignFilesInProcess, no_engine_is_made_behind_a_symbolic_link) {
  const ScratchPlace place;
  const ScratchFolder elsewhere;
  std::filesystem::create_symlink(elsewhere.path(), place.directory());
  expect_refused(Engine::create(place.directory(), place.here(small_engine())), "symbolic link");
  EXPECT_TRUE(elsewhere.names().empty());
}

TEST(ForeignFilesInProcess, no_engine_is_made_where_a_file_stands) {
  const ScratchPlace place;
  must(write_file_durably(place.directory(), "mine", 0600));
  const auto made = Engine::create(place.directory(), place.here(small_engine()));
  EXPECT_EQ(code_of(made), ErrorCode::already_exists) << made.error().message();
  EXPECT_EQ(must(read_file(place.directory())), "mine");
}

TEST(ForeignFilesInProcess, a_directory_that_its_group_may_write_against_the_engines_mode_is_refused) {
  const ForeignFilesRig rig;
  ASSERT_EQ(::chmod(rig.directory.c_str(), 0720), 0);
  expect_refused(rig.open(), rig.directory.string());
}

TEST(ForeignFilesInProcess, a_directory_that_all_may_write_against_the_engines_mode_is_refused) {
  const ForeignFilesRig rig;
  ASSERT_EQ(::chmod(rig.directory.c_str(), 0702), 0);
  expect_refused(rig.open(), rig.directory.string());
}

TEST(ForeignFilesInProcess, a_directory_that_its_group_may_write_by_the_engines_mode_is_fine) {
  CreateOptions options = small_engine();
  options.mode = 0770;
  const ScratchEngine scratch(options);
  EXPECT_TRUE(Engine::open(scratch.directory(), without_keeper).has_value());
}

TEST(ForeignFilesInProcess, a_configuration_that_is_a_symbolic_link_is_refused) {
  const ForeignFilesRig rig;
  replace_by_link(rig.directory / "engine.json");
  expect_refused(rig.open(), "engine.json");
}

TEST(ForeignFilesInProcess, a_configuration_or_a_note_of_the_memory_that_others_may_write_is_refused) {
  const ForeignFilesRig rig;
  for (const char* name : {"engine.json", "memory"}) {
    const auto file = rig.directory / name;
    ASSERT_EQ(::chmod(file.c_str(), 0660), 0);
    expect_refused(rig.open(), "chmod go-w " + file.string());
    ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
    EXPECT_TRUE(rig.open().has_value());
  }
}

TEST(ForeignFilesInProcess, no_mode_of_an_engine_lets_others_write_its_configuration) {
  CreateOptions options = small_engine();
  options.mode = 0777;
  const ScratchEngine scratch(options);
  for (const char* name : {"engine.json", "memory"}) {
    struct stat facts {};
    ASSERT_EQ(::stat((scratch.directory() / name).c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0644U) << name;
  }
}

TEST(ForeignFilesInProcess, no_memory_is_made_in_a_folder_where_others_could_swap_it) {
  const ForeignFilesRig rig;
  std::filesystem::remove(rig.scratch.segment_file());
  ASSERT_EQ(::chmod(rig.scratch.place().shm_dir().c_str(), 0777), 0);
  expect_refused(rig.open(), rig.scratch.place().shm_dir().string());
  ASSERT_EQ(::chmod(rig.scratch.place().shm_dir().c_str(), 01777), 0);
  EXPECT_TRUE(rig.open().has_value());
}

TEST(ForeignFilesInProcess, no_memory_is_made_on_a_disk) {
  const ScratchPlace place;
  CreateOptions options = small_engine();
  options.shm_dir = "/proc";
  EXPECT_EQ(code_of(Engine::create(place.directory(), options)), ErrorCode::invalid_argument);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  return text.replace(text.find(what), what.size(), by);
}

TEST(ForeignFilesInProcess, a_configuration_with_a_relative_folder_of_memory_is_refused) {
  const ForeignFilesRig rig;
  const std::string text = must(read_file(rig.directory / "engine.json"));
  const std::string folder = rig.scratch.place().shm_dir().string();
  for (const std::string& bad : {std::string(), std::string("here"), folder + "\\u0000x"}) {
    must(write_file_durably(rig.directory / "engine.json", replaced(text, folder, bad), 0600));
    EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt) << bad;
  }
}

TEST(ForeignFilesInProcess, memory_of_another_size_than_the_configuration_says_is_refused) {
  const ForeignFilesRig rig;
  std::string text = must(read_file(rig.directory / "engine.json"));
  const std::size_t begin = text.find("\"capacity\": ") + 12;
  text.replace(begin, text.find(',', begin) - begin, "64");
  must(write_file_durably(rig.directory / "engine.json", text, 0600));
  EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt);
}

TEST(ForeignFilesInProcess, a_lock_file_that_is_a_symbolic_link_is_refused) {
  const ForeignFilesRig rig;
  replace_by_link(rig.directory / "lock");
  expect_refused(rig.open(), "lock");
  expect_refused(Engine::remove(rig.directory), "lock");
}

TEST(ForeignFilesInProcess, a_segment_that_is_a_symbolic_link_is_refused) {
  const ForeignFilesRig rig;
  const auto segment = rig.scratch.segment_file();
  replace_by_link(segment);
  expect_refused(rig.open(), segment.string());
}

class FilesOfAnotherUserInProcess : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  }
};

TEST_F(FilesOfAnotherUserInProcess, a_configuration_of_another_user_is_refused) {
  const ForeignFilesRig rig;
  ASSERT_EQ(::chown((rig.directory / "engine.json").c_str(), other_user, other_user), 0);
  expect_refused(rig.open(), "engine.json");
}

TEST_F(FilesOfAnotherUserInProcess, a_lock_file_of_another_user_is_refused) {
  const ForeignFilesRig rig;
  ASSERT_EQ(::chown((rig.directory / "lock").c_str(), other_user, other_user), 0);
  expect_refused(rig.open(), "lock");
  expect_refused(Engine::remove(rig.directory, true), "lock");
}

TEST_F(FilesOfAnotherUserInProcess, a_segment_of_another_user_is_not_looked_into_and_not_removed) {
  const ForeignFilesRig rig;
  const auto segment = rig.scratch.segment_file();
  ASSERT_EQ(::chown(segment.c_str(), other_user, other_user), 0);
  expect_refused(must(EngineFiles::open(rig.directory, EngineFiles::For::look)).open_segment_to_read(),
                 segment.string());
  expect_refused(Engine::remove(rig.directory), segment.string());
  EXPECT_TRUE(std::filesystem::exists(segment));
}

TEST_F(FilesOfAnotherUserInProcess, a_segments_name_that_another_user_took_is_passed_over) {
  const ForeignFilesRig rig;
  const auto taken = rig.scratch.segment_file();
  std::filesystem::remove(taken);
  must(write_file_durably(taken, "mine", 0600));
  ASSERT_EQ(::chown(taken.c_str(), other_user, other_user), 0);
  EXPECT_TRUE(rig.open().has_value());
  EXPECT_NE(rig.scratch.segment_file(), taken);
  EXPECT_TRUE(rig.open().has_value());
  must(Engine::remove(rig.directory));
  EXPECT_EQ(must(read_file(taken)), "mine");
  EXPECT_EQ(rig.scratch.place().shm_names().size(), 1U);
}

TEST_F(FilesOfAnotherUserInProcess, no_engine_is_made_in_a_directory_of_another_user) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  ASSERT_EQ(::chown(place.directory().c_str(), other_user, other_user), 0);
  expect_refused(Engine::create(place.directory(), place.here(small_engine())), place.directory().string());
  EXPECT_TRUE(std::filesystem::is_empty(place.directory()));
}

TEST_F(FilesOfAnotherUserInProcess, no_engine_is_made_with_a_lock_file_of_another_user) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  must(write_file_durably(place.directory() / "lock", "", 0666));
  ASSERT_EQ(::chown((place.directory() / "lock").c_str(), other_user, other_user), 0);
  expect_refused(Engine::create(place.directory(), place.here(small_engine())), "lock");
}

/// An engine of the other user whose segment is gone.
struct EngineOfOtherUser {
  ScratchEngine scratch;

  EngineOfOtherUser() {
    std::filesystem::remove(scratch.segment_file());
    for (const auto& file : std::filesystem::directory_iterator(scratch.directory())) {
      EXPECT_EQ(::chown(file.path().c_str(), other_user, other_user), 0);
    }
    EXPECT_EQ(::chown(scratch.directory().c_str(), other_user, other_user), 0);
  }
};

TEST_F(FilesOfAnotherUserInProcess, root_does_not_act_on_another_users_engine) {
  const EngineOfOtherUser rig;
  expect_refused(Engine::open(rig.scratch.directory(), without_keeper), "sudo -u");
  expect_refused(Engine::remove(rig.scratch.directory(), true), "sudo -u");
  EXPECT_TRUE(rig.scratch.place().shm_names().empty());
}

TEST_F(FilesOfAnotherUserInProcess, root_looks_at_another_users_engine) {
  const EngineOfOtherUser rig;
  const auto looked = EngineFiles::open(rig.scratch.directory(), EngineFiles::For::look);
  ASSERT_TRUE(looked.has_value()) << looked.error().message();
  EXPECT_EQ(code_of(looked->open_segment_to_read()), ErrorCode::not_found);
}

void let_all_users_in(const ScratchEngine& scratch) {
  for (const auto& folder : {scratch.directory().parent_path(), scratch.place().shm_dir()}) {
    ASSERT_EQ(::chmod(folder.c_str(), 01777), 0);
  }
}

/// Runs `body` as the other user.
Child as_other_user(const std::function<int()>& body) {
  return Child([&body] { return ::setgid(other_user) == 0 && ::setuid(other_user) == 0 ? body() : 99; });
}

/// A segment made by another user would be refused by all users, the owner included.
TEST(FilesOfAnotherUser, a_user_that_is_not_the_owner_does_not_make_the_segment_anew) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  CreateOptions options = small_engine();
  options.mode = 0777;
  const ScratchEngine scratch(options);
  std::filesystem::remove(scratch.segment_file());
  let_all_users_in(scratch);
  Child other = as_other_user([&scratch] {
    const auto opened = Engine::open(scratch.directory(), without_keeper);
    if (opened || opened.error().code() != ErrorCode::permission_denied) return 1;
    return opened.error().message().find("owner") != std::string::npos ? 0 : 3;
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_TRUE(scratch.place().shm_names().empty());
  EXPECT_TRUE(Engine::open(scratch.directory(), without_keeper).has_value());
}

constexpr gid_t common_group = 23456;

/// Runs `body` as a user of the common group, with a primary group of its own.
Child as_member(uid_t user, const std::function<int()>& body) {
  return Child([&] {
    const gid_t groups[] = {common_group};
    const bool is_member = ::setgroups(1, groups) == 0 && ::setgid(user) == 0 && ::setuid(user) == 0;
    return is_member ? body() : 99;
  });
}

int enqueue_durably(const std::filesystem::path& directory) {
  Engine engine = must(Engine::open(directory));
  const auto producer = must(engine.attach(Role::producer));
  must(producer->enqueue(
      {.kind = must(engine.kind("test")), .level = must(engine.level("default")), .durability = Durability::durable}));
  return 0;
}

/// Buries, and plans, as any member's keeper and command do.
int use_databases(const std::filesystem::path& directory) {
  must(DeadLetterStore::open(directory, DeadLetterStore::Access::read_write));
  Schedule beat{.name = "beat", .times = EveryTimes{std::chrono::hours(1)}};
  beat.kind = "test";
  beat.level = "default";
  ScheduleBook book(directory);
  if (must(book.list()).empty()) must(book.add(beat, std::chrono::system_clock::now()));
  must(book.pause("beat"));
  return 0;
}

TEST(FilesOfAGroup, two_members_use_an_engine_that_was_set_up_as_the_manual_says) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  constexpr uid_t alice = 12345;
  constexpr uid_t bob = 12346;
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  ASSERT_EQ(::chown(place.directory().c_str(), alice, common_group), 0);
  ASSERT_EQ(::chmod(place.directory().c_str(), 02770), 0);
  for (const auto& folder : {place.directory().parent_path(), place.shm_dir()}) {
    ASSERT_EQ(::chmod(folder.c_str(), 01777), 0);
  }
  const auto make_and_use = [&place] {
    CreateOptions options = small_engine();
    options.mode = 0770;
    must(Engine::create(place.directory(), place.here(options)));
    return enqueue_durably(place.directory());
  };
  ASSERT_EQ(as_member(alice, make_and_use).wait(), 0);
  EXPECT_EQ(as_member(bob, [&place] { return enqueue_durably(place.directory()); }).wait(), 0);
  EXPECT_EQ(as_member(bob, [&place] { return use_databases(place.directory()); }).wait(), 0);
  EXPECT_EQ(as_member(alice, [&place] { return use_databases(place.directory()); }).wait(), 0);
  const auto segment = must(EngineFiles::open(place.directory(), EngineFiles::For::look)).segment_path();
  struct stat facts {};
  ASSERT_EQ(::stat(place.directory().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 02770U);
  // A recovery makes the same.
  std::filesystem::remove(segment);
  ASSERT_EQ(as_member(alice, [&place] { return enqueue_durably(place.directory()); }).wait(), 0);
  EXPECT_EQ(as_member(bob, [&place] { return enqueue_durably(place.directory()); }).wait(), 0);
  for (const auto& file : std::filesystem::recursive_directory_iterator(place.directory())) {
    ASSERT_EQ(::lstat(file.path().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_gid, common_group) << file.path();
  }
  ASSERT_EQ(::stat(segment.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_gid, common_group);
}

/// May read, and no more: of the group, or any user.
class Readers : public testing::TestWithParam<std::uint32_t> {};

bool cannot_open(const std::filesystem::path& file) {
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened >= 0) ::close(opened);
  return opened < 0 && errno == EACCES;
}

TEST_P(Readers, a_reader_looks_and_gets_hold_of_no_file_that_carries_locks) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  CreateOptions options = small_engine();
  options.mode = GetParam();
  const ScratchEngine scratch(options);
  ASSERT_EQ(::chmod(scratch.directory().parent_path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(scratch.place().shm_dir().c_str(), 0755), 0);
  Engine engine = scratch.open();
  const auto producer = must(engine.attach(Role::producer));
  const JobId job = must(producer->enqueue(
      {.kind = must(engine.kind("test")), .level = must(engine.level("default")), .durability = Durability::durable}));
  use_databases(scratch.directory());
  Child reader = Child([&] {
    // A member of the engine's group, which is root's here, by that group alone.
    if (::setgroups(0, nullptr) != 0 || ::setgid(0) != 0 || ::setuid(other_user) != 0) return 99;
    const auto directory = EngineFiles::open(scratch.directory(), EngineFiles::For::look);
    if (!directory) return 1;
    const auto segment = directory->open_segment_to_read();
    if (!segment || !find_job(*segment, job)) return 2;
    const auto locks = directory->open_locks_to_look();
    if (!locks || *locks) return 3;
    if (DeathProbe(*segment, *locks).is_dead(static_cast<std::uint32_t>(producer->number()))) return 4;
    for (const char* name : {"lock", "dead-letters.db", "dead-letters.db-wal", "dead-letters.db-shm", "schedules.db"}) {
      if (!cannot_open(scratch.directory() / name)) return 5;
    }
    for (const auto& file : std::filesystem::directory_iterator(scratch.directory() / "journal")) {
      if (!cannot_open(file.path())) return 6;
    }
    return 0;
  });
  EXPECT_EQ(reader.wait(), 0);
}

TEST_P(Readers, files_from_before_such_a_rule_are_taken_from_readers_by_what_uses_the_engine) {
  CreateOptions options = small_engine();
  options.mode = GetParam();
  const ScratchEngine scratch(options);
  must(DeadLetterStore::open(scratch.directory(), DeadLetterStore::Access::read_write));
  enqueue_durably(scratch.directory());
  const std::filesystem::path files[] = {"lock", "dead-letters.db", "dead-letters.db-shm", "journal/0000.segment"};
  for (const auto& file : files) ASSERT_EQ(::chmod((scratch.directory() / file).c_str(), 0644), 0) << file;
  enqueue_durably(scratch.directory());
  must(DeadLetterStore::open(scratch.directory(), DeadLetterStore::Access::read_write));
  for (const auto& file : files) {
    struct stat facts {};
    ASSERT_EQ(::stat((scratch.directory() / file).c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600U) << file;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Readers, testing::Values(0750, 0755));

}  // namespace
}  // namespace ringmill::test
