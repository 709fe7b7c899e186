// The engine's directory: its configuration, its lock file, its durable generation limit, and the name of its segment.
//
//   engine.json   written once, whole, by create(); its presence means that the engine exists
//   lock          byte locks: keeper, structure, one per participant (ipc/registry.h)
//   memory        which shared memory was made last (core/instance/engine_identity.h)
//   generation    the highest generation any cell may have had: durable before a cell gets there (hazard 2
//                 in docs/hazards.md)
//   creating      names the segment of a creation that has not ended; the next create() or remove() cleans up after it
//   flow-control.json  what is paused or limited (core/flow_control/flow_rules.h)
//   dead-letters.db (and -wal, -shm)  what is left of jobs that ended badly (core/dead_letters/store.h)
//   levels.json   the levels made at run time (core/levels/level_list.h)
//   journal/      the journal's segments (docs/journal-format.md), and damaged blocks that a recovery has kept aside
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <ringmill/error.h>
#include <ringmill/options.h>

#include "core/instance/engine_configuration.h"
#include "core/instance/engine_identity.h"
#include "core/journal/file_names.h"
#include "core/journal/recovery_report.h"
#include "core/journal/writer.h"
#include "ipc/directory.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

inline constexpr const char* configuration_file = "engine.json";
inline constexpr const char* generation_file = "generation";
inline constexpr const char* creation_note_file = "creating";

class EngineDirectory {
 public:
  /// The absolute path that all of this works with, with a name at its end.
  static Result<std::filesystem::path> full_path(const std::filesystem::path& given);

  /// Makes directory, segment and configuration. Safe against a second creator and against death at any point.
  static Result<void> create(const std::filesystem::path& path, const CreateOptions& options);

  /// A directory, and its lock file with the structure lock: nothing makes, remakes or removes an engine in it
  /// meanwhile.
  struct Locked {
    Directory folder;
    File locks;
  };
  /// For the removal of what is here. Errors: not_found, busy (another process has the lock).
  static Result<Locked> lock_to_remove(const std::filesystem::path& full_path);
  /// Removes what a creation, or a removal, that died has left. The caller has found no engine.
  /// Error not_found: nothing of that kind is here.
  static Result<void> remove_half_made(const Locked& locked);

  /// What the directory is opened for. `use` refuses a copy of an engine; `look` lets its journal and letters be read,
  /// `mend` is for what adopts or removes it. All but `look` refuse root the engine of another user, who could make
  /// root's rights do what that user chooses.
  enum class For { use, look, mend };
  /// Reads the configuration. Refuses a symbolic link, a configuration that is not the directory's owner's alone to
  /// write, and a directory that others than its owner can write, unless its mode was made so (hazard 18).
  static Result<EngineDirectory> open(const std::filesystem::path& path, For purpose = For::use);
  static Result<EngineDirectory> open(const Directory& folder, For purpose = For::use);

  /// Copied, restored, or moved from another file system since the engine was made, so that its id and its shared
  /// memory are not its own; or another directory's memory stands where its own should be.
  bool needs_adoption() const;
  /// Makes an engine of its own of a copy: a new id, and this place as its home. The memory that the old id names is
  /// left alone. Errors: busy, permission_denied, no_space, system.
  Result<void> adopt(const File& locks);

  Result<File> open_locks() const;
  /// The lock file to ask what holds which lock: opened to read, for a read-only file system. Empty where this user may
  /// not read it: then all that may live count as living.
  Result<File> open_locks_to_look() const;
  /// The segment; where it is gone or was left by an earlier boot it is made anew from the journal, and `recovered`
  /// tells how. Errors: corrupt (says how to make it anew), busy, permission_denied, no_space, incompatible, system.
  Result<Segment> open_segment(const File& locks, bool dump_in_core,
                               std::optional<RecoveryReport>* recovered = nullptr) const;
  /// Makes the segment anew from the journal, whatever stands there. Errors: busy (participants live), and as above.
  Result<RecoveryReport> rebuild_segment(const File& locks) const;
  Result<Segment> open_segment_if_there() const;
  Result<Segment> open_segment_to_read() const;
  /// The memory is the one that was made last for this directory. Called with a lock byte held: from then on no other
  /// is made. Errors: stale (says what happened), corrupt, system.
  Result<void> check_memory(const Segment& segment) const;
  /// A keeper or a participant of another open file holds its lock. `locks` is the lock file, with no such lock of its
  /// own.
  bool is_in_use(const File& locks) const noexcept;
  /// Unlinks segment, files and directory. The caller has the lock, and has made sure that nobody minds.
  Result<void> remove_files() const;

  /// The journal, taken over for writing. Only for the holder of the keeper's lock.
  Result<std::unique_ptr<JournalWriter>> open_journal(std::uint64_t least_epoch, DeviceChoice choice,
                                                      const DeviceOpener& open_device = open_journal_device) const;

  /// Makes `limit` durable.
  Result<void> write_generation_limit(std::uint64_t limit) const;
  Result<std::uint64_t> read_generation_limit() const;

  /// For messages; what is in the directory is reached through folder().
  const std::filesystem::path& path() const noexcept { return folder_.path(); }
  const Directory& folder() const noexcept { return folder_; }
  const SegmentConfig& config() const noexcept { return configuration_.segment; }
  const JournalGeometry& journal_geometry() const noexcept { return configuration_.journal; }
  /// The id in the journal's blocks.
  std::uint64_t journal_id() const noexcept { return configuration_.journal_id; }
  /// The folder of the journal's files; for messages.
  std::filesystem::path journal_path() const { return folder_.path_of(journal_folder); }
  /// Errors: not_found; permission_denied (a link, or open to more users than the engine).
  Result<Directory> open_journal_folder() const;
  std::string engine_id() const;
  std::filesystem::path segment_path() const;

 private:
  explicit EngineDirectory(Directory folder) noexcept : folder_(std::move(folder)) {}
  static Error no_engine(const std::filesystem::path& path);
  static Result<Locked> make_and_lock(const std::filesystem::path& path, std::uint32_t mode, std::uint32_t file_mode);
  /// Sets the home, too.
  Result<void> make_contents(const File& locks, std::uint32_t mode);
  /// Of the engine, and of this directory, but it may be out of date.
  Result<Segment> map_any_segment(Segment::Access access, bool dump_in_core) const;
  /// Error stale: left by an earlier boot, or out of date (see `is_out_of_date`).
  Result<Segment> map_segment(Segment::Access access, bool dump_in_core, bool* is_out_of_date = nullptr) const;
  /// Nothing: none was noted for this engine.
  Result<std::optional<MemoryNote>> read_memory_note() const;
  Result<void> write_memory_note(std::uint64_t making, const std::string& segment) const;
  Result<void> write_configuration() const;
  /// Replaces a file of the engine, which then belongs to the directory's group where this user may give it that.
  Result<void> write_durably(std::string_view name, std::string_view text, std::uint32_t mode) const;
  Error copy_error() const;
  /// The caller has the structure lock.
  Result<void> check_makeable(const File& locks) const;
  Result<RecoveryReport> make_segment_anew() const;
  Result<void> note_home_if_unknown() const;
  /// The folder of shared memory, if it is one where no other user can swap what this one makes. Errors:
  /// permission_denied; invalid_argument (no tmpfs).
  Result<Directory> open_memory_folder() const;
  /// The name for the next memory: another one where another user's file has the last one's.
  Result<std::string> free_segment_name(const Directory& folder) const;
  /// Another user's file stands where the memory should be.
  bool is_name_taken() const;
  Result<void> check_sizes(const Segment& segment) const;
  /// `arena_wanted`: raised where the arena is too small for what comes back.
  Result<void> fill_from_journal(Segment& fresh, std::uint64_t floor, RecoveryReport& report,
                                 std::uint64_t& arena_wanted) const;
  /// Makes it durable that generations up to a step above `floor` may be given. Error no_space: there are none left.
  Result<void> reserve_generations(std::uint64_t floor) const;

  Directory folder_;
  EngineConfiguration configuration_;
  FoundHome home_;
  bool is_copy_ = false;
};

/// The limit grows by this much at a time: 2^26 lives of a cell.
inline constexpr std::uint64_t generation_step = std::uint64_t{1} << 26;

}  // namespace ringmill
