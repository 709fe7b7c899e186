// The file of dead letters as another user may have made it: an error, or letters that can be, in walks that end.
#include "core/base/logger.h"
#include "core/dead_letters/store.h"
#include "ipc/name_table.h"
#include "tests/fuzz/harmed_database.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t letters = 150;  // more than a listing holds at once

DeadLetter letter_of(std::uint64_t number) {
  DeadLetter letter;
  letter.id = JobId(number << 24 | number);
  letter.kind = "mail";
  letter.level = "default";
  letter.last_error = "no route to host";
  letter.payload.resize(40);
  letter.enqueued_at = letter.died_at = std::chrono::system_clock::time_point(std::chrono::seconds(1'764'000'000));
  return letter;
}

/// A file with letters, without a log beside it.
const std::string& whole_file(const FuzzFolder& folder) {
  static const std::string bytes = [&] {
    {
      auto store = DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write);
      check(store.has_value(), "no file can be made");
      std::vector<DeadLetter> all;
      for (std::uint64_t number = 1; number <= letters; ++number) all.push_back(letter_of(number));
      check(store->bury(all).has_value(), "nothing can be buried");
    }
    sqlite3* database = nullptr;
    sqlite3_open((folder.path() / dead_letter_file).c_str(), &database);
    sqlite3_exec(database, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE", nullptr, nullptr, nullptr);
    sqlite3_close(database);
    return bytes_of_file(folder.path() / dead_letter_file);
  }();
  return bytes;
}

const std::vector<std::string_view> statements{
    "UPDATE letter SET id = ?1 WHERE number = 3",
    "UPDATE letter SET number = ?1 WHERE number = 4",
    "UPDATE letter SET kind = ?1 WHERE number < 70",
    "UPDATE letter SET level = ?1, backoff = ?2",
    "UPDATE letter SET cause = ?1, attempts = ?2, max_attempts = ?3 WHERE number = 100",
    "UPDATE letter SET died_at = ?1, enqueued_at = ?2",
    "UPDATE letter SET worker = ?1, lease_ms = ?2, keep_result_ms = ?3",
    "UPDATE letter SET bytes = ?1, last_error = ?2, payload = ?3, payload_cut_from = ?4",
    "UPDATE meta SET most_letters = ?1, most_bytes = ?2, most_age_s = ?3",
    "UPDATE meta SET letters = ?1, bytes = ?2, dropped = ?3, expired = ?4",
    "DELETE FROM meta",
    "UPDATE sqlite_schema SET sql = replace(sql, 'number INTEGER PRIMARY KEY', 'number TEXT') WHERE name = 'letter'",
    "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')",
    "UPDATE sqlite_schema SET sql = ?1 WHERE name = 'letter'",
    "UPDATE sqlite_schema SET rootpage = ?1 WHERE name = 'meta'",
    "CREATE VIEW more AS SELECT * FROM letter",
    "CREATE TRIGGER more AFTER DELETE ON letter BEGIN INSERT INTO letter SELECT * FROM letter; END",
    "CREATE INDEX more ON letter(kind)",
    "DROP TABLE meta",
    "PRAGMA user_version = 1",
    "PRAGMA application_id = 7",
};

void check_letter_of_others(const DeadLetter& letter) {
  check(letter.id && (letter.kind.empty() || is_valid_name(letter.kind)), "a letter without a name");
  check(letter.level.empty() || is_valid_name(letter.level), "a letter without a level");
  check(letter.last_error.size() <= most_error_bytes, "an error that is too long");
  check(letter.lease.count() >= 0 && letter.keep_result.count() >= 0, "a time below zero");
}

}  // namespace

void run(Input input) {
  logger().set_level(spdlog::level::off);
  static const FuzzFolder folder;
  const std::string& bytes = whole_file(folder);
  const std::filesystem::path path = folder.path() / dead_letter_file;
  for (const std::string_view name : dead_letter_files) std::filesystem::remove(folder.path() / name);
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  change_by_statements(path, input, statements);
  change_bytes(path, input);

  auto store =
      DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write, {}, std::chrono::milliseconds(0));
  if (!store) return;
  for (const auto order : {DeadLetterStore::Order::oldest_first, DeadLetterStore::Order::newest_first}) {
    std::uint64_t seen = 0;
    static_cast<void>(store->list({}, order, [&seen](const DeadLetter& letter) {
      check_letter_of_others(letter);
      check(++seen <= 20 * letters, "a walk that does not end");
      return true;
    }));
  }
  static_cast<void>(store->find(letter_of(3).id));
  static_cast<void>(store->totals());
  static_cast<void>(store->check());
  const DeadLetter more = letter_of(1000);
  static_cast<void>(store->bury(std::span(&more, 1)));
  const JobId id = letter_of(5).id;
  static_cast<void>(store->remove(std::span(&id, 1)));
  static_cast<void>(store->expire());
  static_cast<void>(store->purge({.kind = "mail"}));
}

}  // namespace ringmill::test
