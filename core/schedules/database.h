// SQLite as the schedules use it: handles that close themselves, errors as values.
//
// SQLite locks its file with POSIX locks, which a process loses when it closes any descriptor of that file. So nobody
// but SQLite opens it; who wants to know about it asks lstat().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <ringmill/error.h>

struct sqlite3;
struct sqlite3_stmt;

namespace ringmill {

/// One prepared statement. What is bound must live until the last step.
class ScheduleStatement {
 public:
  explicit ScheduleStatement(sqlite3_stmt* statement) noexcept : statement_(statement) {}

  /// Binds the parameters ?1, ?2, ... in order.
  template <class... Values>
  ScheduleStatement& with(const Values&... values) noexcept {
    int position = 0;
    (bind(++position, values), ...);
    return *this;
  }
  /// True: there is a row.
  Result<bool> step();
  /// Runs it to its end.
  Result<void> run();

  std::int64_t integer(int column) const noexcept;
  /// Valid until the next step().
  std::string_view bytes(int column) const noexcept;
  bool is_null(int column) const noexcept;

 private:
  void bind(int position, std::int64_t value) noexcept;
  void bind(int position, std::string_view text) noexcept;
  void bind(int position, std::span<const std::byte> blob) noexcept;
  template <class Value>
  void bind(int position, const std::optional<Value>& value) noexcept {
    if (value) bind(position, *value);  // a parameter that is not bound is NULL
  }

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_failure_ = 0;
};

/// The open file. Used by one thread at a time, and never by the child of a fork, which must not even close it.
class ScheduleDatabase {
 public:
  /// `busy_wait`: how long a call may wait for other processes. Error not_found: there is no such file, and `make` is
  /// false. A file that is made gets the owner, group and mode of its directory (without execution).
  static Result<ScheduleDatabase> open(const std::filesystem::path& file, bool make,
                                       std::chrono::milliseconds busy_wait);

  Result<void> execute(const char* sql);
  Result<ScheduleStatement> prepare(std::string_view sql);
  /// The number in the one row of `sql`.
  Result<std::int64_t> number(std::string_view sql);
  /// Rows that the last statement changed.
  std::int64_t changes() const noexcept;

 private:
  struct Close {
    void operator()(sqlite3* connection) const noexcept;
  };
  explicit ScheduleDatabase(sqlite3* connection) noexcept : connection_(connection) {}

  std::unique_ptr<sqlite3, Close> connection_;
};

}  // namespace ringmill
