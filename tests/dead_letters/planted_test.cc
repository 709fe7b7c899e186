// Files of dead letters that something else has made, or changed: refused, or read in walks that end.
#include <sqlite3.h>

#include <gtest/gtest.h>

#include "tests/support/dead_letters.h"

namespace ringmill::test {
namespace {

using Order = DeadLetterStore::Order;

class PlantedDeadLetters : public testing::Test {
 protected:
  void make(std::uint64_t count) const {
    auto store = open_store(folder_.path());
    must(store.bury(letters_from_to(1, count)));
  }
  void execute(const std::string& sql) const {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open((folder_.path() / dead_letter_file).c_str(), &connection), SQLITE_OK);
    sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    EXPECT_EQ(sqlite3_exec(connection, ("PRAGMA writable_schema = ON;" + sql).c_str(), nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(connection);
    sqlite3_close(connection);
  }
  Result<DeadLetterStore> open() const {
    return DeadLetterStore::open(folder_.path(), DeadLetterStore::Access::read_write);
  }
  ScratchFolder folder_;
};

/// The file of the trial: numbers that are texts, each greater than any number, in a table without a key.
TEST_F(PlantedDeadLetters, a_file_whose_numbers_are_texts_is_refused) {
  make(1);
  execute(
      "CREATE TABLE planted AS SELECT * FROM letter;"
      "DROP TABLE letter; ALTER TABLE planted RENAME TO letter;"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 201)"
      "INSERT INTO letter SELECT 'zzz' || i, id + i, died_at, kind, level, cause, attempts, max_attempts, enqueued_at, "
      "worker, lease_ms, backoff, keep_result_ms, bury_when_worker_lost, bytes, last_error, payload, payload_cut_from, "
      "tag, traceparent, retried_from, serial_key_hash FROM letter, n;");
  const auto opened = open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), ErrorCode::corrupt);
  EXPECT_NE(opened.error().message().find("tables of the dead letters' file are not ours"), std::string::npos)
      << opened.error().message();
}

TEST_F(PlantedDeadLetters, no_other_table_view_trigger_index_or_column_is_let_in) {
  for (const char* const sql :
       {"CREATE TABLE more(x)", "CREATE VIEW more AS SELECT 1", "CREATE INDEX more ON letter(kind)",
        "CREATE TRIGGER more AFTER DELETE ON letter BEGIN SELECT 1; END", "ALTER TABLE letter ADD COLUMN more",
        "ALTER TABLE letter RENAME COLUMN payload TO other",
        "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'letter'", "DROP TABLE meta"}) {
    std::filesystem::remove_all(folder_.path() / dead_letter_file);
    for (const std::string_view name : dead_letter_files) std::filesystem::remove(folder_.path() / name);
    make(2);
    ASSERT_TRUE(open().has_value());
    execute(sql);
    EXPECT_EQ(code_of(open()), ErrorCode::corrupt) << sql;
  }
}

TEST_F(PlantedDeadLetters, a_walk_ends_though_the_rows_change_their_kind_while_the_file_is_open) {
  make(200);
  const auto store = must(open());
  execute(
      "CREATE TABLE planted AS SELECT * FROM letter; DROP TABLE letter; ALTER TABLE planted RENAME TO letter;"
      "UPDATE letter SET number = 'zzz' || number;");
  for (const Order order : {Order::oldest_first, Order::newest_first}) {
    std::uint64_t seen = 0;
    const auto listed = store.list({}, order, [&seen](const DeadLetter&) { return ++seen < 100'000; });
    EXPECT_LT(seen, 1000U);
    EXPECT_TRUE(!listed || *listed <= 200);
  }
}

TEST_F(PlantedDeadLetters, a_value_of_another_type_or_out_of_its_bounds_makes_its_letter_unreadable) {
  make(2);
  for (const char* const change : {"kind = X'00'",
                                   "level = X'37'",
                                   "cause = 99",
                                   "cause = 'failed'",
                                   "attempts = -1",
                                   "lease_ms = -1",
                                   "lease_ms = 9223372036854775807",
                                   "keep_result_ms = 9223372036854775807",
                                   "worker = -2",
                                   "backoff = 'a b'",
                                   "last_error = zeroblob(5000)",
                                   "last_error = 'text'",
                                   "payload = 'text'",
                                   "payload_cut_from = 3",
                                   "kind = 'a' || char(10)",
                                   "tag = 'a' || char(10)",
                                   "tag = hex(zeroblob(16))",
                                   "tag = X'00'",
                                   "traceparent = 'no trace'",
                                   "retried_from = 'x'",
                                   "serial_key_hash = zeroblob(3)"}) {
    execute("UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'letter'");
    execute("UPDATE letter SET " + std::string(change) + " WHERE number = 1");
    execute("UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'letter'");
    const auto store = must(open());
    EXPECT_EQ(code_of(store.find(letter_of(1).id)), ErrorCode::corrupt) << change;
    EXPECT_TRUE(store.find(letter_of(2).id).has_value()) << change;
    EXPECT_FALSE(must(store.check()).empty()) << change;
    for (const std::string_view name : dead_letter_files) std::filesystem::remove(folder_.path() / name);
    make(2);
  }
}

TEST_F(PlantedDeadLetters, totals_that_cannot_be_are_an_error_and_no_sum_overflows) {
  make(2);
  for (const char* const change : {"letters = 9223372036854775807", "bytes = 9223372036854775807", "dropped = -1",
                                   "expired = 9223372036854775807"}) {
    execute("UPDATE meta SET " + std::string(change));
    auto store = must(open());
    EXPECT_EQ(code_of(store.bury(letters_from_to(7, 7))), ErrorCode::corrupt) << change;
    execute("UPDATE meta SET letters = 2, bytes = 400, dropped = 0, expired = 0");
  }
}

}  // namespace
}  // namespace ringmill::test
