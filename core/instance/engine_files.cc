#include "core/instance/engine_files.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "core/instance/engine_configuration.h"
#include "ipc/file_modes.h"
#include "ipc/registry.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

std::string to_hex(std::uint64_t value) { return JobId(value).to_string(); }

/// As sudo takes it.
std::string name_of_user(uid_t user) {
  std::array<char, 4096> room{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, room.data(), room.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return "'#" + std::to_string(user) + "'";
}

}  // namespace

EngineFiles::EngineFiles(Directory folder, EngineConfiguration configuration, const FoundHome& home) noexcept
    : folder_(std::move(folder)),
      configuration_(std::move(configuration)),
      home_(home),
      is_copy_(home_.is_plain_file && !is_at_home(configuration_.home, home_.home)) {}

Result<fs::path> EngineFiles::full_path(const fs::path& given) {
  std::error_code failure;
  fs::path path = fs::absolute(given, failure).lexically_normal();
  if (failure) return std::unexpected(system_error("cannot find", given, failure.value()));
  if (!path.has_filename()) path = path.parent_path();  // a slash at its end says nothing
  return path;
}

Error no_engine_at(const fs::path& path) {
  return Error(ErrorCode::not_found, "no engine here", path.string() + "; make one with `ringmill init`");
}

Result<EngineFiles> EngineFiles::open(const fs::path& given, For purpose) {
  const auto path = full_path(given);
  if (!path) return std::unexpected(path.error());
  const auto folder = Directory::open(*path);
  if (folder) return open(*folder, purpose);
  const ErrorCode code = folder.error().code();
  if (code == ErrorCode::not_found || code == ErrorCode::already_exists) return std::unexpected(no_engine_at(*path));
  return std::unexpected(folder.error());
}

Result<EngineFiles> EngineFiles::open(const Directory& folder, For purpose) {
  if (!folder.has(configuration_file)) return std::unexpected(no_engine_at(folder.path()));
  if (purpose != For::look && ::geteuid() == 0 && folder.owner() != 0) {
    const std::string user = name_of_user(folder.owner());
    const std::string where = folder.path().string();
    return std::unexpected(Error(ErrorCode::permission_denied, "root does not act on another user's engine",
                                 where + " belongs to " + user + ": `sudo -u " + user + " ringmill ...`"));
  }
  const auto text = folder.read_small_file(configuration_file, Directory::Owners::alone);
  if (!text) {
    return std::unexpected(text.error().code() == ErrorCode::not_found ? no_engine_at(folder.path()) : text.error());
  }
  auto configuration = from_json(*text, folder.path_of(configuration_file));
  if (!configuration) return std::unexpected(configuration.error());
  // Write access to the directory is enough to replace the engine: no user may have more of it than the mode says.
  const std::uint32_t foreign_write = folder.mode() & 0022;
  if ((foreign_write & ~configuration->segment.mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's directory, more than its mode says",
                                 folder.path().string() + "; chmod it back"));
  }
  const auto home = find_home(folder);
  if (!home) return std::unexpected(home.error());
  EngineFiles files(folder, *std::move(configuration), *home);
  if (files.is_copy() && purpose == For::use) return std::unexpected(files.copy_error());
  return files;
}

Error EngineFiles::copy_error() const {
  return Error(ErrorCode::incompatible, "this directory is a copy of an engine, a restored backup, or was moved here",
               path().string() + "; `ringmill recover " + path().string() +
                   "` makes an engine of its own of it, with what its journal holds");
}

Result<Directory> EngineFiles::open_journal_folder() const {
  auto folder = folder_.open_folder(journal_folder);
  if (!folder) return folder;
  // Root's is a file system that was mounted there.
  if (folder->owner() != folder_.owner() && folder->owner() != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the journal belongs to another user than the engine",
                                 folder->path().string() + "; another program put it there: find out which"));
  }
  if ((folder->mode() & 0022 & ~config().mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's journal, more than the engine's mode says",
                                 folder->path().string() + "; chmod it back"));
  }
  return folder;
}

std::string EngineFiles::engine_id() const { return to_hex(config().engine_id); }

Result<File> EngineFiles::open_locks() const {
  // Of an engine from before there was such a rule: readers could hold it up.
  folder_.narrow_mode(engine_lock_file, mode_with_locks(config().mode));
  return folder_.open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
}

Result<File> EngineFiles::open_locks_to_look() const {
  auto file = folder_.open_file(engine_lock_file, O_RDONLY, Directory::Owners::directorys);
  if (file || file.error().code() != ErrorCode::permission_denied) return file;
  const auto facts = folder_.look(engine_lock_file);
  const bool is_unreadable = facts && *facts && S_ISREG((*facts)->st_mode) && (*facts)->st_uid == folder_.owner();
  if (is_unreadable) return File();
  return file;
}

bool EngineFiles::is_in_use(const File& locks) const noexcept {
  return is_byte_locked_by_other(locks, keeper_lock_byte) ||
         is_any_byte_locked_by_other(locks, participant_lock_byte, most_participants);
}

Result<void> EngineFiles::write_durably(std::string_view name, std::string_view text, std::uint32_t mode) const {
  const Directory::Owner owner{.user = static_cast<uid_t>(-1), .group = folder_.group()};
  return folder_.write_file_durably(name, text, mode, owner);
}

Result<void> EngineFiles::write_configuration() const {
  return write_durably(configuration_file, to_json(configuration_), owners_file_mode(config().mode));
}

Result<void> EngineFiles::write_generation_limit(std::uint64_t limit) const {
  // Never lowered, even where the caller has a lower one.
  if (const auto present = read_generation_limit(); present && *present >= limit) return {};
  // The keeper may be any user of the engine, and the next one another: every user of the directory may read it.
  return write_durably(generation_file, std::to_string(limit) + "\n", config().mode | 0444);
}

Result<std::uint64_t> EngineFiles::read_generation_limit() const {
  const auto text = folder_.read_small_file(generation_file, Directory::Owners::let_in);
  if (!text) return std::unexpected(text.error());
  std::uint64_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc{} || *end != '\n' || limit > most_generation) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the generation file cannot be read", folder_.path_of(generation_file).string()));
  }
  return limit;
}

}  // namespace ringmill
