// Somebody else's files where the engine's should be: a symbolic link, a foreign owner, a directory that others may
// write (hazard 18 in docs/hazards.md). Refused, with a sentence that names the file. The segment's own file:
// tests/ipc/segment_test.cc.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

constexpr uid_t somebody = 12345;

struct Rig {
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
  const Rig rig;
  replace_by_link(rig.directory);
  expect_refused(rig.open(), "symbolic link");
}

TEST(ForeignFilesInProcess, a_slash_behind_a_symbolic_link_does_not_open_it) {
  const Rig rig;
  replace_by_link(rig.directory);
  expect_refused(Engine::open(rig.directory.string() + "/", without_keeper), "symbolic link");
}

TEST(ForeignFilesInProcess, an_engines_directory_that_is_a_symbolic_link_is_not_removed) {
  const Rig rig;
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
  const Rig rig;
  ASSERT_EQ(::chmod(rig.directory.c_str(), 0720), 0);
  expect_refused(rig.open(), rig.directory.string());
}

TEST(ForeignFilesInProcess, a_directory_that_all_may_write_against_the_engines_mode_is_refused) {
  const Rig rig;
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
  const Rig rig;
  replace_by_link(rig.directory / "engine.json");
  expect_refused(rig.open(), "engine.json");
}

TEST(ForeignFilesInProcess, a_lock_file_that_is_a_symbolic_link_is_refused) {
  const Rig rig;
  replace_by_link(rig.directory / "lock");
  expect_refused(rig.open(), "lock");
  expect_refused(Engine::remove(rig.directory), "lock");
}

TEST(ForeignFilesInProcess, a_segment_that_is_a_symbolic_link_is_refused) {
  const Rig rig;
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
  const Rig rig;
  ASSERT_EQ(::chown((rig.directory / "engine.json").c_str(), somebody, somebody), 0);
  expect_refused(rig.open(), "engine.json");
}

TEST_F(FilesOfAnotherUserInProcess, a_lock_file_of_another_user_is_refused) {
  const Rig rig;
  ASSERT_EQ(::chown((rig.directory / "lock").c_str(), somebody, somebody), 0);
  expect_refused(rig.open(), "lock");
  expect_refused(Engine::remove(rig.directory, true), "lock");
}

TEST_F(FilesOfAnotherUserInProcess, a_segment_of_another_user_is_refused_and_not_removed) {
  const Rig rig;
  const auto segment = rig.scratch.segment_file();
  ASSERT_EQ(::chown(segment.c_str(), somebody, somebody), 0);
  expect_refused(rig.open(), segment.string());
  expect_refused(Engine::remove(rig.directory), segment.string());
  EXPECT_TRUE(std::filesystem::exists(segment));
}

TEST_F(FilesOfAnotherUserInProcess, no_engine_is_made_in_a_directory_of_another_user) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  ASSERT_EQ(::chown(place.directory().c_str(), somebody, somebody), 0);
  expect_refused(Engine::create(place.directory(), place.here(small_engine())), place.directory().string());
  EXPECT_TRUE(std::filesystem::is_empty(place.directory()));
}

TEST_F(FilesOfAnotherUserInProcess, no_engine_is_made_with_a_lock_file_of_another_user) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  must(write_file_durably(place.directory() / "lock", "", 0666));
  ASSERT_EQ(::chown((place.directory() / "lock").c_str(), somebody, somebody), 0);
  expect_refused(Engine::create(place.directory(), place.here(small_engine())), "lock");
}

/// An engine of `somebody` whose segment is gone.
struct EngineOfSomebody {
  ScratchEngine scratch;

  EngineOfSomebody() {
    std::filesystem::remove(scratch.segment_file());
    for (const auto& file : std::filesystem::directory_iterator(scratch.directory())) {
      EXPECT_EQ(::chown(file.path().c_str(), somebody, somebody), 0);
    }
    EXPECT_EQ(::chown(scratch.directory().c_str(), somebody, somebody), 0);
  }
};

TEST_F(FilesOfAnotherUserInProcess, a_segment_that_root_makes_anew_belongs_to_the_engines_owner_and_group) {
  const EngineOfSomebody rig;
  EXPECT_TRUE(Engine::open(rig.scratch.directory(), without_keeper).has_value());
  struct stat facts {};
  ASSERT_EQ(::stat(rig.scratch.segment_file().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, somebody);
  EXPECT_EQ(facts.st_gid, somebody);
}

void let_everybody_in(const ScratchEngine& scratch) {
  for (const auto& folder : {scratch.directory().parent_path(), scratch.place().shm_dir()}) {
    ASSERT_EQ(::chmod(folder.c_str(), 0777), 0);
  }
}

/// Runs `body` as somebody.
Child as_somebody(const std::function<int()>& body) {
  return Child([&body] { return ::setgid(somebody) == 0 && ::setuid(somebody) == 0 ? body() : 99; });
}

TEST(FilesOfAnotherUser, what_root_wrote_does_not_keep_the_owner_out) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const EngineOfSomebody rig;
  let_everybody_in(rig.scratch);
  must(Engine::open(rig.scratch.directory(), without_keeper));
  std::filesystem::remove(rig.scratch.segment_file());
  Child owner = as_somebody([&rig] { return Engine::open(rig.scratch.directory(), without_keeper) ? 0 : 1; });
  EXPECT_EQ(owner.wait(), 0);
}

/// Theirs would be refused by everybody, the owner included.
TEST(FilesOfAnotherUser, a_user_who_is_not_the_owner_does_not_make_the_segment_anew) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  CreateOptions options = small_engine();
  options.mode = 0777;
  const ScratchEngine scratch(options);
  std::filesystem::remove(scratch.segment_file());
  let_everybody_in(scratch);
  Child other = as_somebody([&scratch] {
    const auto opened = Engine::open(scratch.directory(), without_keeper);
    if (opened || opened.error().code() != ErrorCode::permission_denied) return 1;
    return opened.error().message().find("owner") != std::string::npos ? 0 : 3;
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_TRUE(scratch.place().shm_names().empty());
  EXPECT_TRUE(Engine::open(scratch.directory(), without_keeper).has_value());
}

}  // namespace
}  // namespace ringmill::test
