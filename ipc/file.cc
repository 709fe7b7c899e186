#include "ipc/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace ringmill {

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Error system_error(const char* call, const std::filesystem::path& path, int number) {
  ErrorCode code = ErrorCode::system;
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      code = ErrorCode::not_found;
      break;
    case EEXIST:
    case ENOTEMPTY:
      code = ErrorCode::already_exists;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
      code = ErrorCode::permission_denied;
      break;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
      code = ErrorCode::no_space;
      break;
    default:
      break;
  }
  char text[128];
  return Error(code, call, path.string() + ": " + ::strerror_r(number, text, sizeof text));
}

Result<File> open_file(const std::filesystem::path& path, int flags, std::uint32_t mode) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode);
  if (descriptor < 0) return std::unexpected(system_error("cannot open", path));
  return File(descriptor);
}

namespace {

Result<void> write_all(const File& file, const std::string& text, const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(file.descriptor(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(system_error("cannot write", path));
    done += static_cast<std::size_t>(written);
  }
  return {};
}

}  // namespace

Result<std::size_t> read_at(int descriptor, std::uint64_t offset, std::span<std::byte> to,
                            const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < to.size()) {
    const ssize_t got = ::pread(descriptor, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(system_error("cannot read", path));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<void> sync_directory(const std::filesystem::path& directory) {
  auto opened = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!opened) return std::unexpected(opened.error());
  if (::fsync(opened->descriptor()) != 0) return std::unexpected(system_error("cannot sync", directory));
  return {};
}

Result<void> write_file_durably(const std::filesystem::path& path, const std::string& text, std::uint32_t mode) {
  const std::filesystem::path fresh = path.string() + ".new";
  ::unlink(fresh.c_str());
  auto file = open_file(fresh, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (!file) return std::unexpected(file.error());
  if (::fchmod(file->descriptor(), mode) != 0) return std::unexpected(system_error("cannot set the mode of", fresh));
  if (auto written = write_all(*file, text, fresh); !written) return written;
  if (::fsync(file->descriptor()) != 0) return std::unexpected(system_error("cannot sync", fresh));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return std::unexpected(system_error("cannot rename to", path));
  return sync_directory(path.parent_path());
}

Result<std::string> read_file(const std::filesystem::path& path) {
  const auto file = open_file(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  return read_file(*file, path);
}

Result<std::string> read_file(const File& file, const std::filesystem::path& path) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(file.descriptor(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(system_error("cannot read", path));
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

namespace {

struct flock one_byte(short type, std::uint64_t byte) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = 1;
  return lock;
}

}  // namespace

Result<bool> try_lock_byte(const File& file, std::uint64_t byte) {
  struct flock lock = one_byte(F_WRLCK, byte);
  if (::fcntl(file.descriptor(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return std::unexpected(system_error("cannot lock", "the engine's lock file"));
}

Result<void> lock_byte(const File& file, std::uint64_t byte) {
  struct flock lock = one_byte(F_WRLCK, byte);
  while (::fcntl(file.descriptor(), F_OFD_SETLKW, &lock) != 0) {
    if (errno != EINTR) return std::unexpected(system_error("cannot lock", "the engine's lock file"));
  }
  return {};
}

void unlock_byte(const File& file, std::uint64_t byte) noexcept {
  struct flock lock = one_byte(F_UNLCK, byte);
  ::fcntl(file.descriptor(), F_OFD_SETLK, &lock);
}

bool is_byte_locked_by_other(const File& file, std::uint64_t byte) noexcept {
  struct flock lock = one_byte(F_WRLCK, byte);
  // Whoever cannot be asked is taken to live: never call the living dead.
  if (::fcntl(file.descriptor(), F_OFD_GETLK, &lock) != 0) return true;
  return lock.l_type != F_UNLCK;
}

}  // namespace ringmill
