#include "core/base/sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>
#include <utility>

#include "ipc/file.h"
#include "ipc/file_modes.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

/// Returns the error of the last call on this connection to `file`, with our code and a remedy.
Error error_of(sqlite3* connection, int result, const SqlWords& words, const std::string& file) {
  const int last = errno;
  const std::string reason = file + ": " + sqlite3_errmsg(connection);
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(ErrorCode::busy, words.busy,
                   file + "; try again; a process that was stopped while it wrote must go on, or be ended");
    case SQLITE_FULL:
      return Error(ErrorCode::no_space, words.no_space, file + "; " + words.to_make_room);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // our statements are right, so the tables are not
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA:
      return Error(ErrorCode::corrupt, words.corrupt,
                   reason + "; `sqlite3 FILE .recover` shows what can still be read; " + words.to_mend);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Error(ErrorCode::permission_denied, words.permission_denied, reason);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      if (const int number = sqlite3_system_errno(connection); number != 0) {
        return system_error(words.unusable, file, number);
      }
      // SQLite keeps no errno of a failed commit. Only a write gives these codes.
      if (last == EFBIG || last == EDQUOT) return system_error(words.unusable, file, last);
      [[fallthrough]];
    default:
      return Error((result & 0xff) == SQLITE_CANTOPEN ? words.cannot_open : ErrorCode::system, words.unusable, reason);
  }
}

/// The name of the parameter of the URI in which the path for messages stands: SQLite's own leads through a descriptor.
constexpr const char* shown_path = "shown";

Error error_of(sqlite3* connection, int result, const SqlWords& words) {
  const char* name = sqlite3_db_filename(connection, "main");
  const char* shown = name != nullptr ? sqlite3_uri_parameter(name, shown_path) : nullptr;
  return error_of(connection, result, words, shown != nullptr ? shown : "");
}

/// A file name in which nothing is taken for a part of the URI's syntax.
std::string uri_escaped(const std::string& text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
  constexpr std::string_view digits = "0123456789abcdef";
  std::string escaped;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      escaped += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    escaped.append("%").append(1, digits[byte >> 4]).append(1, digits[byte & 0xf]);
  }
  return escaped;
}

constexpr const char* unix_files = "unix";

extern "C" int take_path_as_it_is(sqlite3_vfs*, const char* path, int room, char* to) {
  const std::string_view text = path;
  if (text.size() >= static_cast<std::size_t>(room)) return SQLITE_CANTOPEN;
  *std::ranges::copy(text, to).out = '\0';
  return SQLITE_OK;
}

/// SQLite looks for a journal at each transaction, and would wait for the writer of a pipe that stands there.
///
/// A rollback journal names its super-journal, and SQLite removes that after playing the journal back. We attach no
/// database, so none of ours has one: such a name was written by another program, to have a file removed.
extern "C" int open_plain_file(sqlite3_vfs* ours, const char* path, sqlite3_file* file, int flags, int* used_flags) {
  struct stat facts {};
  const bool is_refused = (flags & SQLITE_OPEN_SUPER_JOURNAL) != 0 ||
                          (path != nullptr && ::lstat(path, &facts) == 0 && !S_ISREG(facts.st_mode));
  if (is_refused) {
    file->pMethods = nullptr;  // nothing to close
    return SQLITE_CANTOPEN;
  }
  return sqlite3_vfs_find(unix_files)->xOpen(ours, path, file, flags, used_flags);
}

/// SQLite's own way to files, but for these two; not the default, so that a host's own databases do not get it.
class LastingPaths {
 public:
  static constexpr const char* name = "ringmill";

  LastingPaths() noexcept {
    const sqlite3_vfs* const its_own = sqlite3_vfs_find(unix_files);
    if (its_own == nullptr) return;
    files_ = *its_own;
    files_.pNext = nullptr;
    files_.zName = name;
    files_.xFullPathname = take_path_as_it_is;
    files_.xOpen = open_plain_file;
    is_registered_ = sqlite3_vfs_register(&files_, 0) == SQLITE_OK;
  }
  LastingPaths(const LastingPaths&) = delete;
  LastingPaths& operator=(const LastingPaths&) = delete;
  ~LastingPaths() {
    if (is_registered_) sqlite3_vfs_unregister(&files_);
  }

 private:
  sqlite3_vfs files_{};
  bool is_registered_ = false;
};

}  // namespace

Result<std::optional<struct stat>> facts_of_database(const Directory& directory, std::string_view name) {
  const auto facts = directory.look(name);
  if (!facts || !*facts) return facts;
  // Any user with write access to the directory may have created the file.
  const bool is_file = S_ISREG((*facts)->st_mode);
  if (is_file && directory.lets_in((*facts)->st_uid)) return facts;
  return std::unexpected(
      Error(ErrorCode::permission_denied,
            is_file ? "this file belongs to another user than the engine" : "this is not a plain file",
            directory.path_of(name).string() + "; ringmill did not make it: remove it, or move it away"));
}

Result<void> make_database_files(const Directory& directory, std::span<const std::string_view> names) {
  const auto folder = directory.facts();
  if (!folder) return std::unexpected(folder.error());
  const uid_t user = ::geteuid() == 0 ? folder->st_uid : static_cast<uid_t>(-1);
  const std::uint32_t mode = mode_with_locks(folder->st_mode & 0666);
  for (const std::string_view name : names) {
    const auto present = facts_of_database(directory, name);
    if (!present) return std::unexpected(present.error());
    if (*present) {
      directory.narrow_mode(name, mode);
      continue;
    }
    const auto made = directory.make_empty_file(name, mode, Directory::Owner{user, folder->st_gid});
    if (!made) return std::unexpected(made.error());
  }
  return {};
}

void SqlStatement::Finalize::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

void SqlStatement::reset() noexcept {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bind_failure_ = SQLITE_OK;
}

void SqlStatement::bind(int position, std::int64_t value) noexcept {
  const int result = sqlite3_bind_int64(statement_.get(), position, value);
  if (result != SQLITE_OK) bind_failure_ = result;
}

void SqlStatement::bind(int position, std::string_view text) noexcept {
  // No pointer would mean NULL, which is not the same as nothing.
  const char* data = text.empty() ? "" : text.data();
  const int result = sqlite3_bind_text64(statement_.get(), position, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (result != SQLITE_OK) bind_failure_ = result;
}

void SqlStatement::bind(int position, std::span<const std::byte> blob) noexcept {
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  const int result = sqlite3_bind_blob64(statement_.get(), position, data, blob.size(), SQLITE_STATIC);
  if (result != SQLITE_OK) bind_failure_ = result;
}

void SqlStatement::bind_null(int position) noexcept {
  const int result = sqlite3_bind_null(statement_.get(), position);
  if (result != SQLITE_OK) bind_failure_ = result;
}

Result<bool> SqlStatement::step() {
  const NoFileSizeSignal no_signal;
  errno = 0;
  const int result = bind_failure_ != SQLITE_OK ? bind_failure_ : sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) {
    reset();
    return false;
  }
  Error error = error_of(sqlite3_db_handle(statement_.get()), result, *words_);
  reset();
  return std::unexpected(std::move(error));
}

Result<void> SqlStatement::run() {
  while (true) {
    const auto row = step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
  }
}

std::int64_t SqlStatement::integer(int column) const noexcept { return sqlite3_column_int64(statement_.get(), column); }

std::string_view SqlStatement::bytes(int column) const noexcept {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr || size <= 0) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

bool SqlStatement::is_null(int column) const noexcept {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

bool SqlStatement::is_integer(int column) const noexcept {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_INTEGER;
}

bool SqlStatement::is_text(int column) const noexcept {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_TEXT;
}

bool SqlStatement::is_blob(int column) const noexcept {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_BLOB;
}

void SqlConnection::Close::operator()(sqlite3* connection) const noexcept {
  const NoFileSizeSignal no_signal;  // the last one to close writes the log into the database
  sqlite3_close_v2(connection);
}

Result<SqlConnection> SqlConnection::open(const Directory& directory, std::string_view name, Access access,
                                          std::chrono::milliseconds busy_wait, const SqlWords& words) {
  static const LastingPaths paths;  // for as long as any connection may be open
  // SQLite takes an existing one for what a transaction has left.
  const auto journal = facts_of_database(directory, std::string(name) + "-journal");
  if (!journal) return std::unexpected(journal.error());
  const auto folder = directory.lasting_path();
  if (!folder) return std::unexpected(folder.error());
  const int flags = (access == Access::read_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_URI |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  const std::string shown = directory.path_of(name).string();
  const std::string uri =
      "file:" + uri_escaped((*folder / name).string()) + "?" + shown_path + "=" + uri_escaped(shown);
  sqlite3* opened = nullptr;
  const int result = sqlite3_open_v2(uri.c_str(), &opened, flags, LastingPaths::name);
  if (opened == nullptr) return std::unexpected(Error(ErrorCode::system, "out of memory"));
  SqlConnection connection(opened, words, directory);  // to be closed even where opening failed
  if (result != SQLITE_OK) return std::unexpected(error_of(opened, result, words, shown));
  sqlite3_busy_timeout(opened, static_cast<int>(busy_wait.count()));
  if (auto hardened = connection.harden(); !hardened) return std::unexpected(hardened.error());
  return connection;
}

/// A database that another user planted must not run code: no triggers, views or functions of its own.
Result<void> SqlConnection::harden() {
  sqlite3* const connection = connection_.get();
  for (const auto& [option, value] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                      {SQLITE_DBCONFIG_ENABLE_VIEW, 0}}) {
    if (const int result = sqlite3_db_config(connection, option, value, nullptr); result != SQLITE_OK) {
      return std::unexpected(error_of(connection, result, *words_));
    }
  }
  sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, 16 << 20);
  sqlite3_limit(connection, SQLITE_LIMIT_ATTACHED, 0);
  // -wal and -shm stay when the last connection closes: a user without write access could not make them again.
  int keep = 1;
  sqlite3_file_control(connection, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  return {};
}

Result<void> SqlConnection::execute(const char* sql) {
  const NoFileSizeSignal no_signal;
  errno = 0;
  const int result = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(connection_.get(), result, *words_));
  return {};
}

Result<SqlStatement> SqlConnection::prepare(std::string_view sql) {
  const NoFileSizeSignal no_signal;  // the first one may rebuild the log's index
  sqlite3_stmt* statement = nullptr;
  const int result = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(connection_.get(), result, *words_));
  return SqlStatement(statement, *words_);
}

Result<std::int64_t> SqlConnection::number(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->integer(0) : 0;
}

std::int64_t SqlConnection::changes() const noexcept { return sqlite3_changes64(connection_.get()); }

bool SqlConnection::is_in_transaction() const noexcept { return sqlite3_get_autocommit(connection_.get()) == 0; }

Result<void> SqlConnection::copy_to(SqlConnection& to) {
  const NoFileSizeSignal no_signal;
  errno = 0;
  sqlite3_backup* const copying = sqlite3_backup_init(to.connection_.get(), "main", connection_.get(), "main");
  if (copying == nullptr) {
    return std::unexpected(error_of(to.connection_.get(), sqlite3_errcode(to.connection_.get()), *words_));
  }
  sqlite3_backup_step(copying, -1);  // in one transaction: a write of another process would begin it anew
  const int result = sqlite3_backup_finish(copying);
  if (result != SQLITE_OK) return std::unexpected(error_of(to.connection_.get(), result, *words_));
  return {};
}

namespace {

std::string without_blanks(std::string_view text) {
  std::string rest;
  std::ranges::remove_copy_if(text, std::back_inserter(rest), [](char c) { return c == ' ' || c == '\n'; });
  return rest;
}

}  // namespace

Result<bool> holds_exactly(SqlConnection& connection, std::span<const SqlTable> tables) {
  auto rows = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema");
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::string_view> found;
  while (true) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const auto table = std::ranges::find(tables, rows->bytes(2), &SqlTable::name);
    if (table == tables.end()) return false;
    // Of a key, made by SQLite itself.
    if (rows->bytes(0) == "index" && rows->is_null(3) && rows->bytes(1).starts_with("sqlite_autoindex_")) continue;
    const std::string text = without_blanks(rows->bytes(3));
    const bool is_known =
        std::ranges::any_of(table->texts, [&](std::string_view known) { return without_blanks(known) == text; });
    const bool is_again = std::ranges::find(found, table->name) != found.end();
    if (rows->bytes(0) != "table" || rows->bytes(1) != table->name || !is_known || is_again) return false;
    found.push_back(table->name);
  }
  return std::ranges::all_of(tables, [&](const SqlTable& table) {
    return table.is_optional || std::ranges::find(found, table.name) != found.end();
  });
}

Result<SqlTransaction> SqlTransaction::begin(SqlConnection& connection) {
  if (auto begun = connection.execute("BEGIN IMMEDIATE"); !begun) return std::unexpected(begun.error());
  return SqlTransaction(connection);
}

SqlTransaction::~SqlTransaction() {
  // SQLite rolls back by itself after some errors.
  if (connection_ != nullptr && connection_->is_in_transaction()) static_cast<void>(connection_->execute("ROLLBACK"));
}

Result<void> SqlTransaction::commit() {
  auto committed = connection_->execute("COMMIT");
  if (committed) connection_ = nullptr;
  return committed;
}

}  // namespace ringmill
