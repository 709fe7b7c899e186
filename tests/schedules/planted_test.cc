// A file of schedules that something else has made, or changed: refused, or schedules without ticks.
#include <sqlite3.h>

#include <gtest/gtest.h>

#include "core/schedules/schedule_book.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

using std::chrono::seconds;

const std::chrono::system_clock::time_point begin{seconds(1'764'000'000)};

class PlantedSchedules : public testing::Test {
 protected:
  void make() {
    std::filesystem::remove(folder_.path() / schedules_file);
    ScheduleBook book(folder_.path());
    for (const char* const name : {"a", "b"}) {
      must(book.add({.name = name, .times = EveryTimes{seconds(10)}, .kind = "k", .level = "default"}, begin));
    }
  }
  void execute(const std::string& sql) const {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open((folder_.path() / schedules_file).c_str(), &connection), SQLITE_OK);
    sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    EXPECT_EQ(sqlite3_exec(connection, ("PRAGMA writable_schema = ON;" + sql).c_str(), nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(connection);
    sqlite3_close(connection);
  }
  ScratchFolder folder_;
};

TEST_F(PlantedSchedules, no_other_table_view_trigger_or_column_is_let_in) {
  for (const char* const sql :
       {"CREATE TABLE more(x)", "CREATE VIEW more AS SELECT 1", "ALTER TABLE schedule ADD COLUMN more",
        "CREATE TRIGGER more AFTER UPDATE ON schedule BEGIN DELETE FROM schedule; END", "DROP TABLE schedule",
        "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT,', '') WHERE name = 'schedule'"}) {
    make();
    execute(sql);
    EXPECT_EQ(code_of(ScheduleBook(folder_.path()).list()), ErrorCode::corrupt) << sql;
    EXPECT_EQ(code_of(ScheduleBook(folder_.path()).due(begin + seconds(60))), ErrorCode::corrupt) << sql;
  }
}

TEST_F(PlantedSchedules, a_file_from_before_troubles_were_noted_is_let_in) {
  make();
  execute("DROP TABLE trouble");
  ScheduleBook book(folder_.path());
  EXPECT_EQ(must(book.list()).size(), 2U);
  const TickTrouble trouble{.schedule = "a", .error = "no such level"};
  must(book.due(begin + seconds(60)));
  must(book.mark_ticked({}, std::span(&trouble, 1), begin));
  EXPECT_EQ(must(ScheduleBook(folder_.path()).find("a")).last_error, "no such level");
}

TEST_F(PlantedSchedules, a_value_that_cannot_be_leaves_its_schedule_without_ticks_and_the_others_go_on) {
  for (const char* const change :
       {"created_at = 9223372036854775807", "created_at = -1", "begins_after = -9223372036854775807",
        "begins_after = 51896109957427", "last_tick = 9223372036854775807", "kind = 'a' || char(10)", "level = ''",
        "zone = X'ff', cron = '* * * * *'", "cron = CAST(X'ff' AS TEXT), zone = 'UTC'", "missed = 'never'",
        "every_ms = 1", "every_ms = 'x'", "paused = 'x'", "kind = CAST(zeroblob(100000) AS TEXT)"}) {
    make();
    execute("UPDATE sqlite_schema SET sql = replace(sql, ' STRICT,', '') WHERE name = 'schedule'");
    execute("UPDATE schedule SET " + std::string(change) + " WHERE name = 'a'");
    execute("UPDATE sqlite_schema SET sql = replace(sql, ') WITHOUT', ') STRICT, WITHOUT') WHERE name = 'schedule'");
    ScheduleBook book(folder_.path());
    const auto schedules = must(book.list());
    ASSERT_EQ(schedules.size(), 2U) << change;
    const TickTime now = std::chrono::floor<std::chrono::milliseconds>(begin + seconds(60));
    EXPECT_TRUE(due_ticks(schedules[0], now).empty()) << change;
    EXPECT_EQ(coming_tick(schedules[0], now), std::nullopt) << change;
    EXPECT_FALSE(due_ticks(schedules[1], now).empty()) << change;
    EXPECT_EQ(must(book.due(begin + seconds(60))).size(), 1U) << change;
  }
}

TEST_F(PlantedSchedules, more_schedules_than_an_engine_may_have_are_an_error_and_not_read) {
  make();
  execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)"
      "INSERT INTO schedule SELECT 'n' || i, NULL, NULL, 10000, 'k', 'default', 'once', 0, 0, 0, NULL, X'' FROM n");
  EXPECT_EQ(code_of(ScheduleBook(folder_.path()).list()), ErrorCode::corrupt);
  EXPECT_EQ(code_of(ScheduleBook(folder_.path()).due(begin)), ErrorCode::corrupt);
}

}  // namespace
}  // namespace ringmill::test
