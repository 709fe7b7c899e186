// An engine's directory, opened: its path, its configuration, its lock file, its durable generation limit, and the
// shared memory that belongs to it. core/base/file_names.h lists the files.
//
// Making, removing, adopting and rebuilding an engine are functions of core/engine/ on top of this class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "core/base/file_names.h"
#include "core/instance/engine_configuration.h"
#include "core/instance/engine_identity.h"
#include "core/journal/geometry.h"
#include "ipc/directory.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

class EngineFiles {
 public:
  /// The absolute path that all of this works with, with a name at its end.
  static Result<std::filesystem::path> full_path(const std::filesystem::path& given);

  /// What the directory is opened for. `use` refuses a copy of an engine; `look` lets its journal and letters be read,
  /// `mend` is for what adopts or removes it. All but `look` refuse root the engine of another user, which could make
  /// root's rights do what that user chooses.
  enum class For { use, look, mend };
  /// Reads the configuration. Refuses a symbolic link, a configuration that is not the directory's owner's alone to
  /// write, and a directory that others than its owner can write, unless its mode was made so (hazard 18 in
  /// docs/hazards.md).
  static Result<EngineFiles> open(const std::filesystem::path& path, For purpose = For::use);
  static Result<EngineFiles> open(const Directory& folder, For purpose = For::use);
  /// For what writes a configuration: `home` is what find_home() says of `folder`.
  EngineFiles(Directory folder, EngineConfiguration configuration, const FoundHome& home) noexcept;

  /// For messages; what is in the directory is reached through folder().
  const std::filesystem::path& path() const noexcept { return folder_.path(); }
  const Directory& folder() const noexcept { return folder_; }
  const EngineConfiguration& configuration() const noexcept { return configuration_; }
  const SegmentConfig& config() const noexcept { return configuration_.segment; }
  std::string engine_id() const;
  const FoundHome& home() const noexcept { return home_; }
  /// Copied, restored, or moved from another file system since the engine was made, so that its id and its shared
  /// memory are not its own.
  bool is_copy() const noexcept { return is_copy_; }
  Result<void> write_configuration() const;
  /// Replaces a file of the engine, which then belongs to the directory's group where this user may give it that.
  Result<void> write_durably(std::string_view name, std::string_view text, std::uint32_t mode) const;

  const JournalGeometry& journal_geometry() const noexcept { return configuration_.journal; }
  /// The id in the journal's blocks.
  std::uint64_t journal_id() const noexcept { return configuration_.journal_id; }
  /// The folder of the journal's files; for messages.
  std::filesystem::path journal_path() const { return folder_.path_of(journal_folder); }
  /// Errors: not_found; permission_denied (a link, or open to more users than the engine).
  Result<Directory> open_journal_folder() const;

  Result<File> open_locks() const;
  /// The lock file to ask what holds which lock: opened to read, for a read-only file system. Empty where this user may
  /// not read it: then all that may live count as living.
  Result<File> open_locks_to_look() const;
  /// A keeper or a participant of another open file holds its lock. `locks` is the lock file, with no such lock of its
  /// own.
  bool is_in_use(const File& locks) const noexcept;

  /// Makes `limit` durable.
  Result<void> write_generation_limit(std::uint64_t limit) const;
  Result<std::uint64_t> read_generation_limit() const;

  std::filesystem::path segment_path() const;
  /// The segment that was made last for this directory. Errors: not_found; stale (left by an earlier boot, or out of
  /// date: another one was made since); corrupt, incompatible, permission_denied, system.
  Result<Segment> open_segment_if_there() const;
  Result<Segment> open_segment_to_read() const;
  /// The same; says whether it is out of date.
  Result<Segment> map_segment(Segment::Access access, bool dump_in_core, bool* is_out_of_date = nullptr) const;
  /// Of the engine, and of this directory, but it may be out of date.
  Result<Segment> map_any_segment(Segment::Access access, bool dump_in_core) const;
  /// The memory is the one that was made last for this directory. Called with a lock byte held: from then on no other
  /// is made. Errors: stale (says what happened), corrupt, system.
  Result<void> check_memory(const Segment& segment) const;

  /// The folder of shared memory, if it is one where no other user can swap what this one makes. Errors:
  /// permission_denied; invalid_argument (no tmpfs).
  Result<Directory> open_memory_folder() const;
  /// The name for the next memory: another one where another user's file has the last one's.
  Result<std::string> free_segment_name(const Directory& folder) const;
  /// Another user's file stands where the memory should be.
  bool is_name_taken() const;
  /// The making of the memory that was made last; 0: none was noted. Errors: corrupt, system.
  Result<std::uint64_t> noted_making() const;
  /// Notes durably which memory is the one that was made last, before it gets its name.
  Result<void> write_memory_note(std::uint64_t making, const std::string& segment) const;

 private:
  /// Nothing: none was noted for this engine.
  Result<std::optional<MemoryNote>> read_memory_note() const;
  Error copy_error() const;
  Result<void> check_sizes(const Segment& segment) const;

  Directory folder_;
  EngineConfiguration configuration_;
  FoundHome home_;
  bool is_copy_ = false;
};

/// There is none at `path`; says how to make one.
Error no_engine_at(const std::filesystem::path& path);

/// The limit grows by this much at a time: 2^26 generations of a cell.
inline constexpr std::uint64_t generation_step = std::uint64_t{1} << 26;

}  // namespace ringmill
