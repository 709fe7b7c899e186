// SQLite with our manners: handles that close themselves, errors as values. For the dead letters and the schedules.
//
// SQLite locks its files with POSIX locks, which a process loses when it closes ANY descriptor of the same file. So
// nothing in this library opens a database's files but SQLite itself; what wants to know about them asks fstatat().
//
// SQLite opens by path, and sets the mode of what it makes. So that neither leads it elsewhere:
//   - Its files are made before it opens them, empty, with their mode and owner set on a descriptor that is closed
//     before the file gets its name: no connection of this process can lose its locks by that.
//   - Its path leads through the descriptor of the directory (Directory::lasting_path()). SQLite would resolve that to
//     the directory's name, so it opens through a VFS of ours, which is its own but for taking the path as it is.
//   - It follows no link in the last part of a path (O_NOFOLLOW in its own code).
//   - It opens, and so removes, no super-journal that a planted rollback journal names.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/error.h>

#include "ipc/directory.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ringmill {

/// How errors speak of a database: each a summary, or what to do. Of static lifetime.
struct SqlWords {
  const char* busy;
  const char* no_space;
  const char* to_make_room;
  const char* corrupt;
  const char* to_mend;
  const char* permission_denied;
  const char* unusable;
  /// Of a file that cannot be opened, for a reason that the system does not say.
  ErrorCode cannot_open;
};

/// Returns the facts of a database's file, or nothing if there is none. Error permission_denied: it is no plain file,
/// or its owner has no write access to the directory.
Result<std::optional<struct stat>> facts_of_database(const Directory& directory, std::string_view name);

/// Creates the missing files, empty. Their mode is the directory's without x bits, and without r for a class of users
/// that has no w (ipc/file_modes.h). Their group is the directory's where that is allowed; root also sets the owner.
/// Errors: as above, no_space, system.
Result<void> make_database_files(const Directory& directory, std::span<const std::string_view> names);

/// One prepared statement, to be used again and again. What is bound must live until the statement is reset.
class SqlStatement {
 public:
  SqlStatement(sqlite3_stmt* statement, const SqlWords& words) noexcept : statement_(statement), words_(&words) {}

  /// Resets, and binds the parameters ?1, ?2, ... in order.
  template <class... Values>
  SqlStatement& with(const Values&... values) noexcept {
    reset();
    int position = 0;
    (bind(++position, values), ...);
    return *this;
  }
  /// True: there is a row. False: that was all; the statement is reset.
  Result<bool> step();
  /// Runs it to its end.
  Result<void> run();
  /// Ends its read transaction, if it has one.
  void reset() noexcept;

  std::int64_t integer(int column) const noexcept;
  /// Valid until the next step() or reset().
  std::string_view bytes(int column) const noexcept;
  bool is_null(int column) const noexcept;
  /// What the value is, whatever its column was declared as: the bytes of a file may say anything.
  bool is_integer(int column) const noexcept;
  bool is_text(int column) const noexcept;
  bool is_blob(int column) const noexcept;

 private:
  void bind(int position, std::int64_t value) noexcept;
  void bind(int position, std::string_view text) noexcept;
  void bind(int position, std::span<const std::byte> blob) noexcept;
  void bind_null(int position) noexcept;
  template <class Value>
  void bind(int position, const std::optional<Value>& value) noexcept {
    if (value) {
      bind(position, *value);
    } else {
      bind_null(position);
    }
  }

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const SqlWords* words_;
  int bind_failure_ = 0;
};

/// One open database. Used by one thread at a time, and never by the child of a fork: there it must not even be closed,
/// see abandon().
class SqlConnection {
 public:
  enum class Access { read_only, read_write };

  /// A file that is there. `busy_wait`: how long a call may wait for other processes.
  static Result<SqlConnection> open(const Directory& directory, std::string_view name, Access access,
                                    std::chrono::milliseconds busy_wait, const SqlWords& words);

  Result<void> execute(const char* sql);
  Result<SqlStatement> prepare(std::string_view sql);
  /// The first number of the first row; `sql` must give one.
  Result<std::int64_t> number(std::string_view sql);
  /// Rows that the last statement inserted, changed or deleted.
  std::int64_t changes() const noexcept;
  bool is_in_transaction() const noexcept;
  /// Replaces all that `to` holds by what this one holds at one moment, while others go on writing this one.
  Result<void> copy_to(SqlConnection& to);

  /// Leaves everything as it is: memory and descriptors.
  void abandon() noexcept { static_cast<void>(connection_.release()); }

 private:
  struct Close {
    Directory directory;  // SQLite's path leads through its descriptor until the connection is closed
    void operator()(sqlite3* connection) const noexcept;
  };
  SqlConnection(sqlite3* connection, const SqlWords& words, Directory directory) noexcept
      : connection_(connection, Close{std::move(directory)}), words_(&words) {}
  Result<void> harden();

  std::unique_ptr<sqlite3, Close> connection_;
  const SqlWords* words_;
};

/// A table as its maker has made it.
struct SqlTable {
  std::string_view name;
  /// CREATE TABLE, each text that a maker of some time has used. Blanks and line ends do not count.
  std::vector<std::string_view> texts;
  bool is_optional = false;
};
/// Whether a file holds these tables, and what SQLite makes for them, and nothing else: no other table, no index, view
/// or trigger, no column of another kind.
Result<bool> holds_exactly(SqlConnection& connection, std::span<const SqlTable> tables);

/// A transaction that writes: begun with the right to write, so that it never fails half-way because of another
/// process. Rolled back unless committed.
class SqlTransaction {
 public:
  /// Error busy: another process has been writing for longer than the connection's wait.
  static Result<SqlTransaction> begin(SqlConnection& connection);
  SqlTransaction(SqlTransaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  SqlTransaction& operator=(SqlTransaction&&) = delete;
  ~SqlTransaction();

  /// Durable when it returns.
  Result<void> commit();

 private:
  explicit SqlTransaction(SqlConnection& connection) noexcept : connection_(&connection) {}
  SqlConnection* connection_;
};

}  // namespace ringmill
