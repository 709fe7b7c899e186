// A database of ours that another user has changed, as an input says: statements and bytes.
//
// Statements go through SQLite's own doors, with the schema writable and no check; bytes go past them. Both end in a
// file that is opened as any other is.
#pragma once

#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace ringmill::test {

/// A folder of this process in tmpfs, removed when it ends.
class FuzzFolder {
 public:
  FuzzFolder() : path_("/dev/shm/ringmill-fuzz-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
  }
  ~FuzzFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// One value for a column: of any type.
inline void bind_any(sqlite3_stmt* statement, int place, Input& input) {
  constexpr std::int64_t odd[] = {0, 1, -1, 2, 63, 64, INT64_MAX, INT64_MIN, std::int64_t{1} << 32};
  switch (input.take<std::uint8_t>() % 6) {
    case 0:
      sqlite3_bind_int64(statement, place, odd[input.take<std::uint8_t>() % std::size(odd)]);
      break;
    case 1:
      sqlite3_bind_int64(statement, place, input.take<std::int64_t>());
      break;
    case 2:
      sqlite3_bind_null(statement, place);
      break;
    case 3: {
      const std::string text = input.take_text(input.take<std::uint8_t>() % 80);
      sqlite3_bind_text(statement, place, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
      break;
    }
    case 4: {
      const std::string blob = input.take_text(input.take<std::uint8_t>() % 80);
      sqlite3_bind_blob(statement, place, blob.data(), static_cast<int>(blob.size()), SQLITE_TRANSIENT);
      break;
    }
    default:
      sqlite3_bind_double(statement, place, 1e300);
      break;
  }
}

/// `statements` take values for ?1, ?2 and so on; what fails changes nothing.
inline void change_by_statements(const std::filesystem::path& path, Input& input,
                                 const std::vector<std::string_view>& statements) {
  sqlite3* database = nullptr;
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK) {
    sqlite3_exec(database,
                 "PRAGMA synchronous = OFF; PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON", nullptr,
                 nullptr, nullptr);
    for (int count = input.take<std::uint8_t>() % 6; count > 0; --count) {
      const std::string_view sql = statements[input.take<std::uint8_t>() % statements.size()];
      sqlite3_stmt* statement = nullptr;
      sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
      const int values = statement != nullptr ? sqlite3_bind_parameter_count(statement) : 0;
      for (int place = 1; place <= values; ++place) bind_any(statement, place, input);
      while (statement != nullptr && sqlite3_step(statement) == SQLITE_ROW) {
      }
      sqlite3_finalize(statement);
    }
  }
  sqlite3_close(database);
}

/// The rest of the input: single bytes, or a few, anywhere in the file.
inline void change_bytes(const std::filesystem::path& path, Input& input) {
  if (input.is_empty()) return;
  std::string bytes = bytes_of_file(path);
  while (!input.is_empty() && !bytes.empty()) {
    const std::size_t at = input.take<std::uint16_t>() % bytes.size();
    const std::string change = input.take_text(1 + input.take<std::uint8_t>() % 8);
    bytes.replace(at, std::min(change.size(), bytes.size() - at), change);
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace ringmill::test
