#include "core/schedules/database.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "ipc/file.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

/// What went wrong in the last call on this connection to `file`.
Error error_of(sqlite3* connection, int result, const std::string& file) {
  const std::string reason = file + ": " + sqlite3_errmsg(connection);
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(ErrorCode::busy, "another process has been changing the schedules for too long",
                   file + "; try again; a process that was stopped while it wrote must go on, or be ended");
    case SQLITE_FULL:
      return Error(ErrorCode::no_space, "the disk has no room for the schedules", file + "; make room");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // our statements are right, so the tables are not
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA:
      return Error(ErrorCode::corrupt, "the schedules' file is damaged",
                   reason +
                       "; `sqlite3 FILE .recover` shows what can still be read; end the engine's processes, move "
                       "the file away and add the schedules again");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Error(ErrorCode::permission_denied, "the schedules may not be changed by this user", reason);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      if (const int number = sqlite3_system_errno(connection); number != 0) {
        return system_error("cannot use the schedules' file", file, number);
      }
      [[fallthrough]];
    default:
      return Error(ErrorCode::system, "cannot use the schedules' file", reason);
  }
}

Error error_of(sqlite3* connection, int result) {
  const char* name = sqlite3_db_filename(connection, "main");
  return error_of(connection, result, name != nullptr ? name : "");
}

/// False: there is no such file. Error permission_denied: it is of nobody whom the directory lets write, or no file.
Result<bool> check_file(const fs::path& file, const struct stat& directory) {
  struct stat facts {};
  if (::lstat(file.c_str(), &facts) != 0) {
    if (errno == ENOENT) return false;
    return std::unexpected(system_error("cannot stat", file));
  }
  const bool is_ours = facts.st_uid == directory.st_uid || (directory.st_mode & 0022) != 0;
  if (S_ISREG(facts.st_mode) && is_ours) return true;
  return std::unexpected(
      Error(ErrorCode::permission_denied,
            S_ISREG(facts.st_mode) ? "this file belongs to another user than the engine" : "this is no plain file",
            file.string() + "; somebody put it there: find out who did"));
}

/// The directory's users may use the file, whoever of them made it. Also after a maker that was killed half-way: its
/// next opening comes here again.
Result<void> share(const fs::path& file, const struct stat& directory) {
  struct stat facts {};
  if (::lstat(file.c_str(), &facts) != 0) return std::unexpected(system_error("cannot stat", file));
  const bool is_root = ::geteuid() == 0;
  if (facts.st_uid != ::geteuid() && !is_root) return {};
  const mode_t mode = directory.st_mode & 0666;
  if ((facts.st_mode & 07777) != mode && ::chmod(file.c_str(), mode) != 0) {
    return std::unexpected(system_error("cannot set the mode of", file));
  }
  const bool is_theirs = facts.st_gid == directory.st_gid && (!is_root || facts.st_uid == directory.st_uid);
  if (is_theirs) return {};
  // Not allowed to those who are not of that group: then it stays the group of whoever made the file.
  const uid_t owner = is_root ? directory.st_uid : static_cast<uid_t>(-1);
  [[maybe_unused]] const int ignored = ::lchown(file.c_str(), owner, directory.st_gid);
  return {};
}

}  // namespace

void ScheduleStatement::Finalize::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

void ScheduleStatement::bind(int position, std::int64_t value) noexcept {
  const int result = sqlite3_bind_int64(statement_.get(), position, value);
  if (result != SQLITE_OK) bind_failure_ = result;
}

void ScheduleStatement::bind(int position, std::string_view text) noexcept {
  // No pointer would mean NULL, which is not the same as nothing.
  const char* data = text.empty() ? "" : text.data();
  const int result = sqlite3_bind_text64(statement_.get(), position, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (result != SQLITE_OK) bind_failure_ = result;
}

void ScheduleStatement::bind(int position, std::span<const std::byte> blob) noexcept {
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  const int result = sqlite3_bind_blob64(statement_.get(), position, data, blob.size(), SQLITE_STATIC);
  if (result != SQLITE_OK) bind_failure_ = result;
}

Result<bool> ScheduleStatement::step() {
  const int result = bind_failure_ != SQLITE_OK ? bind_failure_ : sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return std::unexpected(error_of(sqlite3_db_handle(statement_.get()), result));
}

Result<void> ScheduleStatement::run() {
  while (true) {
    const auto row = step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
  }
}

std::int64_t ScheduleStatement::integer(int column) const noexcept {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view ScheduleStatement::bytes(int column) const noexcept {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr || size <= 0) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

bool ScheduleStatement::is_null(int column) const noexcept {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void ScheduleDatabase::Close::operator()(sqlite3* connection) const noexcept { sqlite3_close_v2(connection); }

Result<ScheduleDatabase> ScheduleDatabase::open(const fs::path& file, bool make, std::chrono::milliseconds busy_wait) {
  // A parent may be a symbolic link, the file may not.
  std::error_code failure;
  const fs::path folder = fs::canonical(file.parent_path(), failure);
  if (failure) return std::unexpected(system_error("cannot find", file.parent_path(), failure.value()));
  const fs::path path = folder / file.filename();
  struct stat directory {};
  if (::stat(folder.c_str(), &directory) != 0) return std::unexpected(system_error("cannot stat", folder));
  const auto is_there = check_file(path, directory);
  if (!is_there) return std::unexpected(is_there.error());
  if (!*is_there && !make) return std::unexpected(Error(ErrorCode::not_found, "no schedules here", path.string()));

  const int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOFOLLOW |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  sqlite3* opened = nullptr;
  const int result = sqlite3_open_v2(path.c_str(), &opened, flags, "unix");
  if (opened == nullptr) return std::unexpected(Error(ErrorCode::system, "out of memory"));
  ScheduleDatabase database(opened);  // to be closed even where opening failed
  if (result != SQLITE_OK) return std::unexpected(error_of(opened, result, path.string()));
  if (auto shared = share(path, directory); !shared) return std::unexpected(shared.error());
  sqlite3_busy_timeout(opened, static_cast<int>(busy_wait.count()));
  // A file that somebody has made for us to stumble over must not run anything of its own.
  for (const auto& [option, value] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                      {SQLITE_DBCONFIG_ENABLE_VIEW, 0}}) {
    if (const int set = sqlite3_db_config(opened, option, value, nullptr); set != SQLITE_OK) {
      return std::unexpected(error_of(opened, set));
    }
  }
  // A commit is durable when the removal of its rollback journal is: that is what EXTRA adds to FULL.
  if (auto set = database.execute("PRAGMA synchronous = EXTRA"); !set) return std::unexpected(set.error());
  return database;
}

Result<void> ScheduleDatabase::execute(const char* sql) {
  const int result = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(connection_.get(), result));
  return {};
}

Result<ScheduleStatement> ScheduleDatabase::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(connection_.get(), result));
  return ScheduleStatement(statement);
}

Result<std::int64_t> ScheduleDatabase::number(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->integer(0) : 0;
}

std::int64_t ScheduleDatabase::changes() const noexcept { return sqlite3_changes64(connection_.get()); }

}  // namespace ringmill
