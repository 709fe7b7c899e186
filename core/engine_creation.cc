// Making an engine, and taking one apart, whole or half-made.
//
//                                                              killed just after the step
//   C1  make the directory                                     an empty folder, as anybody may have one
//   C2  make the lock file, take the structure lock            the kernel drops the lock; a folder with an empty file
//   C3  note the segment's name in `creating`, durably         the note; nothing else has begun
//   C4  make the journal's folder                              an empty folder beside the note
//   C5  make the segment under another name, rename it         the note names both
//   C6  write engine.json, whole                               a whole engine; its note is not looked at any more
//   C7  remove the note
//
// Up to C6 the engine is half-made: the next create() or remove() takes apart what the note names, and begins anew, or
// ends. Both hold the structure lock meanwhile, so what they take apart is never a creation that still runs.
//
// The lock file goes last, and only by the hand that holds its lock. So whoever has got the lock looks whether the file
// still stands at its path: if not, somebody took the engine apart in between, and it begins again at C1.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "core/dead_letters/store.h"
#include "core/engine_configuration.h"
#include "core/engine_directory.h"
#include "core/flow_control/flow_rules.h"
#include "core/level_list.h"
#include "core/log.h"
#include "core/schedules/schedule_book.h"
#include "ipc/directory.h"
#include "ipc/registry.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

/// What an engine has in databases, and what SQLite keeps beside them. An engine that is made where another one was
/// half removed must not find that one's.
constexpr std::array<std::string_view, 5> database_files{dead_letter_files[0], dead_letter_files[1],
                                                         dead_letter_files[2], schedules_file, "schedules.db-journal"};

/// Every file that we make in an engine's directory, the lock last.
constexpr std::array<std::string_view, 16> own_files{
    "engine.json",     "generation",      "creating",        "engine.json.new",
    "generation.new",  "creating.new",    flow_file,         "flow-control.json.new",
    database_files[0], database_files[1], database_files[2], database_files[3],
    database_files[4], level_list_file,   "levels.json.new", "lock"};

/// True for our files, and for what was to become one of them when its writer was killed.
bool is_own_file(std::string_view name) {
  return std::ranges::any_of(
      own_files, [name](std::string_view own) { return name == own || Directory::is_half_made(name, own); });
}

/// How often the lock file may be replaced while we take its lock, before we say that others are at it.
constexpr int most_replacements = 1000;

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

bool is_folder(const fs::path& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

template <class IsOwn>
std::optional<std::string> first_name_but(const fs::path& folder, const IsOwn& is_own) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    std::string name = entry.path().filename().string();
    if (!is_own(name)) return name;
  }
  return std::nullopt;
}

int count_own_files(const fs::path& folder) {
  std::error_code ignored;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (is_own_file(entry.path().filename().string())) ++count;
  }
  return count;
}

/// The name of a file in the directory, or in its journal, that is not ours.
std::optional<std::string> foreign_file(const fs::path& path) {
  const bool has_journal = is_folder(path / journal_folder);
  const auto is_own = [has_journal](const std::string& name) {
    return is_own_file(name) || (has_journal && name == journal_folder);
  };
  if (auto foreign = first_name_but(path, is_own)) return foreign;
  if (!has_journal) return std::nullopt;
  if (const auto foreign = first_name_but(path / journal_folder, is_journal_file)) {
    return std::string(journal_folder) + "/" + *foreign;
  }
  return std::nullopt;
}

/// C1. A directory that is there is used if it is ours and holds nothing but what a creation leaves.
Result<void> make_directory(const fs::path& path, std::uint32_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno != EEXIST) return std::unexpected(system_error("cannot make the directory", path));
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return {};  // removed meanwhile: the next step finds out
  if (!S_ISDIR(facts.st_mode)) {
    return std::unexpected(Error(ErrorCode::already_exists, "not a directory", path.string() + "; name a new one"));
  }
  if (facts.st_uid != ::geteuid()) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the directory belongs to another user",
                                 path.string() + "; make the engine as that user, or name a new directory"));
  }
  if (const auto foreign = foreign_file(path)) {
    return std::unexpected(Error(ErrorCode::already_exists, "the directory is not empty and holds no engine",
                                 path.string() + " (found " + *foreign + "); name a new directory"));
  }
  return {};
}

/// What stands in `creating`: the segment's path, and the inode of the directory that it is made for. A copy of the
/// directory has another one, and no right to the segment.
struct CreationNote {
  fs::path segment;
  ino_t directory = 0;

  std::string to_text() const { return segment.string() + "\n" + std::to_string(directory) + "\n"; }
  static std::optional<CreationNote> of(std::string_view text) {
    const std::size_t line_end = text.find('\n');
    if (line_end == std::string_view::npos) return std::nullopt;
    CreationNote note{.segment = text.substr(0, line_end)};
    const auto [end, error] = std::from_chars(text.data() + line_end + 1, text.data() + text.size(), note.directory);
    if (error != std::errc{} || end == text.data() + text.size() || *end != '\n') return std::nullopt;
    // Only what we could have made is ever removed: a file named ringmill-<16 digits>.
    constexpr std::string_view prefix = "ringmill-";
    const std::string name = note.segment.filename().string();
    if (!note.segment.is_absolute() || !name.starts_with(prefix) || !JobId::parse(name.substr(prefix.size()))) {
      return std::nullopt;
    }
    return note;
  }
};

/// Removes the segment, and what was to become it. Error permission_denied: somebody else's file stands there.
Result<void> unlink_segment(const fs::path& segment, uid_t owner) {
  for (const fs::path& file : {segment, fs::path(segment.string() + ".creating")}) {
    struct stat facts {};
    if (::lstat(file.c_str(), &facts) != 0) continue;
    if (facts.st_uid != owner) {
      return std::unexpected(Error(ErrorCode::permission_denied,
                                   "a file of another user stands where the engine's shared memory should be",
                                   file.string() + "; find out whose it is, and let them remove it"));
    }
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return std::unexpected(system_error("cannot remove", file));
  }
  return {};
}

Result<void> unlink_if_there(const fs::path& file) {
  if (::unlink(file.c_str()) == 0 || errno == ENOENT) return {};
  return std::unexpected(system_error("cannot remove", file));
}

/// Removes the journal's files, and its folder if nothing else is in it.
Result<void> unlink_journal(const fs::path& path) {
  const fs::path folder = path / journal_folder;
  if (!is_folder(folder)) return {};
  std::vector<fs::path> files;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (is_journal_file(entry.path().filename().string())) files.push_back(entry.path());
  }
  if (failure) return std::unexpected(system_error("cannot list", folder, failure.value()));
  for (const fs::path& file : files) {
    if (auto unlinked = unlink_if_there(file); !unlinked) return unlinked;
  }
  ::rmdir(folder.c_str());
  return {};
}

Result<void> unlink_databases(const fs::path& path) {
  for (const std::string_view name : database_files) {
    if (auto unlinked = unlink_if_there(path / name); !unlinked) return unlinked;
  }
  return unlink_if_there(path / level_list_file);
}

/// Removes what killed writers left of files that were to become ours.
Result<void> unlink_half_made(const fs::path& path) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(path, failure)) {
    const std::string name = entry.path().filename().string();
    const auto becomes = [&name](std::string_view own) { return Directory::is_half_made(name, own); };
    if (std::ranges::any_of(own_files, becomes)) files.push_back(entry.path());
  }
  if (failure) return std::unexpected(system_error("cannot list", path, failure.value()));
  for (const fs::path& file : files) {
    if (auto unlinked = unlink_if_there(file); !unlinked) return unlinked;
  }
  return {};
}

/// Removes our files, and the directory if nothing else is in it. The caller holds the structure lock, and the segment
/// is gone.
Result<void> unlink_own_files(const fs::path& path) {
  // engine.json first, so that there is no engine without its journal. While the journal is there others of our files
  // are, so that its folder does not need to tell whose it is.
  if (auto unlinked = unlink_if_there(path / own_files.front()); !unlinked) return unlinked;
  if (auto unlinked = unlink_journal(path); !unlinked) return unlinked;
  if (auto unlinked = unlink_half_made(path); !unlinked) return unlinked;
  for (const std::string_view name : own_files) {
    if (auto unlinked = unlink_if_there(path / name); !unlinked) return unlinked;
  }
  ::rmdir(path.c_str());  // not if it holds other files, or is a mount point, or its parent is not ours to write
  return {};
}

/// C4. Its mode is the engine's directory's: the keeper may be any of the engine's users.
Result<void> make_journal_folder(const fs::path& folder, std::uint32_t mode) {
  if (::mkdir(folder.c_str(), mode) != 0 && (errno != EEXIST || !is_folder(folder))) {
    return std::unexpected(system_error("cannot make the directory", folder));
  }
  if (::chmod(folder.c_str(), mode) != 0) return std::unexpected(system_error("cannot set the mode of", folder));
  return {};
}

/// Removes the segment that `creating` names, if there is a note and it is of this directory.
Result<void> unlink_noted_segment(const fs::path& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  const auto text = read_file(path / "creating");
  const auto note = text ? CreationNote::of(*text) : std::nullopt;
  if (!note || note->directory != facts.st_ino) return {};
  return unlink_segment(note->segment, facts.st_uid);
}

constexpr long tmpfs_magic = 0x01021994;
constexpr long ramfs_magic = static_cast<long>(0x858458f6);

void warn_unless_memory(const fs::path& shm_dir) {
  struct statfs facts {};
  if (::statfs(shm_dir.c_str(), &facts) == 0 && facts.f_type != tmpfs_magic && facts.f_type != ramfs_magic) {
    log().warn("{} is no tmpfs: the segment will be written back to a disk, which is slow; choose another --shm-dir",
               shm_dir.string());
  }
}

}  // namespace

/// C1 and C2. A second creator waits here, then finds engine.json.
Result<File> EngineDirectory::make_and_lock(const fs::path& path, std::uint32_t mode, std::uint32_t file_mode) {
  for (int n = 0; n < most_replacements; ++n) {
    if (auto made = make_directory(path, mode); !made) return std::unexpected(made.error());
    auto locks = open_file(path / "lock", O_RDWR | O_CREAT, file_mode);
    if (!locks && locks.error().code() == ErrorCode::not_found) continue;  // removed since C1
    if (!locks) return locks;
    if (auto owned = check_owner(*locks, path / "lock", ::geteuid()); !owned) return std::unexpected(owned.error());
    if (auto locked = lock_byte(*locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
    if (is_lock_of(path, *locks)) return locks;
  }
  return std::unexpected(Error(ErrorCode::busy, "others make and remove an engine at this place", path.string()));
}

Result<void> EngineDirectory::create(const fs::path& given, const CreateOptions& options) {
  auto configuration = checked_configuration(options);
  if (!configuration) return std::unexpected(configuration.error());
  const auto full = full_path(given);
  if (!full) return std::unexpected(full.error());
  const fs::path& path = *full;
  std::error_code failure;
  configuration->shm_dir = fs::absolute(options.shm_dir, failure);
  if (failure) return std::unexpected(system_error("cannot find", options.shm_dir, failure.value()));
  const auto locks = make_and_lock(path, options.mode, configuration->segment.mode);
  if (!locks) return std::unexpected(locks.error());
  if (is_there(path / "engine.json")) {
    return std::unexpected(Error(ErrorCode::already_exists, "there is an engine already", path.string()));
  }
  if (auto cleaned = unlink_noted_segment(path); !cleaned) return cleaned;
  if (auto cleaned = unlink_journal(path); !cleaned) return cleaned;
  if (auto cleaned = unlink_databases(path); !cleaned) return cleaned;
  if (auto cleaned = unlink_if_there(path / flow_file); !cleaned) return cleaned;
  warn_unless_memory(configuration->shm_dir);
  EngineDirectory directory;
  directory.path_ = path;
  directory.configuration_ = *std::move(configuration);
  auto made = directory.make_contents(*locks, options.mode);
  if (!made) {
    // engine.json first: a kill from here on leaves a half-made engine, not a whole one without its segment.
    ::unlink((path / "engine.json").c_str());
    static_cast<void>(unlink_noted_segment(path));
    static_cast<void>(unlink_own_files(path));
  }
  return made;
}

Result<void> EngineDirectory::make_contents(const File& locks, std::uint32_t mode) const {
  // Both may be there from before, with another mode.
  if (::chmod(path_.c_str(), mode) != 0) return std::unexpected(system_error("cannot set the mode of", path_));
  if (::fchmod(locks.descriptor(), config().mode) != 0) {
    return std::unexpected(system_error("cannot set the mode of", path_ / "lock"));
  }
  struct stat facts {};
  if (::stat(path_.c_str(), &facts) != 0) return std::unexpected(system_error("cannot stat", path_));
  const CreationNote note{segment_path(), facts.st_ino};
  if (auto noted = write_file_durably(path_ / "creating", note.to_text(), config().mode); !noted) return noted;  // C3
  if (auto limited = write_generation_limit(generation_step); !limited) return limited;
  if (auto made = make_journal_folder(journal_path(), mode); !made) return made;                      // C4
  if (auto made = Segment::create(segment_path(), config(), 1, generation_step); !made) return made;  // C5
  if (auto written = write_file_durably(path_ / "engine.json", to_json(configuration_), config().mode); !written) {
    return written;  // C6
  }
  ::unlink((path_ / "creating").c_str());  // C7
  return {};
}

bool EngineDirectory::is_lock_of(const fs::path& path, const File& locks) noexcept {
  struct stat opened {};
  struct stat named {};
  return ::fstat(locks.descriptor(), &opened) == 0 && ::lstat((path / "lock").c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Result<File> EngineDirectory::lock_to_remove(const fs::path& path) {
  for (int n = 0; n < most_replacements; ++n) {
    auto locks = open_file(path / "lock", O_RDWR);
    if (!locks && locks.error().code() == ErrorCode::not_found && !is_there(path / "engine.json")) {
      return std::unexpected(no_engine(path));
    }
    if (!locks) return locks;
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) continue;  // removed since
    if (auto owned = check_owner(*locks, path / "lock", facts.st_uid); !owned) return std::unexpected(owned.error());
    const auto locked = try_lock_byte(*locks, structure_lock_byte);
    if (!locked) return std::unexpected(locked.error());
    if (!*locked) {
      return std::unexpected(Error(ErrorCode::busy, "another process makes or removes this engine right now",
                                   path.string() + "; wait for it, or end it, then try again"));
    }
    if (EngineDirectory::is_lock_of(path, *locks)) return locks;
  }
  return std::unexpected(Error(ErrorCode::busy, "others make and remove an engine at this place", path.string()));
}

Result<void> EngineDirectory::remove_half_made(const fs::path& path, const File& locks) {
  struct stat facts {};
  if (::fstat(locks.descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path / "lock"));
  // Ours is an empty lock file, and beside it another file of ours, or nothing at all.
  if (facts.st_size != 0 || (count_own_files(path) < 2 && foreign_file(path))) return std::unexpected(no_engine(path));
  if (auto unlinked = unlink_noted_segment(path); !unlinked) return unlinked;
  return unlink_own_files(path);
}

Result<void> EngineDirectory::remove_files() const {
  // The segment first: without engine.json nobody would know its name.
  if (auto unlinked = unlink_segment(segment_path(), owner_); !unlinked) return unlinked;
  return unlink_own_files(path_);
}

}  // namespace ringmill
