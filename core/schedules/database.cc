#include "core/schedules/database.h"

#include <unistd.h>

#include <array>
#include <string_view>

#include "core/schedules/schedule_book.h"

namespace ringmill {

namespace {

constexpr SqlWords words{.busy = "another process has been changing the schedules for too long",
                         .no_space = "the disk has no room for the schedules",
                         .to_make_room = "make room",
                         .corrupt = "the schedules' file is damaged",
                         .to_mend = "end the engine's processes, move the file away and add the schedules again",
                         .permission_denied = "the schedules may not be changed by this user",
                         .unusable = "cannot use the schedules' file",
                         .cannot_open = ErrorCode::system};

}  // namespace

Result<SqlConnection> open_schedules(const Directory& directory, bool make, std::chrono::milliseconds busy_wait) {
  const auto present = facts_of_database(directory, schedules_file);
  if (!present) return std::unexpected(present.error());
  if (!*present && !make) {
    return std::unexpected(
        Error(ErrorCode::not_found, "no schedules here", directory.path_of(schedules_file).string()));
  }
  // SQLite gives its rollback journal the mode of the file.
  constexpr std::array<std::string_view, 1> files{schedules_file};
  if (make) {
    if (auto made = make_database_files(directory, files); !made) return std::unexpected(made.error());
  }
  // Root looks at another user's schedules without playing back what that user has left in a rollback journal.
  const bool is_looking = ::geteuid() == 0 && directory.owner() != 0;
  const auto access = is_looking ? SqlConnection::Access::read_only : SqlConnection::Access::read_write;
  auto connection = SqlConnection::open(directory, schedules_file, access, busy_wait, words);
  if (!connection) return connection;
  // A commit is durable when the removal of its rollback journal is: that is what EXTRA adds to FULL.
  if (auto set = connection->execute("PRAGMA synchronous = EXTRA"); !set) return std::unexpected(set.error());
  return connection;
}

}  // namespace ringmill
