#include "ipc/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "ipc/random.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view half_made_ending = ".new";
constexpr std::size_t random_digits = 16;

/// The system's functions want a zero behind a name; a name with a slash would be a path. Allocates nothing: the keeper
/// looks at names while there is no memory.
class Name {
 public:
  explicit Name(std::string_view text) noexcept
      : is_one_(!text.empty() && text.size() <= NAME_MAX && text != "." && text != ".." &&
                text.find('/') == std::string_view::npos && text.find('\0') == std::string_view::npos) {
    if (is_one_) text.copy(text_.data(), text.size());
  }
  const char* c_str() const noexcept { return text_.data(); }
  bool is_one() const noexcept { return is_one_; }

 private:
  std::array<char, NAME_MAX + 1> text_{};
  bool is_one_;
};

Error not_a_name(const fs::path& path) { return Error(ErrorCode::invalid_argument, "not a name", path.string()); }

/// Returns the path without the slashes that would make the system follow a link in its last part.
fs::path without_end_slashes(const fs::path& given) {
  fs::path path = given;
  while (path.has_relative_path() && (!path.has_filename() || path.filename() == ".") && path != path.parent_path()) {
    path = path.parent_path();
  }
  return path.empty() ? fs::path(".") : path;
}

Error is_link(const fs::path& path) {
  return Error(ErrorCode::permission_denied, "this is a symbolic link",
               path.string() + "; ringmill did not make it: remove it, or move it away");
}

Error of_another_user(const fs::path& path) {
  return Error(ErrorCode::permission_denied, "this file belongs to another user than the engine",
               path.string() + "; ringmill did not make it: remove it, or move it away");
}

const char* kind_of(mode_t mode) noexcept {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// open() says ELOOP of a link, ENXIO of a socket or of a pipe that nothing reads.
Error open_error(const fs::path& path, int number) {
  if (number == ELOOP) return is_link(path);
  if (number == ENXIO || number == EISDIR) {
    return Error(ErrorCode::permission_denied, "this is not a plain file",
                 path.string() + "; ringmill did not make it: remove it, or move it away");
  }
  return system_error("cannot open", path, number);
}

/// Waiting was refused for the opening alone: io_uring takes O_NONBLOCK on a file for a wish.
Result<void> let_it_wait(const File& file, const fs::path& path) {
  const int flags = ::fcntl(file.descriptor(), F_GETFL);
  if (flags >= 0 && ::fcntl(file.descriptor(), F_SETFL, flags & ~O_NONBLOCK) == 0) return {};
  return std::unexpected(system_error("cannot open", path));
}

Result<std::string> random_word() {
  const auto number = random_number();
  if (!number) return std::unexpected(number.error());
  std::string word;
  for (std::size_t n = 0; n < random_digits; ++n) word += "0123456789abcdef"[*number >> (4 * n) & 0xf];
  return word;
}

}  // namespace

Result<Directory> Directory::of(File file, fs::path path) {
  auto opened = std::make_shared<Opened>();
  opened->file = std::move(file);
  opened->path = std::move(path);
  if (::fstat(opened->file.descriptor(), &opened->facts) != 0) {
    return std::unexpected(system_error("cannot stat", opened->path));
  }
  return Directory(std::move(opened));
}

Result<Directory> Directory::open(const fs::path& given, Links links) {
  const fs::path path = without_end_slashes(given);
  const int follow = links == Links::refused ? O_NOFOLLOW : 0;
  File file = File::above_standard(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow));
  if (file) return of(std::move(file), path);
  const int number = errno;
  // With O_DIRECTORY a link, too, is ENOTDIR.
  struct stat facts {};
  if (number == ENOTDIR && ::lstat(path.c_str(), &facts) == 0) {
    if (S_ISLNK(facts.st_mode)) {
      return std::unexpected(Error(ErrorCode::permission_denied, "the directory is a symbolic link",
                                   path.string() + "; name the directory itself"));
    }
    return std::unexpected(Error(ErrorCode::already_exists, "not a directory", path.string() + "; name a new one"));
  }
  return std::unexpected(system_error("cannot open the directory", path, number));
}

Result<void> Directory::make(const fs::path& given, std::uint32_t mode) {
  const fs::path path = without_end_slashes(given);
  if (::mkdir(path.c_str(), mode) == 0) return {};
  return std::unexpected(system_error("cannot make the directory", path));
}

Result<fs::path> Directory::lasting_path() const {
  const auto leads_here = [this](const fs::path& path) {
    struct stat facts {};
    return ::stat(path.c_str(), &facts) == 0 && facts.st_dev == device() && facts.st_ino == inode();
  };
  fs::path own = "/proc/self/fd/" + std::to_string(descriptor());
  if (leads_here(own)) return own;
  if (leads_here(path())) return fs::absolute(path());
  return std::unexpected(Error(ErrorCode::not_found, "the directory was renamed or replaced", path().string()));
}

Result<struct stat> Directory::facts() const {
  struct stat facts {};
  if (::fstat(descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path()));
  return facts;
}

Result<void> Directory::set_mode(std::uint32_t mode) const {
  if (::fchmod(descriptor(), mode) == 0) return {};
  return std::unexpected(system_error("cannot set the mode of", path()));
}

Result<void> Directory::check_writable() const {
  if (::faccessat(descriptor(), ".", W_OK | X_OK, AT_EACCESS) == 0) return {};
  return std::unexpected(system_error("this directory cannot be written to", path()));
}

bool Directory::lets_in(uid_t owner) const noexcept {
  return owner == opened_->facts.st_uid || owner == ::geteuid() || owner == 0 || (opened_->facts.st_mode & 0022) != 0;
}

Result<std::optional<struct stat>> Directory::look(std::string_view given) const {
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path_of(given)));
  struct stat facts {};
  if (::fstatat(descriptor(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0) return facts;
  if (errno == ENOENT) return std::nullopt;
  return std::unexpected(system_error("cannot stat", path_of(given)));
}

bool Directory::has(std::string_view name) const noexcept {
  const auto facts = look(name);
  return facts && *facts;
}

bool Directory::has_folder(std::string_view name) const noexcept {
  const auto facts = look(name);
  return facts && *facts && S_ISDIR((*facts)->st_mode);
}

bool Directory::is_named(std::string_view name, const File& file) const noexcept {
  struct stat opened {};
  const auto named = look(name);
  return named && *named && ::fstat(file.descriptor(), &opened) == 0 && opened.st_dev == (*named)->st_dev &&
         opened.st_ino == (*named)->st_ino;
}

Result<Directory::Origin> Directory::origin_of(std::string_view given) const {
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path_of(given)));
  struct statx facts {};
  if (::statx(descriptor(), name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_INO | STATX_BTIME, &facts) != 0) {
    return std::unexpected(system_error("cannot stat", path_of(given)));
  }
  constexpr std::uint64_t ns_per_second = 1'000'000'000;
  Origin origin{.device = std::uint64_t{facts.stx_dev_major} << 32 | facts.stx_dev_minor, .inode = facts.stx_ino};
  origin.is_plain_file = S_ISREG(facts.stx_mode);
  if ((facts.stx_mask & STATX_BTIME) != 0) {
    origin.born_ns = static_cast<std::uint64_t>(facts.stx_btime.tv_sec) * ns_per_second + facts.stx_btime.tv_nsec;
  }
  return origin;
}

void Directory::narrow_mode(std::string_view given, std::uint32_t mode) const noexcept {
  const Name name(given);
  if (!name.is_one()) return;
  // O_PATH: to close it drops no POSIX lock, and the link in /proc leads to this very file.
  const File file = File::above_standard(::openat(descriptor(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  if (!file || ::fstat(file.descriptor(), &facts) != 0 || !S_ISREG(facts.st_mode)) return;
  if (facts.st_uid != ::geteuid() || (facts.st_mode & 0777 & ~mode) == 0) return;
  const std::string own = "/proc/self/fd/" + std::to_string(file.descriptor());
  [[maybe_unused]] const int failed = ::chmod(own.c_str(), facts.st_mode & mode);
}

Result<std::vector<std::string>> Directory::names() const {
  // A description of its own: the place within the listing belongs to it.
  const int again = File::above_standard(::openat(descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)).release();
  DIR* const listing = again >= 0 ? ::fdopendir(again) : nullptr;
  if (listing == nullptr) {
    const int number = errno;
    if (again >= 0) ::close(again);
    return std::unexpected(system_error("cannot list", path(), number));
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int number = errno;
  ::closedir(listing);
  if (number != 0) return std::unexpected(system_error("cannot list", path(), number));
  return names;
}

Result<File> Directory::open_plain_file(std::string_view given, int flags, struct stat& facts) const {
  const fs::path path = path_of(given);
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path));
  File file = File::above_standard(
      ::openat(descriptor(), name.c_str(), (flags & ~O_CREAT) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) return std::unexpected(open_error(path, errno));
  if (::fstat(file.descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  if (!S_ISREG(facts.st_mode)) {
    return std::unexpected(Error(
        ErrorCode::permission_denied, "this is not a plain file",
        path.string() + " is " + kind_of(facts.st_mode) + "; ringmill did not make it: remove it, or move it away"));
  }
  if (auto waits = let_it_wait(file, path); !waits) return std::unexpected(waits.error());
  return file;
}

Result<File> Directory::open_file(std::string_view name, int flags, Owners owners, std::uint64_t most_bytes) const {
  struct stat facts {};
  auto file = open_plain_file(name, flags, facts);
  if (!file) return file;
  const bool is_owned = owners == Owners::let_in ? lets_in(facts.st_uid) : facts.st_uid == owner();
  if (!is_owned) return std::unexpected(of_another_user(path_of(name)));
  if (owners == Owners::alone && (facts.st_mode & 0022) != 0) {
    return std::unexpected(
        Error(ErrorCode::permission_denied, "users other than the owner can write this file",
              path_of(name).string() + "; check its content, then `chmod go-w " + path_of(name).string() + "`"));
  }
  if (static_cast<std::uint64_t>(facts.st_size) > most_bytes) {
    return std::unexpected(Error(ErrorCode::corrupt, "this file is larger than it can be",
                                 path_of(name).string() + " has " + std::to_string(facts.st_size) + " bytes, at most " +
                                     std::to_string(most_bytes) +
                                     "; ringmill did not write that: restore the file from a backup"));
  }
  return file;
}

Result<File> Directory::open_any_file(std::string_view name, int flags) const {
  struct stat facts {};
  return open_plain_file(name, flags, facts);
}

Result<File> Directory::open_file_of(uid_t owner, std::string_view name, int flags) const {
  struct stat facts {};
  auto file = open_plain_file(name, flags, facts);
  if (file && facts.st_uid != owner) return std::unexpected(of_another_user(path_of(name)));
  return file;
}

Result<std::string> Directory::read_small_file(std::string_view name, Owners owners, std::uint64_t most_bytes) const {
  const auto file = open_file(name, O_RDONLY, owners, most_bytes);
  if (!file) return std::unexpected(file.error());
  return read_file(*file, path_of(name), most_bytes);
}

Result<File> Directory::make_file(std::string_view given, std::uint32_t mode, int flags) const {
  const fs::path path = path_of(given);
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path));
  File file = File::above_standard(
      ::openat(descriptor(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags, mode & 0666));
  if (!file) return std::unexpected(system_error("cannot make", path));
  if (::fchmod(file.descriptor(), mode) == 0) return file;
  const int number = errno;
  ::unlinkat(descriptor(), name.c_str(), 0);
  return std::unexpected(system_error("cannot set the mode of", path, number));
}

Result<File> Directory::make_nameless_file(std::uint32_t mode, int flags) const {
  File file = File::above_standard(::openat(descriptor(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, mode));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL) {
    return std::unexpected(system_error("cannot make a file in", path()));
  }
  const auto name = half_made_name("probe");
  if (!name) return std::unexpected(name.error());
  auto named = make_file(*name, mode, flags);
  // Also where making it failed: a file system without O_DIRECT makes the file, then refuses to open it.
  static_cast<void>(remove_if_there(*name));
  return named;
}

Result<std::string> Directory::half_made_name(std::string_view name) {
  const auto word = random_word();
  if (!word) return std::unexpected(word.error());
  return std::string(name).append(".").append(*word).append(half_made_ending);
}

bool Directory::is_half_made(std::string_view file, std::string_view name) noexcept {
  if (!file.starts_with(name) || !file.ends_with(half_made_ending)) return false;
  if (file.size() != name.size() + 1 + random_digits + half_made_ending.size()) return false;
  const std::string_view word = file.substr(name.size() + 1, random_digits);
  return file[name.size()] == '.' && word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> Directory::write_file_durably(std::string_view name, std::string_view text, std::uint32_t mode,
                                           std::optional<Owner> owner) const {
  const auto all = names();
  if (!all) return std::unexpected(all.error());
  for (const std::string& left : *all) {
    // Left by a writer that died. A file that this user may not remove stays: it is never read.
    if (is_half_made(left, name)) static_cast<void>(remove(left));
  }
  const auto fresh = half_made_name(name);
  if (!fresh) return std::unexpected(fresh.error());
  const auto write_and_name = [&]() -> Result<void> {
    const auto file = make_file(*fresh, mode);
    if (!file) return std::unexpected(file.error());
    const fs::path path = path_of(*fresh);
    if (owner) {
      if (auto given = give_file(*file, *owner, path); !given) return given;
    }
    if (auto written = write_all(*file, text, path); !written) return written;
    if (::fsync(file->descriptor()) != 0) return std::unexpected(system_error("cannot sync", path));
    return rename(*fresh, name);
  };
  if (auto named = write_and_name(); !named) {
    static_cast<void>(remove_if_there(*fresh));
    return named;
  }
  return sync();
}

Result<bool> Directory::make_empty_file(std::string_view given, std::uint32_t mode, std::optional<Owner> owner) const {
  const fs::path path = path_of(given);
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path));
  if (has(given)) return false;
  const auto fresh = half_made_name(given);
  if (!fresh) return std::unexpected(fresh.error());
  {
    const auto file = make_file(*fresh, mode);
    if (!file) return std::unexpected(file.error());
    if (owner) {
      if (auto handed = give_file(*file, *owner, path); !handed) {
        static_cast<void>(remove_if_there(*fresh));
        return std::unexpected(handed.error());
      }
    }
  }
  const int linked = ::linkat(descriptor(), fresh->c_str(), descriptor(), name.c_str(), 0);
  const int number = errno;
  static_cast<void>(remove_if_there(*fresh));
  if (linked == 0) return true;
  if (number == EEXIST) return false;
  return std::unexpected(system_error("cannot make", path, number));
}

Result<void> Directory::rename(std::string_view from, std::string_view to) const {
  const Name old_name(from);
  const Name new_name(to);
  if (!old_name.is_one() || !new_name.is_one()) return std::unexpected(not_a_name(path_of(from)));
  if (::renameat(descriptor(), old_name.c_str(), descriptor(), new_name.c_str()) == 0) return {};
  return std::unexpected(system_error("cannot rename to", path_of(to)));
}

Result<void> Directory::remove(std::string_view given) const {
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path_of(given)));
  if (::unlinkat(descriptor(), name.c_str(), 0) == 0) return {};
  return std::unexpected(system_error("cannot remove", path_of(given)));
}

Result<void> Directory::remove_if_there(std::string_view name) const {
  auto removed = remove(name);
  if (!removed && removed.error().code() == ErrorCode::not_found) return {};
  return removed;
}

Result<void> Directory::sync() const {
  if (::fsync(descriptor()) == 0) return {};
  return std::unexpected(system_error("cannot sync", path()));
}

Result<Directory> Directory::open_folder(std::string_view given) const {
  const fs::path path = path_of(given);
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path));
  File file =
      File::above_standard(::openat(descriptor(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (file) return of(std::move(file), path);
  const int number = errno;
  if (number == ENOTDIR || number == ELOOP) {
    return std::unexpected(Error(ErrorCode::permission_denied, "this is not a folder, or a link to one",
                                 path.string() + "; ringmill did not make it: remove it, or move it away"));
  }
  return std::unexpected(system_error("cannot open", path, number));
}

Result<void> Directory::make_folder(std::string_view given, std::uint32_t mode) const {
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path_of(given)));
  if (::mkdirat(descriptor(), name.c_str(), mode) == 0) return {};
  return std::unexpected(system_error("cannot make the directory", path_of(given)));
}

Result<void> Directory::remove_folder(std::string_view given) const {
  const Name name(given);
  if (!name.is_one()) return std::unexpected(not_a_name(path_of(given)));
  if (::unlinkat(descriptor(), name.c_str(), AT_REMOVEDIR) == 0) return {};
  return std::unexpected(system_error("cannot remove", path_of(given)));
}

Result<void> Directory::remove_itself() const {
  const File parent = File::above_standard(::openat(descriptor(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return std::unexpected(system_error("cannot open", path() / ".."));
  const Name name(fs::absolute(path()).lexically_normal().filename().string());
  struct stat named {};
  if (!name.is_one() || ::fstatat(parent.descriptor(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      named.st_dev != device() || named.st_ino != inode()) {
    return std::unexpected(Error(ErrorCode::not_found, "the directory was renamed or replaced", path().string()));
  }
  if (::unlinkat(parent.descriptor(), name.c_str(), AT_REMOVEDIR) == 0) return {};
  return std::unexpected(system_error("cannot remove", path()));
}

Result<void> give_file(const File& file, const Directory::Owner& owner, const fs::path& path) {
  if (::fchown(file.descriptor(), owner.user, owner.group) == 0) return {};
  if (::fchown(file.descriptor(), owner.user, static_cast<gid_t>(-1)) == 0) return {};
  return std::unexpected(system_error("cannot give to its owner", path));
}

}  // namespace ringmill
