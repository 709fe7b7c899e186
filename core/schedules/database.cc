#include "core/schedules/database.h"

#include <sys/stat.h>
#include <unistd.h>

#include "ipc/file.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr SqlWords words{.busy = "another process has been changing the schedules for too long",
                         .no_space = "the disk has no room for the schedules",
                         .to_make_room = "make room",
                         .corrupt = "the schedules' file is damaged",
                         .to_mend = "end the engine's processes, move the file away and add the schedules again",
                         .permission_denied = "the schedules may not be changed by this user",
                         .unusable = "cannot use the schedules' file",
                         .cannot_open = ErrorCode::system};

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

Result<SqlConnection> open_schedules(const fs::path& file, bool make, std::chrono::milliseconds busy_wait) {
  // A parent may be a symbolic link, the file may not.
  std::error_code failure;
  const fs::path folder = fs::canonical(file.parent_path(), failure);
  if (failure) return std::unexpected(system_error("cannot find", file.parent_path(), failure.value()));
  const fs::path path = folder / file.filename();
  struct stat directory {};
  if (::stat(folder.c_str(), &directory) != 0) return std::unexpected(system_error("cannot stat", folder));
  const auto present = facts_of_database(path, directory);
  if (!present) return std::unexpected(present.error());
  if (!*present && !make) return std::unexpected(Error(ErrorCode::not_found, "no schedules here", path.string()));
  const auto how = make ? SqlConnection::Access::make : SqlConnection::Access::read_write;
  auto connection = SqlConnection::open(path, how, busy_wait, words);
  if (!connection) return connection;
  if (auto shared = share(path, directory); !shared) return std::unexpected(shared.error());
  // A commit is durable when the removal of its rollback journal is: that is what EXTRA adds to FULL.
  if (auto set = connection->execute("PRAGMA synchronous = EXTRA"); !set) return std::unexpected(set.error());
  return connection;
}

}  // namespace ringmill
