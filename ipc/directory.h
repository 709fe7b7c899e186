// The one way to touch a directory and what is in it: it is opened once, and everything below is relative to that
// descriptor. A name is a name in this directory, never a path, so nothing that is swapped in at a path between two
// steps leads a process elsewhere (hazard 27 in docs/hazards.md).
//
// This class guarantees:
//   - A link is never followed below the directory; the directory itself is not one, unless the caller wants that.
//   - A file is opened without waiting (a pipe may stand there), and is looked at through its descriptor before a byte
//     is read: a regular file, of an owner that may have made it, not larger than it can be.
//   - Modes and owners are set on descriptors, never on names.
//   - A file that is made is new (O_EXCL). One that is to replace another has a random name until it is whole.
//   - No descriptor is below 3: in a process whose descriptors 0 to 2 are closed, messages go there (hazard 28).
//
// Only this file, ipc/file.cc and what tools/tidy lists by name call the system's functions for paths (rule `paths`).
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "ipc/file.h"

namespace ringmill {

class Directory {
 public:
  /// Whether the last part of a path may be a link: some system folders are (/dev/shm on some systems).
  enum class Links { refused, followed };

  /// The allowed owners of a file: the directory's owner, or any user with write access to the directory, this one and
  /// root included. `alone`: the directory's owner, and no other user may write the file.
  enum class Owners { directorys, alone, let_in };

  /// The most bytes of a file that is read whole.
  static constexpr std::uint64_t most_small_file_bytes = std::uint64_t{1} << 20;

  /// A user of the system, and a group, for what is made.
  struct Owner {
    uid_t user = 0;
    gid_t group = 0;
  };

  /// Errors: not_found, permission_denied (a link, a foreign one), system. Slashes and `/.` at the end do not count.
  static Result<Directory> open(const std::filesystem::path& path, Links links = Links::refused);
  /// mkdir. Error already_exists: something of that name is there.
  static Result<void> make(const std::filesystem::path& path, std::uint32_t mode);

  /// Returns the path at which the directory was opened, for messages: it may have been renamed since.
  const std::filesystem::path& path() const noexcept { return opened_->path; }
  std::filesystem::path path_of(std::string_view name) const { return opened_->path / name; }
  int descriptor() const noexcept { return opened_->file.descriptor(); }

  /// A path that leads into this very directory as long as this object lives, whatever is done to its names: for a
  /// library that takes nothing but paths. Where there is no /proc it is path(), if that still leads here.
  /// Error not_found: it does not.
  Result<std::filesystem::path> lasting_path() const;

  /// As they were when it was opened.
  uid_t owner() const noexcept { return opened_->facts.st_uid; }
  gid_t group() const noexcept { return opened_->facts.st_gid; }
  mode_t mode() const noexcept { return opened_->facts.st_mode & 07777; }
  dev_t device() const noexcept { return opened_->facts.st_dev; }
  ino_t inode() const noexcept { return opened_->facts.st_ino; }
  /// As they are.
  Result<struct stat> facts() const;
  Result<void> set_mode(std::uint32_t mode) const;
  /// Error permission_denied: this process may make nothing in it.
  Result<void> check_writable() const;
  /// Returns whether files of this owner are accepted.
  bool lets_in(uid_t owner) const noexcept;

  /// Returns the facts of what has this name, or nothing if the name is free. Follows no link.
  Result<std::optional<struct stat>> look(std::string_view name) const;
  bool has(std::string_view name) const noexcept;
  bool has_folder(std::string_view name) const noexcept;
  /// True for the same file: device and inode.
  bool is_named(std::string_view name, const File& file) const noexcept;
  /// Which file this is, for as long as it is there; 0: the file system does not say when it was made.
  struct Origin {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t born_ns = 0;
    bool is_plain_file = false;
  };
  /// Error not_found.
  Result<Origin> origin_of(std::string_view name) const;
  /// Takes from a plain file of this user all rights but `mode`. Nothing is opened: a database's locks stay. What is no
  /// such file stays as it is.
  void narrow_mode(std::string_view name, std::uint32_t mode) const noexcept;
  /// All names but `.` and `..`.
  Result<std::vector<std::string>> names() const;

  /// `flags`: O_RDONLY, O_WRONLY or O_RDWR, and O_DIRECT. Errors: not_found, permission_denied (a link, a folder, a
  /// pipe, a device, or of another owner), corrupt (more than `most_bytes`), system.
  Result<File> open_file(std::string_view name, int flags, Owners owners,
                         std::uint64_t most_bytes = std::uint64_t{INT64_MAX}) const;
  /// Opens a plain file of any owner: one that the user of a command chose.
  Result<File> open_any_file(std::string_view name, int flags) const;
  /// Opens a file of exactly this user, not of the directory's owner: all users share the folder of the shared memory.
  Result<File> open_file_of(uid_t owner, std::string_view name, int flags) const;
  /// Errors as above.
  Result<std::string> read_small_file(std::string_view name, Owners owners,
                                      std::uint64_t most_bytes = most_small_file_bytes) const;

  /// A new file, open to read and write, with exactly this mode. Error already_exists.
  Result<File> make_file(std::string_view name, std::uint32_t mode, int flags = 0) const;
  /// A new file without a name, which is gone when it is closed; where the file system has no such files, one whose
  /// random name is removed at once.
  Result<File> make_nameless_file(std::uint32_t mode, int flags = 0) const;
  /// The name under which the file is made that shall become `name`: random, see is_half_made().
  static Result<std::string> half_made_name(std::string_view name);
  /// True for the names that half_made_name(`name`) gives.
  static bool is_half_made(std::string_view name_of_file, std::string_view name) noexcept;
  /// Replaces `name` by `text`, all or nothing, durable when it returns. One process at a time writes a name, under a
  /// lock of its caller's: what an earlier one left half-made is removed. `owner`: from root, whose the file is.
  Result<void> write_file_durably(std::string_view name, std::string_view text, std::uint32_t mode,
                                  std::optional<Owner> owner = {}) const;
  /// Creates an empty file. Its maker closes it before it gets its name, so no process has it open then
  /// (core/base/sqlite.h says why). Returns false if the name is taken.
  Result<bool> make_empty_file(std::string_view name, std::uint32_t mode, std::optional<Owner> owner = {}) const;

  Result<void> rename(std::string_view from, std::string_view to) const;
  /// Error not_found. A link itself is removed, not what it leads to.
  Result<void> remove(std::string_view name) const;
  Result<void> remove_if_there(std::string_view name) const;
  /// Makes earlier creations, renames and removals in it durable.
  Result<void> sync() const;

  /// Opens a folder of this directory; refuses a link.
  Result<Directory> open_folder(std::string_view name) const;
  /// Error already_exists.
  Result<void> make_folder(std::string_view name, std::uint32_t mode) const;
  /// An empty one. Error already_exists: it is not empty.
  Result<void> remove_folder(std::string_view name) const;
  /// Removes this directory from the one that it is in, if it is empty and still has its name there.
  Result<void> remove_itself() const;

 private:
  struct Opened {
    File file;
    std::filesystem::path path;
    struct stat facts {};
  };
  explicit Directory(std::shared_ptr<const Opened> opened) noexcept : opened_(std::move(opened)) {}
  static Result<Directory> of(File file, std::filesystem::path path);
  Result<File> open_plain_file(std::string_view name, int flags, struct stat& facts) const;

  std::shared_ptr<const Opened> opened_;  // one descriptor for all copies
};

/// From root, or where the group is one of ours; else the group stays as it is. Error: the owner cannot be given.
Result<void> give_file(const File& file, const Directory::Owner& owner, const std::filesystem::path& path);

}  // namespace ringmill
