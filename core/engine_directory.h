// The engine's directory: its configuration, its lock file, its durable generation limit, and the name of its segment.
//
//   engine.json   written once, whole, by create(); its presence means that the engine exists
//   lock          byte locks: keeper, structure, one per participant (ipc/registry.h)
//   generation    the highest generation any cell may have had: durable before a cell gets there (hazard 2)
//   creating      names the segment of a creation that has not ended; the next create() or remove() cleans up after it
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <ringmill/engine.h>
#include <ringmill/error.h>

#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

class EngineDirectory {
 public:
  /// The absolute path that all of this works with. Error permission_denied: it is a symbolic link, and whoever may
  /// change that chooses the engine.
  static Result<std::filesystem::path> full_path(const std::filesystem::path& given);

  /// Makes directory, segment and configuration. Safe against a second creator and against death at any point.
  static Result<void> create(const std::filesystem::path& path, const CreateOptions& options);

  /// The lock file with its structure lock, for whoever removes what is here. Nobody makes, remakes or removes it
  /// meanwhile. Errors: not_found, busy (somebody else has the lock).
  static Result<File> lock_to_remove(const std::filesystem::path& full_path);
  /// Removes what a creation, or a removal, that died has left. The caller has the lock and has found no engine.
  /// Error not_found: nothing of that kind is here.
  static Result<void> remove_half_made(const std::filesystem::path& full_path, const File& locks);

  /// Reads the configuration. Refuses a symbolic link, a configuration that is not the directory's owner's, and a
  /// directory that others than its owner can write, unless its mode was made so (hazard 18).
  static Result<EngineDirectory> open(const std::filesystem::path& path);

  Result<File> open_locks() const;
  /// False: the engine of that lock file was removed since it was opened; there may be another one by now.
  static bool is_lock_of(const std::filesystem::path& path, const File& locks) noexcept;
  /// The segment, made anew where it is gone or was left by an earlier boot.
  Result<Segment> open_segment(const File& locks, bool dump_in_core) const;
  Result<Segment> open_segment_if_there() const;
  Result<Segment> open_segment_to_read() const;
  /// A keeper or a participant of another open file holds its lock. `locks` is the lock file, with no such lock of its
  /// own.
  bool is_in_use(const File& locks) const noexcept;
  /// Unlinks segment, files and directory. The caller has the lock, and has made sure that nobody minds.
  Result<void> remove_files() const;

  /// Makes `limit` durable.
  Result<void> write_generation_limit(std::uint64_t limit) const;

  const std::filesystem::path& path() const noexcept { return path_; }
  const SegmentConfig& config() const noexcept { return config_; }
  std::string engine_id() const;
  std::filesystem::path segment_path() const;

 private:
  static Error no_engine(const std::filesystem::path& path);
  static Result<void> check_owner(const File& file, const std::filesystem::path& path, uid_t owner);
  static Result<File> make_and_lock(const std::filesystem::path& path, std::uint32_t mode, std::uint32_t file_mode);
  Result<void> make_contents(const File& locks, std::uint32_t mode) const;
  Result<Segment> make_segment_anew(const File& locks, bool dump_in_core) const;
  Result<std::uint64_t> read_generation_limit() const;

  std::filesystem::path path_;
  std::filesystem::path shm_dir_;
  SegmentConfig config_;
  uid_t owner_ = 0;  // of the directory: the engine's files are theirs
  gid_t group_ = 0;
};

/// The limit grows by this much at a time: 2^26 lives of a cell.
inline constexpr std::uint64_t generation_step = std::uint64_t{1} << 26;

}  // namespace ringmill
