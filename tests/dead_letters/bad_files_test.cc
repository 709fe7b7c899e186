// Files that are damaged, foreign, or not to be written: a clear error, and nothing made worse.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/child.h"
#include "tests/support/dead_letters.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;
using Access = DeadLetterStore::Access;

constexpr uid_t somebody = 12345;

class BadDeadLetterFiles : public testing::Test {
 protected:
  fs::path file() const { return folder_.path() / dead_letter_file; }
  void fill(std::uint64_t count = 500) const {
    auto store = open_store(folder_.path());
    must(store.bury(letters_from_to(1, count)));
  }
  void overwrite(std::streamoff from, std::size_t bytes) const {
    std::fstream stream(file(), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(from);
    const std::string noise(bytes, '\xa5');
    stream.write(noise.data(), static_cast<std::streamsize>(noise.size()));
  }
  Result<DeadLetterStore> open(Access access = Access::read_write) const {
    return DeadLetterStore::open(folder_.path(), access);
  }
  ScratchFolder folder_;
};

TEST_F(BadDeadLetterFiles, what_is_no_database_is_named_corrupt_and_left_alone) {
  std::ofstream(file()) << "dear diary, " << std::string(5000, 'x');
  const auto before = fs::file_size(file());
  for (const Access access : {Access::read_only, Access::read_write}) {
    const auto opened = open(access);
    EXPECT_EQ(code_of(opened), ErrorCode::corrupt) << opened.error().message();
    EXPECT_NE(opened.error().message().find(file().string()), std::string::npos) << opened.error().message();
  }
  EXPECT_EQ(fs::file_size(file()), before);
}

TEST_F(BadDeadLetterFiles, a_damaged_table_is_an_error_that_says_what_to_do_and_check_finds_it) {
  fill();
  overwrite(4096, fs::file_size(file()) - 4096);  // all but the first page
  auto store = open();
  ASSERT_FALSE(store.has_value() && store->bury(letters_from_to(501, 501)).has_value());
  const Error error = store ? store->bury(letters_from_to(501, 501)).error() : store.error();
  EXPECT_EQ(error.code(), ErrorCode::corrupt) << error.message();
  EXPECT_NE(error.message().find(".recover"), std::string::npos) << error.message();
}

TEST_F(BadDeadLetterFiles, a_damaged_page_is_found_by_check_and_never_served) {
  fill();
  overwrite(static_cast<std::streamoff>(fs::file_size(file()) / 2), 4096);
  const auto store = must(open());
  const auto findings = store.check();
  EXPECT_TRUE(!findings || !findings->empty());
  const auto listed = store.list({}, DeadLetterStore::Order::oldest_first, [](const DeadLetter& letter) {
    EXPECT_EQ(letter.kind, "mail");
    EXPECT_EQ(letter.last_error, "no route to host");
    return true;
  });
  if (!listed) {
    EXPECT_EQ(listed.error().code(), ErrorCode::corrupt) << listed.error().message();
  }
}

TEST_F(BadDeadLetterFiles, a_file_that_was_cut_is_an_error) {
  fill();
  fs::resize_file(file(), fs::file_size(file()) / 2);
  const auto opened = open();
  const auto findings = opened ? opened->check() : Result<std::vector<std::string>>(std::unexpected(opened.error()));
  EXPECT_TRUE(!findings ? findings.error().code() == ErrorCode::corrupt : !findings->empty());
}

TEST_F(BadDeadLetterFiles, a_symbolic_link_is_refused) {
  const ScratchFolder elsewhere;
  { const auto store = open_store(elsewhere.path()); }
  fs::create_symlink(elsewhere.path() / dead_letter_file, file());
  for (const Access access : {Access::read_only, Access::read_write}) {
    EXPECT_EQ(code_of(open(access)), ErrorCode::permission_denied);
  }
}

TEST_F(BadDeadLetterFiles, a_file_of_another_user_is_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  fill(1);
  ASSERT_EQ(::chown(file().c_str(), somebody, somebody), 0);
  const auto opened = open();
  EXPECT_EQ(code_of(opened), ErrorCode::permission_denied);
  EXPECT_NE(opened.error().message().find("another user"), std::string::npos) << opened.error().message();
}

TEST_F(BadDeadLetterFiles, what_root_makes_belongs_to_the_directorys_owner) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(::chown(folder_.path().c_str(), somebody, somebody), 0);
  fill(1);
  Child owner([this] {
    if (::setgid(somebody) != 0 || ::setuid(somebody) != 0) return 99;
    return must(open_store(folder_.path()).bury(letters_from_to(2, 2))) == 1 ? 0 : 1;
  });
  EXPECT_EQ(owner.wait(), 0);
}

TEST_F(BadDeadLetterFiles, to_read_a_directory_where_nothing_was_buried_makes_nothing) {
  EXPECT_EQ(code_of(open(Access::read_only)), ErrorCode::not_found);
  EXPECT_TRUE(folder_.names().empty());
  std::ofstream(file()).close();  // as a maker that was killed at once leaves it
  EXPECT_EQ(code_of(open(Access::read_only)), ErrorCode::not_found);
  fill(1);
  EXPECT_EQ(numbers_in(open_store_to_read(folder_.path())).size(), 1U);
}

TEST_F(BadDeadLetterFiles, a_missing_directory_is_not_found) {
  EXPECT_EQ(code_of(DeadLetterStore::open(folder_.path() / "nowhere", Access::read_write)), ErrorCode::not_found);
}

/// The right to read a database is the right to lock it, and such a lock, held for ever, holds burials up.
TEST_F(BadDeadLetterFiles, a_user_with_read_access_only_is_refused_the_letters) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  fill(3);
  Child reader([this] {
    if (::setgid(somebody) != 0 || ::setuid(somebody) != 0) return 99;
    if (code_of(open(Access::read_only)) != ErrorCode::permission_denied) return 1;
    return code_of(open()) == ErrorCode::permission_denied ? 0 : 2;
  });
  EXPECT_EQ(reader.wait(), 0);
}

TEST_F(BadDeadLetterFiles, on_a_read_only_file_system_reading_works_and_writing_is_refused) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  must(open_store(tmpfs.path()).bury(letters_from_to(1, 3)));
  ASSERT_EQ(::mount("none", tmpfs.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
  EXPECT_EQ(numbers_in(open_store_to_read(tmpfs.path())).size(), 3U);
  auto store = DeadLetterStore::open(tmpfs.path(), Access::read_write);
  const Error error = store ? store->bury(letters_from_to(4, 4)).error() : store.error();
  EXPECT_EQ(error.code(), ErrorCode::permission_denied) << error.message();
}

TEST_F(BadDeadLetterFiles, a_full_disk_refuses_a_burial_and_takes_it_when_there_is_room) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  auto store = open_store(tmpfs.path());
  std::uint64_t next = 1;
  const std::string payload(20'000, 'x');
  Result<std::size_t> buried = 0;
  while (next < 200 && (buried = store.bury(std::vector{letter_of(next, payload)}))) ++next;
  ASSERT_FALSE(buried.has_value());
  EXPECT_EQ(buried.error().code(), ErrorCode::no_space) << buried.error().message();
  EXPECT_EQ(numbers_in(store).size(), next - 1);
  ASSERT_EQ(::mount("none", tmpfs.path().c_str(), "tmpfs", MS_REMOUNT, "size=8m"), 0);
  EXPECT_EQ(must(store.bury(std::vector{letter_of(next, payload)})), 1U);
  EXPECT_EQ(must(store.check()), std::vector<std::string>{});
}

}  // namespace
}  // namespace ringmill::test
