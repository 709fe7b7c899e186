#include "core/engine_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>

#include "core/engine_configuration.h"
#include "ipc/registry.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

std::string to_hex(std::uint64_t value) { return JobId(value).to_string(); }

fs::path segment_path_of(const fs::path& shm_dir, std::uint64_t engine_id) {
  return shm_dir / ("ringmill-" + to_hex(engine_id));
}

}  // namespace

Result<fs::path> EngineDirectory::full_path(const fs::path& given) {
  std::error_code failure;
  fs::path path = fs::absolute(given, failure).lexically_normal();
  if (failure) return std::unexpected(system_error("cannot find", given, failure.value()));
  if (!path.has_filename()) path = path.parent_path();  // a slash at its end says nothing
  return path;
}

Error EngineDirectory::no_engine(const fs::path& path) {
  return Error(ErrorCode::not_found, "no engine here", path.string() + "; make one with `ringmill init`");
}

Result<EngineDirectory> EngineDirectory::open(const fs::path& given) {
  const auto path = full_path(given);
  if (!path) return std::unexpected(path.error());
  const auto folder = Directory::open(*path);
  if (folder) return open(*folder);
  const ErrorCode code = folder.error().code();
  if (code == ErrorCode::not_found || code == ErrorCode::already_exists) return std::unexpected(no_engine(*path));
  return std::unexpected(folder.error());
}

Result<EngineDirectory> EngineDirectory::open(const Directory& folder) {
  EngineDirectory directory(folder);
  const auto text = folder.read_small_file(configuration_file, Directory::Owners::directorys);
  if (!text) {
    return std::unexpected(text.error().code() == ErrorCode::not_found ? no_engine(folder.path()) : text.error());
  }
  auto configured = from_json(*text, folder.path_of(configuration_file));
  if (!configured) return std::unexpected(configured.error());
  directory.configuration_ = *std::move(configured);
  // Whoever can write the directory can replace the engine: that must be what its mode says, and not more.
  const std::uint32_t foreign_write = folder.mode() & 0022;
  if ((foreign_write & ~directory.config().mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's directory, more than its mode says",
                                 folder.path().string() + "; chmod it back"));
  }
  return directory;
}

Result<Directory> EngineDirectory::open_journal_folder() const {
  auto folder = folder_.open_folder(journal_folder);
  if (!folder) return folder;
  // Root's is a file system that was mounted there.
  if (folder->owner() != folder_.owner() && folder->owner() != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the journal belongs to another user than the engine",
                                 folder->path().string() + "; somebody put it there: find out who did"));
  }
  if ((folder->mode() & 0022 & ~config().mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's journal, more than the engine's mode says",
                                 folder->path().string() + "; chmod it back"));
  }
  return folder;
}

std::string EngineDirectory::engine_id() const { return to_hex(config().engine_id); }
fs::path EngineDirectory::segment_path() const { return segment_path_of(configuration_.shm_dir, config().engine_id); }

Result<File> EngineDirectory::open_locks() const {
  return folder_.open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
}

Result<std::unique_ptr<JournalWriter>> EngineDirectory::open_journal(std::uint64_t least_epoch, DeviceChoice choice,
                                                                     const DeviceOpener& open_device) const {
  const auto folder = open_journal_folder();
  if (!folder) return std::unexpected(folder.error());
  auto device = open_device(*folder, choice, config().mode);
  if (!device) return std::unexpected(device.error());
  return JournalWriter::open(std::move(*device), config().engine_id, journal_geometry(), least_epoch);
}

bool EngineDirectory::is_in_use(const File& locks) const noexcept {
  if (is_byte_locked_by_other(locks, keeper_lock_byte)) return true;
  for (std::uint32_t n = 0; n < most_participants; ++n) {
    if (is_byte_locked_by_other(locks, participant_lock_byte + n)) return true;
  }
  return false;
}

Result<Segment> EngineDirectory::map_segment(Segment::Access access, bool dump_in_core) const {
  auto segment =
      Segment::open(segment_path(), config().engine_id, folder_.owner(), config().mode, access, dump_in_core);
  if (segment) return segment;
  const ErrorCode code = segment.error().code();
  if (code != ErrorCode::corrupt && code != ErrorCode::incompatible) return segment;
  return std::unexpected(
      Error(code,
            code == ErrorCode::corrupt ? "the engine's shared memory is damaged"
                                       : "the engine's shared memory is not of this program's kind",
            segment.error().message() + "; `ringmill recover " + path().string() + " --from-journal` makes it anew"));
}

Result<Segment> EngineDirectory::open_segment_if_there() const {
  return map_segment(Segment::Access::read_write, false);
}

Result<Segment> EngineDirectory::open_segment_to_read() const { return map_segment(Segment::Access::read_only, false); }

Result<void> EngineDirectory::write_generation_limit(std::uint64_t limit) const {
  // Never lowered, whoever believes in a lower one.
  if (const auto present = read_generation_limit(); present && *present >= limit) return {};
  // The keeper may be any user of the engine, and the next one another: whoever is let into the directory reads it.
  return folder_.write_file_durably(generation_file, std::to_string(limit) + "\n", config().mode | 0444);
}

Result<std::uint64_t> EngineDirectory::read_generation_limit() const {
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
