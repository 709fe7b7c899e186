// Descriptors, locks and the errors of system calls.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <ringmill/error.h>

namespace ringmill {

/// Owns one descriptor.
class File {
 public:
  File() noexcept = default;
  explicit File(int descriptor) noexcept : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  /// Owns what a system call gave, moved to 3 or above: in a process whose descriptors 0 to 2 are closed its messages
  /// would be written into what took their place (hazard 28 in docs/hazards.md). Empty where the call, or the move,
  /// failed: errno says why.
  static File above_standard(int descriptor) noexcept;

  int descriptor() const noexcept { return descriptor_; }
  /// Gives the descriptor up to the caller.
  int release() noexcept { return std::exchange(descriptor_, -1); }
  explicit operator bool() const noexcept { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// While one lives, a write beyond the process's limit on the size of files (RLIMIT_FSIZE) is the error EFBIG for its
/// thread. The signal SIGXFSZ, which comes with it, would end a process that has only opened an engine. Every write to
/// a file has one around it, or runs on a thread of ours, which block all signals. It begins and ends on one thread.
class NoFileSizeSignal {
 public:
  NoFileSizeSignal() noexcept;
  NoFileSizeSignal(const NoFileSizeSignal&) = delete;
  NoFileSizeSignal& operator=(const NoFileSizeSignal&) = delete;
  ~NoFileSizeSignal();

 private:
  bool was_blocked_ = true;
};

/// Returns the text of an errno, in English, whatever the program's locale is.
std::string error_text(int number);

/// The error of the system call that just failed: "open: PATH: No such file or directory". errno decides the code.
Error system_error(const char* call, const std::filesystem::path& path, int number = errno);

/// Reads to the end of `to`, or of the file; how much there was. `path` is for messages.
Result<std::size_t> read_at(int descriptor, std::uint64_t offset, std::span<std::byte> to,
                            const std::filesystem::path& path);

/// The rest of an open file. Error corrupt: it has more than `most_bytes`. `path` is for messages.
Result<std::string> read_file(const File& file, const std::filesystem::path& path,
                              std::uint64_t most_bytes = std::uint64_t{INT64_MAX});
/// Writes all of `text` at the file's place. `path` is for messages.
Result<void> write_all(const File& file, std::string_view text, const std::filesystem::path& path);

// Files that are no engine's, at paths that a user or the system names. Those of an engine: ipc/directory.h.

/// Opens with O_CLOEXEC | O_NOFOLLOW added.
Result<File> open_file(const std::filesystem::path& path, int flags, std::uint32_t mode = 0);
Result<std::string> read_file(const std::filesystem::path& path);

/// Locks on single bytes of a file, held by the open file description: the kernel drops them when the last process that
/// has it is gone. Locks of one File never conflict with each other; ask through another File whether a byte is held.
Result<bool> try_lock_byte(const File& file, std::uint64_t byte);
/// A lock that others may hold as well; it keeps exclusive ones out.
Result<bool> try_share_byte(const File& file, std::uint64_t byte);
/// All of them, or none.
Result<bool> try_lock_bytes(const File& file, std::uint64_t first, std::uint64_t count);
void unlock_bytes(const File& file, std::uint64_t first, std::uint64_t count) noexcept;
Result<void> lock_byte(const File& file, std::uint64_t byte);
void unlock_byte(const File& file, std::uint64_t byte) noexcept;
bool is_byte_locked_by_other(const File& file, std::uint64_t byte) noexcept;
/// The same of any of `count` bytes.
bool is_any_byte_locked_by_other(const File& file, std::uint64_t first, std::uint64_t count) noexcept;

}  // namespace ringmill
