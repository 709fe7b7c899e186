#include "core/dead_letters/schema.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "core/base/tag.h"
#include "core/base/trace_parent.h"
#include "ipc/name_table.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t application_id = 0x524d444c;  // "RMDL"; `file` and others can tell by it what the file is
constexpr std::int64_t schema_version = 1;

// Letters are numbered in the order in which they were buried, so that new ones go to the end of the table and the
// oldest stand at its beginning. Job ids are unsigned; the file has their 64 bits as a signed number. Times are
// nanoseconds since 1970. Long columns are last in a row, so that a search by kind reads no payloads.
constexpr const char* make_letter = R"sql(CREATE TABLE letter(
  number INTEGER PRIMARY KEY,
  id INTEGER NOT NULL UNIQUE,
  died_at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  level TEXT NOT NULL,
  cause INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  enqueued_at INTEGER NOT NULL,
  worker INTEGER NOT NULL,
  lease_ms INTEGER NOT NULL,
  backoff TEXT NOT NULL,
  keep_result_ms INTEGER NOT NULL,
  bury_when_worker_lost INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  last_error BLOB NOT NULL,
  payload BLOB NOT NULL,
  payload_cut_from INTEGER NOT NULL DEFAULT 0,
  tag TEXT NOT NULL DEFAULT '',
  traceparent TEXT NOT NULL DEFAULT '',
  retried_from INTEGER NOT NULL DEFAULT 0,
  serial_key_hash BLOB NOT NULL DEFAULT x''
) STRICT)sql";
constexpr const char* make_meta = R"sql(CREATE TABLE meta(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  most_letters INTEGER NOT NULL,
  most_bytes INTEGER NOT NULL,
  most_age_s INTEGER NOT NULL,
  blocks_when_full INTEGER NOT NULL,
  letters INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  expired INTEGER NOT NULL
) STRICT)sql";

/// What a file has that is older than letters that are cut, or that carry something beside their payload.
enum class Columns { before_cuts, before_notes, all };

// As they stand at the end of make_letter, and as SQLite adds them there.
constexpr std::string_view cut_column = ",\n  payload_cut_from INTEGER NOT NULL DEFAULT 0";
constexpr std::string_view notes_columns =
    ",\n  tag TEXT NOT NULL DEFAULT '',\n  traceparent TEXT NOT NULL DEFAULT '',\n"
    "  retried_from INTEGER NOT NULL DEFAULT 0,\n  serial_key_hash BLOB NOT NULL DEFAULT x''";
constexpr const char* add_cuts = "ALTER TABLE letter ADD COLUMN payload_cut_from INTEGER NOT NULL DEFAULT 0";
constexpr const char* add_notes =
    "ALTER TABLE letter ADD COLUMN tag TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE letter ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE letter ADD COLUMN retried_from INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE letter ADD COLUMN serial_key_hash BLOB NOT NULL DEFAULT x''";

constexpr std::string_view retried_table =
    "CREATE TABLE retried(id INTEGER PRIMARY KEY, job INTEGER NOT NULL, at INTEGER NOT NULL) STRICT";

constexpr SqlWords words{
    .busy = "another process has been writing dead letters for too long",
    .no_space = "the disk has no room for dead letters",
    .to_make_room = "make room, or purge some",
    .corrupt = "the dead letters' file is damaged",
    .to_mend = "end the engine's processes and move the file (with -wal and -shm) away, then a new one is made",
    .permission_denied = "the dead letters' file may not be written, or not by this user",
    .unusable = "cannot use the dead letters' file",
    .cannot_open = ErrorCode::permission_denied};

Result<void> check_limits(const DeadLetterLimits& limits) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const auto invalid = [](const char* summary) { return std::unexpected(Error(ErrorCode::invalid_argument, summary)); };
  if (limits.letters == 0 || limits.letters > most) return invalid("the limit of dead letters must be at least one");
  if (limits.bytes < 1U << 20 || limits.bytes > most) return invalid("dead letters need a limit of at least 1 MiB");
  if (limits.age.count() < 0 || limits.age > std::chrono::years{200}) {
    return invalid("the age limit of dead letters must be between none and 200 years");
  }
  return {};
}

/// SQLite does not wait here for another process that changes the journal mode at the same moment.
Result<void> use_wal(SqlConnection& connection, std::chrono::milliseconds busy_wait) {
  const auto end = std::chrono::steady_clock::now() + busy_wait;
  while (true) {
    auto set = connection.execute("PRAGMA journal_mode = WAL");
    if (set || set.error().code() != ErrorCode::busy || std::chrono::steady_clock::now() >= end) return set;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Result<void> insert_limits(SqlConnection& connection, const DeadLetterLimits& limits) {
  auto insert = connection.prepare("INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4, 0, 0, 0, 0)");
  if (!insert) return std::unexpected(insert.error());
  return insert
      ->with(static_cast<std::int64_t>(limits.letters), static_cast<std::int64_t>(limits.bytes),
             std::int64_t{limits.age.count()},
             std::int64_t{limits.when_full == DeadLetterLimits::WhenFull::block ? 1 : 0})
      .run();
}

/// Two processes may be here at once, and a third may have been killed here: the first that gets the right to write
/// makes the tables, all or none of them.
Result<void> make(SqlConnection& connection, const DeadLetterLimits& limits, std::chrono::milliseconds busy_wait) {
  // Must be set before there is any table; later it has no effect.
  if (auto set = connection.execute("PRAGMA auto_vacuum = INCREMENTAL"); !set) return set;
  if (auto set = use_wal(connection, busy_wait); !set) return set;
  auto transaction = SqlTransaction::begin(connection);
  if (!transaction) return std::unexpected(transaction.error());
  const auto version = connection.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version != 0) return {};
  if (auto made = connection.execute(make_letter); !made) return made;
  if (auto made = connection.execute(make_meta); !made) return made;
  if (auto filled = insert_limits(connection, limits); !filled) return filled;
  const auto signs =
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id, schema_version);
  if (auto signed_ = connection.execute(signs.c_str()); !signed_) return signed_;
  return transaction->commit();
}

Result<Columns> columns_there(SqlConnection& connection) {
  const auto count = connection.number(
      "SELECT count(*) FROM pragma_table_info('letter') WHERE name IN ('payload_cut_from', 'serial_key_hash')");
  if (!count) return std::unexpected(count.error());
  return *count == 0 ? Columns::before_cuts : *count == 1 ? Columns::before_notes : Columns::all;
}

/// Adds what an older file lacks. Another process may do the same at this moment.
Result<void> add_columns(SqlConnection& connection) {
  const auto before = columns_there(connection);
  if (!before) return std::unexpected(before.error());
  if (*before == Columns::all) return {};
  auto transaction = SqlTransaction::begin(connection);
  if (!transaction) return std::unexpected(transaction.error());
  const auto there = columns_there(connection);
  if (!there) return std::unexpected(there.error());
  if (*there == Columns::all) return {};
  if (*there == Columns::before_cuts) {
    if (auto added = connection.execute(add_cuts); !added) return added;
  }
  if (auto added = connection.execute(add_notes); !added) return added;
  return transaction->commit();
}

Result<bool> has_our_tables(SqlConnection& connection) {
  std::string before_notes = make_letter;
  before_notes.erase(before_notes.find(notes_columns), notes_columns.size());
  std::string before_cuts = before_notes;
  before_cuts.erase(before_cuts.find(cut_column), cut_column.size());
  const std::array<SqlTable, 3> ours{{{.name = "letter", .texts = {make_letter, before_notes, before_cuts}},
                                      {.name = "meta", .texts = {make_meta}},
                                      {.name = "retried", .texts = {retried_table}, .is_optional = true}}};
  return holds_exactly(connection, ours);
}

/// False: there are no tables yet.
Result<bool> is_ours(SqlConnection& connection, const fs::path& file) {
  // One statement sees one moment: another process may be creating the tables.
  auto signs = connection.prepare(
      "SELECT (SELECT count(*) FROM sqlite_schema), (SELECT application_id FROM pragma_application_id), "
      "(SELECT user_version FROM pragma_user_version)");
  if (!signs) return std::unexpected(signs.error());
  const auto row = signs->step();
  if (!row) return std::unexpected(row.error());
  const std::int64_t tables = signs->integer(0);
  const std::int64_t id = signs->integer(1);
  const std::int64_t version = signs->integer(2);
  if (id == application_id && version == schema_version) {
    const auto exact = has_our_tables(connection);
    if (!exact) return std::unexpected(exact.error());
    if (*exact) return true;
    return std::unexpected(
        Error(ErrorCode::corrupt, "the tables of the dead letters' file are not ours",
              file.string() + "; ringmill did not write it: move it away, then a new one is created"));
  }
  if (id == 0 && version == 0 && tables == 0) return false;
  return std::unexpected(Error(
      ErrorCode::incompatible,
      id == application_id ? "the dead letters were written by another version" : "this file holds no dead letters",
      file.string() + "; move it away, then a new one is made"));
}

constexpr const char* settings =
    // In WAL mode a commit is then one sync of the log; without it, it may be lost with the power.
    "PRAGMA synchronous = FULL;"
    // The space that a burst of burials took in the log is given back.
    "PRAGMA journal_size_limit = 16777216;"
    "PRAGMA secure_delete = FAST;"
    "PRAGMA cell_size_check = ON;"
    "PRAGMA temp_store = MEMORY;";

}  // namespace

Result<SqlConnection> open_dead_letters(const Directory& directory, DeadLetterStore::Access access,
                                        const DeadLetterLimits& limits, std::chrono::milliseconds busy_wait) {
  if (auto checked = check_limits(limits); !checked) return std::unexpected(checked.error());
  const fs::path file = directory.path_of(dead_letter_file);
  const bool writes = access == DeadLetterStore::Access::read_write;
  const auto nothing_buried = [&file] {
    return std::unexpected(Error(ErrorCode::not_found, "no job was ever buried here", file.string()));
  };
  // -wal and -shm as well: a pipe in place of one of them would hold SQLite up.
  for (const std::string_view name : dead_letter_files) {
    const auto present = facts_of_database(directory, name);
    if (!present) return std::unexpected(present.error());
    if (!*present && !writes && name == dead_letter_file) return nothing_buried();
  }
  if (writes) {
    if (auto made = make_database_files(directory, dead_letter_files); !made) return std::unexpected(made.error());
  }
  const auto how = writes ? SqlConnection::Access::read_write : SqlConnection::Access::read_only;
  auto connection = SqlConnection::open(directory, dead_letter_file, how, busy_wait, words);
  if (!connection) return connection;
  if (auto set = connection->execute(settings); !set) return std::unexpected(set.error());
  const auto ours = is_ours(*connection, file);
  if (!ours) return std::unexpected(ours.error());
  if (*ours) {
    if (!writes) return connection;
    if (auto added = add_columns(*connection); !added) return std::unexpected(added.error());
    return connection;
  }
  if (!writes) return nothing_buried();
  if (auto made = make(*connection, limits, busy_wait); !made) return std::unexpected(made.error());
  return connection;
}

Result<LetterColumns> letter_columns_of(SqlConnection& connection) {
  const auto there = columns_there(connection);
  if (!there) return std::unexpected(there.error());
  switch (*there) {
    case Columns::before_cuts:
      return LetterColumns{.list = letter_columns_before_cuts, .tag = "''"};
    case Columns::before_notes:
      return LetterColumns{.list = letter_columns_before_notes, .tag = "''"};
    case Columns::all:
      break;
  }
  return LetterColumns{};
}

std::int64_t time_column(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::chrono::system_clock::time_point time_of_column(std::int64_t ns) noexcept {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(ns)));
}

namespace {

/// Checks the types of values. The table is STRICT, but only for writes through SQLite.
bool has_right_types(const SqlStatement& row) {
  constexpr std::string_view types = "iittiiiiiitiiibbittib";  // integer, text, blob: letter_columns
  static_assert(types.size() == letter_column_count);
  for (int column = 0; column < letter_column_count; ++column) {
    const char type = types[static_cast<std::size_t>(column)];
    const bool is_right = type == 'i'   ? row.is_integer(column)
                          : type == 't' ? row.is_text(column)
                                        : row.is_blob(column);
    if (!is_right) return false;
  }
  return true;
}

}  // namespace

Result<DeadLetter> read_letter(const SqlStatement& row) {
  DeadLetter letter;
  letter.id = JobId(static_cast<std::uint64_t>(row.integer(0)));
  letter.died_at = time_of_column(row.integer(1));
  letter.kind = row.bytes(2);
  letter.level = row.bytes(3);
  const std::int64_t cause = row.integer(4);
  const std::int64_t attempts = row.integer(5);
  const std::int64_t max_attempts = row.integer(6);
  letter.enqueued_at = time_of_column(row.integer(7));
  const std::int64_t worker = row.integer(8);
  letter.lease = std::chrono::milliseconds(row.integer(9));
  letter.backoff = row.bytes(10);
  letter.keep_result = std::chrono::milliseconds(row.integer(11));
  letter.bury_when_worker_lost = row.integer(12) != 0;
  letter.last_error = row.bytes(14);
  const auto payload = std::as_bytes(std::span(row.bytes(15)));
  letter.payload.assign(payload.begin(), payload.end());
  const std::int64_t cut_from = row.integer(16);
  letter.tag = row.bytes(17);
  letter.trace_parent = row.bytes(18);
  letter.retried_from = JobId(static_cast<std::uint64_t>(row.integer(19)));
  letter.serial_key_hash = row.bytes(20);

  constexpr std::int64_t most_count = std::numeric_limits<std::uint32_t>::max();
  const bool counts_fit = std::clamp<std::int64_t>(attempts, 0, most_count) == attempts &&
                          std::clamp<std::int64_t>(max_attempts, 0, most_count) == max_attempts && worker >= -1 &&
                          worker <= std::numeric_limits<int>::max();
  const bool is_cause = cause >= 0 && cause <= static_cast<std::int64_t>(DeathCause::parent_dead);
  const auto fits = [](std::chrono::milliseconds time) { return time.count() >= 0 && time <= most_letter_time; };
  const bool times_fit = fits(letter.lease) && fits(letter.keep_result);
  const bool is_cut_short = cut_from == 0 || std::cmp_greater(cut_from, letter.payload.size());
  const bool are_notes = (letter.tag.empty() || fault_of_tag(letter.tag) == nullptr) &&
                         (letter.trace_parent.empty() || TraceParent::parse(letter.trace_parent)) &&
                         (letter.serial_key_hash.empty() || letter.serial_key_hash.size() == serial_key_hash_bytes);
  const bool is_sound = has_right_types(row) && letter.last_error.size() <= most_error_bytes && are_notes;
  if (!is_sound || !counts_fit || !is_cause || !times_fit || !is_cut_short || !check_letter(letter)) {
    return std::unexpected(Error(ErrorCode::corrupt, "a dead letter cannot be read",
                                 letter.id.to_string() + "; `ringmill dead DIR purge ID` removes it"));
  }
  letter.payload_cut_from = static_cast<std::uint64_t>(cut_from);
  letter.cause = static_cast<DeathCause>(cause);
  letter.attempts = static_cast<std::uint32_t>(attempts);
  letter.max_attempts = static_cast<std::uint32_t>(max_attempts);
  letter.worker = static_cast<int>(worker);
  return letter;
}

Result<void> check_letter(const DeadLetter& letter) {
  // Empty: the number of a kind or level whose name was lost.
  const auto is_name = [](std::string_view name) { return name.empty() || is_valid_name(name); };
  std::string policy = letter.backoff;
  std::ranges::replace(policy, ',', '/');  // as it is interned
  if (letter.id && is_name(letter.kind) && is_name(letter.level) && is_name(policy)) return {};
  return std::unexpected(Error(ErrorCode::invalid_argument, "no job can have left this letter",
                               letter.id.to_string() + ": its id is zero, or a name in it is none"));
}

}  // namespace ringmill
