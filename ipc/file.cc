#include "ipc/file.h"

#include <fcntl.h>
#include <signal.h>
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

File File::above_standard(int descriptor) noexcept {
  constexpr int first = STDERR_FILENO + 1;
  if (descriptor < 0 || descriptor >= first) return File(descriptor);
  const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, first);
  const int number = errno;
  ::close(descriptor);
  errno = number;
  return File(moved);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

namespace {

sigset_t file_size_signal() noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGXFSZ);
  return set;
}

/// What to do where the process itself is bounded.
const char* advice_for(int number) noexcept {
  if (number == EFBIG) return "; raise the limit on the size of files (ulimit -f)";
  if (number == EMFILE) return "; raise the limit on open files (ulimit -n)";
  return "";
}

}  // namespace

NoFileSizeSignal::NoFileSizeSignal() noexcept {
  const sigset_t ours = file_size_signal();
  sigset_t former;
  if (::pthread_sigmask(SIG_BLOCK, &ours, &former) == 0) was_blocked_ = ::sigismember(&former, SIGXFSZ) == 1;
}

NoFileSizeSignal::~NoFileSizeSignal() {
  if (was_blocked_) return;
  const int number = errno;
  const sigset_t ours = file_size_signal();
  constexpr timespec at_once{};
  while (::sigtimedwait(&ours, nullptr, &at_once) < 0 && errno == EINTR) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
  errno = number;
}

std::string error_text(int number) {
  const char* const text = ::strerrordesc_np(number);
  return text != nullptr ? text : "error " + std::to_string(number);
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
    case EFBIG:
    case ENOMEM:
      code = ErrorCode::no_space;
      break;
    default:
      break;
  }
  return Error(code, call, path.string() + ": " + error_text(number) + advice_for(number), number);
}

Result<void> write_all(const File& file, std::string_view text, const std::filesystem::path& path) {
  const NoFileSizeSignal no_signal;
  while (!text.empty()) {
    const ssize_t written = ::write(file.descriptor(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(system_error("cannot write", path));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

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

Result<std::string> read_file(const File& file, const std::filesystem::path& path, std::uint64_t most_bytes) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(file.descriptor(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(system_error("cannot read", path));
    if (got == 0) return text;
    if (static_cast<std::uint64_t>(got) > most_bytes - text.size()) {
      return std::unexpected(Error(ErrorCode::corrupt, "this file is larger than it can be",
                                   path.string() + ": at most " + std::to_string(most_bytes) + " bytes"));
    }
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<File> open_file(const std::filesystem::path& path, int flags, std::uint32_t mode) {
  File file = File::above_standard(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return std::unexpected(system_error("cannot open", path));
  return file;
}

Result<std::string> read_file(const std::filesystem::path& path) {
  const auto file = open_file(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  return read_file(*file, path);
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

Result<bool> try_lock_byte(const File& file, std::uint64_t byte) { return try_lock_bytes(file, byte, 1); }

Result<bool> try_lock_bytes(const File& file, std::uint64_t first, std::uint64_t count) {
  struct flock lock = one_byte(F_WRLCK, first);
  lock.l_len = static_cast<off_t>(count);
  if (::fcntl(file.descriptor(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return std::unexpected(system_error("cannot lock", "the engine's lock file"));
}

Result<bool> try_share_byte(const File& file, std::uint64_t byte) {
  struct flock lock = one_byte(F_RDLCK, byte);
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

void unlock_byte(const File& file, std::uint64_t byte) noexcept { unlock_bytes(file, byte, 1); }

void unlock_bytes(const File& file, std::uint64_t first, std::uint64_t count) noexcept {
  struct flock lock = one_byte(F_UNLCK, first);
  lock.l_len = static_cast<off_t>(count);
  ::fcntl(file.descriptor(), F_OFD_SETLK, &lock);
}

bool is_byte_locked_by_other(const File& file, std::uint64_t byte) noexcept {
  return is_any_byte_locked_by_other(file, byte, 1);
}

bool is_any_byte_locked_by_other(const File& file, std::uint64_t first, std::uint64_t count) noexcept {
  struct flock lock = one_byte(F_WRLCK, first);
  lock.l_len = static_cast<off_t>(count);
  // If the question fails, report the process as alive: a living one must never be called dead.
  if (::fcntl(file.descriptor(), F_OFD_GETLK, &lock) != 0) return true;
  return lock.l_type != F_UNLCK;
}

}  // namespace ringmill
