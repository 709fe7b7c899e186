// The engine's directory: its configuration, its lock file, its durable generation limit, and the name of its segment.
//
//   engine.json   written once, whole, by create(); its presence means that the engine exists
//   lock          byte locks: keeper, structure, one per participant (ipc/registry.h)
//   generation    the highest generation any cell may have had: durable before a cell gets there (hazard 2
//                 in docs/hazards.md)
//   creating      names the segment of a creation that has not ended; the next create() or remove() cleans up after it
//   flow-control.json  what is paused or limited (core/flow_control/flow_rules.h)
//   dead-letters.db (and -wal, -shm)  what is left of jobs that ended badly (core/dead_letters/store.h)
//   levels.json   the levels made at run time (core/level_list.h)
//   journal/      the journal's segments (docs/journal-format.md), and damaged blocks that a recovery has kept aside
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <ringmill/engine.h>
#include <ringmill/error.h>

#include "core/engine_configuration.h"
#include "core/journal/file_names.h"
#include "core/journal/recovery.h"
#include "core/journal/writer.h"
#include "ipc/directory.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

inline constexpr const char* configuration_file = "engine.json";
inline constexpr const char* engine_lock_file = "lock";
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

  /// Reads the configuration. Refuses a symbolic link, a configuration that is not the directory's owner's, and a
  /// directory that others than its owner can write, unless its mode was made so (hazard 18).
  static Result<EngineDirectory> open(const std::filesystem::path& path);
  static Result<EngineDirectory> open(const Directory& folder);

  Result<File> open_locks() const;
  /// The segment; where it is gone or was left by an earlier boot it is made anew from the journal, and `recovered`
  /// tells how. Errors: corrupt (says how to make it anew), busy, permission_denied, no_space, incompatible, system.
  Result<Segment> open_segment(const File& locks, bool dump_in_core,
                               std::optional<RecoveryReport>* recovered = nullptr) const;
  /// Makes the segment anew from the journal, whatever stands there. Errors: busy (participants live), and as above.
  Result<RecoveryReport> rebuild_segment(const File& locks) const;
  Result<Segment> open_segment_if_there() const;
  Result<Segment> open_segment_to_read() const;
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
  Result<void> make_contents(const File& locks, std::uint32_t mode) const;
  Result<Segment> map_segment(Segment::Access access, bool dump_in_core) const;
  /// The caller has the structure lock.
  Result<void> check_makeable(const File& locks) const;
  Result<RecoveryReport> make_segment_anew() const;
  /// `arena_wanted`: raised where the arena is too small for what comes back.
  Result<void> fill_from_journal(Segment& fresh, std::uint64_t floor, RecoveryReport& report,
                                 std::uint64_t& arena_wanted) const;
  /// Makes it durable that generations up to a step above `floor` may be given. Error no_space: there are none left.
  Result<void> reserve_generations(std::uint64_t floor) const;

  Directory folder_;
  EngineConfiguration configuration_;
};

/// The limit grows by this much at a time: 2^26 lives of a cell.
inline constexpr std::uint64_t generation_step = std::uint64_t{1} << 26;

}  // namespace ringmill
