#include "core/engine_directory.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include <bit>

#include "core/log.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr int configuration_format = 1;
constexpr std::uint64_t most_lease_ms = 24ULL * 24 * 3600 * 1000;

std::string to_hex(std::uint64_t value) { return JobId(value).to_string(); }

Error invalid(const char* what, std::string detail = {}) {
  return Error(ErrorCode::invalid_argument, what, std::move(detail));
}

Result<SegmentConfig> checked_config(const CreateOptions& options) {
  SegmentConfig config;
  if (options.levels.empty() || options.levels.size() > most_first_levels) {
    return std::unexpected(
        invalid("an engine has 1 to 16 first levels", std::to_string(options.levels.size()) + " given"));
  }
  for (const std::string& level : options.levels) {
    if (!is_valid_name(level)) {
      return std::unexpected(invalid("a level's name has 1 to 63 characters of [A-Za-z0-9._:/-]", level));
    }
    if (std::ranges::count(options.levels, level) != 1)
      return std::unexpected(invalid("a level is named twice", level));
  }
  config.levels = options.levels;
  config.weights = options.weights;
  if (config.weights.empty()) {
    config.weights.assign(config.levels.size(), 1);
    if (config.levels.size() == 3) config.weights = {6, 3, 1};
  }
  if (config.weights.size() != config.levels.size()) {
    return std::unexpected(invalid(
        "there must be one weight per level",
        std::to_string(config.levels.size()) + " levels, " + std::to_string(config.weights.size()) + " weights"));
  }
  for (const std::uint32_t weight : config.weights) {
    if (weight < 1 || weight > 1000) return std::unexpected(invalid("a weight is 1 to 1000", std::to_string(weight)));
  }
  if (options.capacity < 64 || options.capacity > most_cells) {
    return std::unexpected(invalid("the capacity is 64 to 16777216 jobs", std::to_string(options.capacity)));
  }
  config.capacity = (options.capacity + 63) / 64 * 64;
  if (options.cell_size < 128 || options.cell_size > 65536 || !std::has_single_bit(options.cell_size)) {
    return std::unexpected(
        invalid("the cell size is a power of two from 128 to 65536", std::to_string(options.cell_size)));
  }
  config.cell_bytes = options.cell_size;
  if ((options.mode & 0700) != 0700 || options.mode > 0777) {
    return std::unexpected(invalid("the mode must give the owner all rights, and is at most 0777"));
  }
  config.mode = options.mode & 0666;
  if (options.lease.count() < 1 || static_cast<std::uint64_t>(options.lease.count()) > most_lease_ms) {
    return std::unexpected(invalid("a lease is 1 ms to 24 days", std::to_string(options.lease.count()) + " ms"));
  }
  config.default_lease_ms = static_cast<std::uint32_t>(options.lease.count());
  if (::getrandom(&config.engine_id, sizeof config.engine_id, 0) != sizeof config.engine_id) {
    return std::unexpected(system_error("getrandom", ""));
  }
  return config;
}

std::string to_json(const SegmentConfig& config, const fs::path& shm_dir) {
  nlohmann::ordered_json json;
  json["format"] = configuration_format;
  json["id"] = to_hex(config.engine_id);
  json["shm_dir"] = shm_dir.string();
  json["levels"] = config.levels;
  json["weights"] = config.weights;
  json["capacity"] = config.capacity;
  json["cell_size"] = config.cell_bytes;
  json["lease_ms"] = config.default_lease_ms;
  json["file_mode"] = config.mode;
  return json.dump(2) + "\n";
}

Result<SegmentConfig> from_json(const std::string& text, const fs::path& path, fs::path& shm_dir) {
  const auto broken = [&path](const char* why) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the engine's configuration cannot be used", path.string() + ": " + why));
  };
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return broken("not a JSON object");
  try {
    if (json.at("format").get<int>() != configuration_format) {
      return std::unexpected(
          Error(ErrorCode::incompatible, "the engine was made by another version of ringmill", path.string()));
    }
    CreateOptions options;
    options.levels = json.at("levels").get<std::vector<std::string>>();
    options.weights = json.at("weights").get<std::vector<std::uint32_t>>();
    options.capacity = json.at("capacity").get<std::uint32_t>();
    options.cell_size = json.at("cell_size").get<std::uint32_t>();
    options.lease = std::chrono::milliseconds(json.at("lease_ms").get<std::int64_t>());
    auto config = checked_config(options);
    if (!config) return broken(config.error().message().c_str());
    const auto id = JobId::parse(json.at("id").get<std::string>());
    if (!id) return broken("its id is not 16 hexadecimal digits");
    config->engine_id = id->value();
    config->mode = json.at("file_mode").get<std::uint32_t>() & 0666;
    shm_dir = json.at("shm_dir").get<std::string>();
    return config;
  } catch (const nlohmann::json::exception& failure) {
    return broken(failure.what());
  }
}

fs::path segment_path_of(const fs::path& shm_dir, std::uint64_t engine_id) {
  return shm_dir / ("ringmill-" + to_hex(engine_id));
}

constexpr long tmpfs_magic = 0x01021994;
constexpr long ramfs_magic = static_cast<long>(0x858458f6);

void warn_unless_memory(const fs::path& shm_dir) {
  struct statfs facts {};
  if (::statfs(shm_dir.c_str(), &facts) == 0 && facts.f_type != tmpfs_magic && facts.f_type != ramfs_magic) {
    log().warn("{} is no tmpfs: the segment will be written back to a disk, which is slow; choose another --shm-dir",
               shm_dir.string());
  }
}

/// What a creation that died left behind. The caller holds the structure lock.
void clean_up_creation(const fs::path& path) {
  const auto text = read_file(path / "creating");
  if (!text) return;
  const std::string segment = text->substr(0, text->find('\n'));
  // Only what we could have made: a file named ringmill-<16 digits>.
  const fs::path left(segment);
  if (left.filename().string().starts_with("ringmill-")) {
    ::unlink(left.c_str());
    ::unlink((left.string() + ".creating").c_str());
  }
  ::unlink((path / "creating").c_str());
}

Result<void> make_directory(const fs::path& path, std::uint32_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return std::unexpected(system_error("cannot set the mode of", path));
    return {};
  }
  if (errno != EEXIST) return std::unexpected(system_error("cannot make the directory", path));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name != "engine.json" && name != "lock" && name != "creating" && name != "generation" &&
        !name.ends_with(".new")) {
      return std::unexpected(Error(ErrorCode::already_exists, "the directory is not empty and holds no engine",
                                   path.string() + " (found " + name + "); name a new directory"));
    }
  }
  return {};
}

}  // namespace

Result<void> EngineDirectory::create(const fs::path& given, const CreateOptions& options) {
  const auto config = checked_config(options);
  if (!config) return std::unexpected(config.error());
  const fs::path path = fs::absolute(given).lexically_normal();
  const fs::path shm_dir = fs::absolute(options.shm_dir);
  if (auto made = make_directory(path, options.mode); !made) return made;
  auto locks = open_file(path / "lock", O_RDWR | O_CREAT, config->mode);
  if (!locks) return std::unexpected(locks.error());
  // Whoever creates holds this; a second creator waits here, then finds engine.json.
  if (auto locked = lock_byte(*locks, structure_lock_byte); !locked) return locked;
  if (fs::exists(path / "engine.json")) {
    return std::unexpected(Error(ErrorCode::already_exists, "there is an engine already", path.string()));
  }
  clean_up_creation(path);
  ::fchmod(locks->descriptor(), config->mode);
  warn_unless_memory(shm_dir);
  const fs::path segment = segment_path_of(shm_dir, config->engine_id);
  const auto undo = [&](Error error) -> Result<void> {
    clean_up_creation(path);
    ::unlink((path / "generation").c_str());
    ::unlink((path / "lock").c_str());
    ::rmdir(path.c_str());
    return std::unexpected(std::move(error));
  };
  if (auto noted = write_file_durably(path / "creating", segment.string() + "\n", config->mode); !noted) {
    return undo(noted.error());
  }
  EngineDirectory made;
  made.path_ = path;
  made.config_ = *config;
  if (auto limit = made.write_generation_limit(generation_step); !limit) return undo(limit.error());
  if (auto segment_made = Segment::create(segment, *config, 1, generation_step); !segment_made)
    return undo(segment_made.error());
  if (auto written = write_file_durably(path / "engine.json", to_json(*config, shm_dir), config->mode); !written) {
    return undo(written.error());
  }
  ::unlink((path / "creating").c_str());
  return {};
}

Result<EngineDirectory> EngineDirectory::open(const fs::path& given) {
  const fs::path path = fs::absolute(given).lexically_normal();
  EngineDirectory directory;
  directory.path_ = path;
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    Error error = system_error("no engine", path);
    return std::unexpected(
        error.code() == ErrorCode::not_found
            ? Error(ErrorCode::not_found, "no engine here", path.string() + "; make one with `ringmill init`")
            : error);
  }
  const auto text = read_file(path / "engine.json");
  if (!text) {
    if (text.error().code() != ErrorCode::not_found) return std::unexpected(text.error());
    return std::unexpected(
        Error(ErrorCode::not_found, "no engine here", path.string() + "; make one with `ringmill init`"));
  }
  auto config = from_json(*text, path / "engine.json", directory.shm_dir_);
  if (!config) return std::unexpected(config.error());
  directory.config_ = *config;
  directory.owner_ = facts.st_uid;
  // Whoever can write the directory can replace the engine: that must be what its mode says, and not more.
  const std::uint32_t foreign_write = facts.st_mode & 0022;
  if ((foreign_write & ~config->mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "others may write the engine's directory, more than its mode says",
                                 path.string() + "; chmod it back"));
  }
  return directory;
}

std::string EngineDirectory::engine_id() const { return to_hex(config_.engine_id); }
fs::path EngineDirectory::segment_path() const { return segment_path_of(shm_dir_, config_.engine_id); }

Result<File> EngineDirectory::open_locks() const {
  auto file = open_file(path_ / "lock", O_RDWR);
  if (!file) return file;
  struct stat facts {};
  if (::fstat(file->descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path_ / "lock"));
  if (facts.st_uid != owner_) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the lock file belongs to another user than the engine",
                                 (path_ / "lock").string()));
  }
  return file;
}

Result<Segment> EngineDirectory::open_segment(const File& locks, bool dump_in_core) const {
  auto segment =
      Segment::open(segment_path(), config_.engine_id, owner_, config_.mode, Segment::Access::read_write, dump_in_core);
  if (segment) return segment;
  const ErrorCode code = segment.error().code();
  if (code != ErrorCode::not_found && code != ErrorCode::stale) return segment;
  return make_segment_anew(locks, dump_in_core);
}

Result<Segment> EngineDirectory::make_segment_anew(const File& locks, bool dump_in_core) const {
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const auto unlock = [&locks](Result<Segment> result) {
    unlock_byte(locks, structure_lock_byte);
    return result;
  };
  // Somebody may have made it, or removed the engine, while we waited.
  auto segment =
      Segment::open(segment_path(), config_.engine_id, owner_, config_.mode, Segment::Access::read_write, dump_in_core);
  if (segment) return unlock(std::move(segment));
  if (!fs::exists(path_ / "engine.json")) {
    return unlock(std::unexpected(Error(ErrorCode::not_found, "the engine was removed", path_.string())));
  }
  // Whoever still has the old segment goes on in it, keeper included: a second world beside it would split the jobs.
  if (is_in_use(locks)) {
    return unlock(
        std::unexpected(Error(ErrorCode::busy, "the engine's shared memory was removed while processes still use it",
                              path_.string() + "; end them (their jobs end with them), then open again")));
  }
  const auto floor = read_generation_limit();
  if (!floor) return unlock(std::unexpected(floor.error()));
  if (*floor + generation_step > most_generation) {
    return unlock(
        std::unexpected(Error(ErrorCode::no_space, "this engine's job ids are used up", "make a new engine")));
  }
  if (auto raised = write_generation_limit(*floor + generation_step); !raised) {
    return unlock(std::unexpected(raised.error()));
  }
  if (auto made = Segment::create(segment_path(), config_, *floor + 1, *floor + generation_step); !made)
    return unlock(std::unexpected(made.error()));
  log().warn("the shared memory of {} was gone (a reboot, or somebody removed it) and was made anew, empty",
             path_.string());
  return unlock(Segment::open(segment_path(), config_.engine_id, owner_, config_.mode, Segment::Access::read_write,
                              dump_in_core));
}

bool EngineDirectory::is_in_use(const File& locks) const noexcept {
  if (is_byte_locked_by_other(locks, keeper_lock_byte)) return true;
  for (std::uint32_t n = 0; n < most_participants; ++n) {
    if (is_byte_locked_by_other(locks, participant_lock_byte + n)) return true;
  }
  return false;
}

Result<Segment> EngineDirectory::open_segment_if_there() const {
  return Segment::open(segment_path(), config_.engine_id, owner_, config_.mode, Segment::Access::read_write, false);
}

Result<Segment> EngineDirectory::open_segment_to_read() const {
  return Segment::open(segment_path(), config_.engine_id, owner_, config_.mode, Segment::Access::read_only, false);
}

Result<void> EngineDirectory::remove_files() const {
  const fs::path segment = segment_path();
  if (::unlink(segment.c_str()) != 0 && errno != ENOENT) return std::unexpected(system_error("cannot remove", segment));
  ::unlink((segment.string() + ".creating").c_str());
  for (const char* name :
       {"engine.json", "generation", "creating", "engine.json.new", "generation.new", "creating.new", "lock"}) {
    const fs::path file = path_ / name;
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return std::unexpected(system_error("cannot remove", file));
  }
  if (::rmdir(path_.c_str()) != 0 && errno != ENOENT) return std::unexpected(system_error("cannot remove", path_));
  return {};
}

Result<void> EngineDirectory::write_generation_limit(std::uint64_t limit) const {
  // Never lowered, whoever believes in a lower one.
  if (const auto present = read_generation_limit(); present && *present >= limit) return {};
  return write_file_durably(path_ / "generation", std::to_string(limit) + "\n", config_.mode);
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
