// A rollback journal that another user has put beside schedules.db, as if a writer had died. SQLite plays such a file
// back, and removes the file that it names as its super-journal: any file that this process may remove.
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/schedules/schedule_book.h"
#include "ipc/file.h"
#include "tests/support/child.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

class HotJournal : public testing::Test {
 protected:
  HotJournal() {
    must(write_file_durably(victim_, "precious", 0600));
    Schedule beat{.name = "beat", .times = EveryTimes{std::chrono::hours(1)}};
    beat.kind = "beat";
    beat.level = "default";
    must(ScheduleBook(folder_.path()).add(beat, std::chrono::system_clock::now()));
  }
  Result<std::vector<Schedule>> list() const { return ScheduleBook(folder_.path()).list(); }
  /// A writer dies in its transaction after it has changed the file.
  void leave_journal() const {
    Child writer([this] {
      sqlite3* connection = nullptr;
      sqlite3_open(file_.c_str(), &connection);
      sqlite3_exec(connection, "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; CREATE TABLE big(x);", nullptr,
                   nullptr, nullptr);
      for (int n = 0; n < 64; ++n) {
        sqlite3_exec(connection, "INSERT INTO big VALUES (randomblob(4000))", nullptr, nullptr, nullptr);
      }
      return 0;
    });
    ASSERT_EQ(writer.wait(), 0);
    ASSERT_GT(fs::file_size(journal_), 512U);
  }
  /// As SQLite writes it at a journal's end: page number, name, length, sum of its characters, magic.
  void name_super_journal(const std::string& name) const {
    constexpr std::uint32_t page_bytes = 4096;
    constexpr std::uint32_t pending_byte = 0x40000000;
    std::uint32_t sum = 0;
    for (const char c : name) sum += static_cast<unsigned char>(c);
    std::ofstream(journal_, std::ios::app | std::ios::binary)
        << big_endian(pending_byte / page_bytes + 1) << name << big_endian(static_cast<std::uint32_t>(name.size()))
        << big_endian(sum) << std::string("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8);
  }

  ScratchFolder folder_;
  ScratchFolder outside_;
  fs::path file_ = folder_.path() / schedules_file;
  fs::path journal_ = folder_.path() / "schedules.db-journal";
  fs::path victim_ = outside_.path() / "victim";
};

TEST_F(HotJournal, of_a_writer_that_died_is_played_back) {
  leave_journal();
  EXPECT_EQ(must(list()).size(), 1U);
  EXPECT_FALSE(fs::exists(journal_));
}

TEST_F(HotJournal, removes_no_file_that_it_names) {
  leave_journal();
  name_super_journal(victim_.string());
  static_cast<void>(list());
  EXPECT_TRUE(fs::exists(victim_));
  EXPECT_EQ(must(read_file(victim_)), "precious");
}

TEST_F(HotJournal, is_not_played_back_by_root_for_another_user) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  constexpr uid_t somebody = 12345;
  leave_journal();
  for (const auto& place : {folder_.path(), file_, journal_}) ASSERT_EQ(::chown(place.c_str(), somebody, somebody), 0);
  const std::string before = must(read_file(file_));
  EXPECT_FALSE(list().has_value());
  EXPECT_TRUE(fs::exists(journal_));
  EXPECT_TRUE(must(read_file(file_)) == before) << "root has written to another user's file";
}

}  // namespace
}  // namespace ringmill::test
