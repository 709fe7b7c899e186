#include "core/engine_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
  if (!path.has_filename()) path = path.parent_path();  // with a slash at its end it would be followed
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode)) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the engine's directory is a symbolic link",
                                 path.string() + "; name the directory itself"));
  }
  return path;
}

Error EngineDirectory::no_engine(const fs::path& path) {
  return Error(ErrorCode::not_found, "no engine here", path.string() + "; make one with `ringmill init`");
}

Result<void> EngineDirectory::check_owner(const File& file, const fs::path& path, uid_t owner) {
  struct stat facts {};
  if (::fstat(file.descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  if (facts.st_uid == owner) return {};
  return std::unexpected(Error(ErrorCode::permission_denied, "this file belongs to another user than the engine",
                               path.string() + "; somebody put it there: find out who did"));
}

Result<EngineDirectory> EngineDirectory::open(const fs::path& given) {
  const auto path = full_path(given);
  if (!path) return std::unexpected(path.error());
  const auto refused = [&path](Error error) {
    return std::unexpected(error.code() == ErrorCode::not_found ? no_engine(*path) : std::move(error));
  };
  EngineDirectory directory;
  directory.path_ = *path;
  struct stat facts {};
  if (::stat(path->c_str(), &facts) != 0) return refused(system_error("cannot stat", *path));
  directory.owner_ = facts.st_uid;
  directory.group_ = facts.st_gid;
  const fs::path configuration = *path / "engine.json";
  const auto file = open_file(configuration, O_RDONLY);
  if (!file) return refused(file.error());
  if (auto owned = check_owner(*file, configuration, facts.st_uid); !owned) return std::unexpected(owned.error());
  const auto text = read_file(*file, configuration);
  if (!text) return std::unexpected(text.error());
  auto configured = from_json(*text, configuration);
  if (!configured) return std::unexpected(configured.error());
  directory.configuration_ = *std::move(configured);
  // Whoever can write the directory can replace the engine: that must be what its mode says, and not more.
  const std::uint32_t foreign_write = facts.st_mode & 0022;
  if ((foreign_write & ~directory.config().mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's directory, more than its mode says",
                                 path->string() + "; chmod it back"));
  }
  return directory;
}

std::string EngineDirectory::engine_id() const { return to_hex(config().engine_id); }
fs::path EngineDirectory::segment_path() const { return segment_path_of(configuration_.shm_dir, config().engine_id); }

Result<File> EngineDirectory::open_locks() const {
  auto file = open_file(path_ / "lock", O_RDWR);
  if (!file) return file;
  if (auto owned = check_owner(*file, path_ / "lock", owner_); !owned) return std::unexpected(owned.error());
  return file;
}

Result<std::unique_ptr<JournalWriter>> EngineDirectory::open_journal(std::uint64_t least_epoch, DeviceChoice choice,
                                                                     const DeviceOpener& open_device) const {
  auto device = open_device(journal_path().string(), choice, config().mode);
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
  auto segment = Segment::open(segment_path(), config().engine_id, owner_, config().mode, access, dump_in_core);
  if (segment) return segment;
  const ErrorCode code = segment.error().code();
  if (code != ErrorCode::corrupt && code != ErrorCode::incompatible) return segment;
  return std::unexpected(
      Error(code,
            code == ErrorCode::corrupt ? "the engine's shared memory is damaged"
                                       : "the engine's shared memory is not of this program's kind",
            segment.error().message() + "; `ringmill recover " + path_.string() + " --from-journal` makes it anew"));
}

Result<Segment> EngineDirectory::open_segment_if_there() const {
  return map_segment(Segment::Access::read_write, false);
}

Result<Segment> EngineDirectory::open_segment_to_read() const { return map_segment(Segment::Access::read_only, false); }

Result<void> EngineDirectory::write_generation_limit(std::uint64_t limit) const {
  // Never lowered, whoever believes in a lower one.
  if (const auto present = read_generation_limit(); present && *present >= limit) return {};
  // The keeper may be any user of the engine, and the next one another: whoever is let into the directory reads it.
  return write_file_durably(path_ / "generation", std::to_string(limit) + "\n", config().mode | 0444);
}

Result<std::uint64_t> EngineDirectory::read_generation_limit() const {
  const auto text = read_file(path_ / "generation");
  if (!text) return std::unexpected(text.error());
  std::uint64_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc{} || *end != '\n' || limit > most_generation) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the generation file cannot be read", (path_ / "generation").string()));
  }
  return limit;
}

}  // namespace ringmill
