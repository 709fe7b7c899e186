// An engine's shared memory as its directory knows it: which one was made last, where the next one may be made, and
// whether what stands there is it (core/instance/engine_identity.h).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/base/log.h"
#include "core/instance/engine_files.h"
#include "ipc/file_modes.h"
#include "ipc/random.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr long tmpfs_magic = 0x01021994;
constexpr long ramfs_magic = static_cast<long>(0x858458f6);

bool is_memory(const Directory& folder) {
  struct statfs facts {};
  return ::fstatfs(folder.descriptor(), &facts) == 0 && (facts.f_type == tmpfs_magic || facts.f_type == ramfs_magic);
}

Result<bool> is_of_another_user(const Directory& folder, std::string_view name, uid_t owner) {
  const auto facts = folder.look(name);
  if (!facts) return std::unexpected(facts.error());
  return *facts && (*facts)->st_uid != owner;
}

}  // namespace

fs::path EngineFiles::segment_path() const {
  const auto note = read_memory_note();
  return configuration_.shm_dir / (note && *note ? (*note)->segment : segment_name(config().engine_id));
}

Result<std::optional<MemoryNote>> EngineFiles::read_memory_note() const {
  const auto text = folder_.read_small_file(memory_note_file, Directory::Owners::alone);
  if (!text && text.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!text) return std::unexpected(text.error());
  auto note = MemoryNote::of(*text, folder_.path_of(memory_note_file));
  if (!note) return std::unexpected(note.error());
  if (note->engine_id != config().engine_id) return std::nullopt;  // of the engine that this one was copied from
  return *std::move(note);
}

Result<std::uint64_t> EngineFiles::noted_making() const {
  const auto note = read_memory_note();
  if (!note) return std::unexpected(note.error());
  return *note ? (*note)->making : 0;
}

Result<void> EngineFiles::write_memory_note(std::uint64_t making, const std::string& segment) const {
  const MemoryNote note{.engine_id = config().engine_id, .making = making, .segment = segment};
  return write_durably(memory_note_file, note.to_text(), owners_file_mode(config().mode));
}

Result<void> EngineFiles::check_memory(const Segment& segment) const {
  const auto making = noted_making();
  if (!making) return std::unexpected(making.error());
  if (MemorySigns::of(segment).making == *making) return {};
  return std::unexpected(Error(
      ErrorCode::stale, "another shared memory was made for this engine since",
      path().string() + "; a container with its own /dev/shm did it, or the directory came back from a backup: let "
                        "all share one --shm-dir, and open the engine again"));
}

Result<Directory> EngineFiles::open_memory_folder() const {
  const fs::path& path = configuration_.shm_dir;
  auto folder = Directory::open(path, Directory::Links::followed);
  if (!folder) return folder;
  if (!is_memory(*folder)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "shared memory is made in a tmpfs only",
                                 path.string() + " is none; name one with --shm-dir"));
  }
  const bool is_for_all = (folder->mode() & S_ISVTX) != 0 && (folder->mode() & S_IWOTH) != 0;
  const bool is_owners = folder->owner() == folder_.owner() && (folder->mode() & 0022) == 0;
  if (is_for_all || is_owners) return folder;
  return std::unexpected(
      Error(ErrorCode::permission_denied,
            "shared memory is made in a folder of the engine's owner, or one that is sticky and for all",
            path.string() + "; others could swap what is made there: use a mode of 0700, or 1777"));
}

Result<std::string> EngineFiles::free_segment_name(const Directory& folder) const {
  const fs::path last = segment_path();
  const auto taken = is_of_another_user(folder, last.filename().string(), folder_.owner());
  if (!taken) return std::unexpected(taken.error());
  if (!*taken) return last.filename().string();
  const auto another = random_number();
  if (!another) return std::unexpected(another.error());
  log().error("{} belongs to another user: the shared memory of {} is {} from here on", last.string(), path().string(),
              segment_name(*another));
  return segment_name(*another);
}

bool EngineFiles::is_name_taken() const {
  const fs::path segment = segment_path();
  const auto folder = Directory::open(segment.parent_path(), Directory::Links::followed);
  const auto taken = folder ? is_of_another_user(*folder, segment.filename().string(), folder_.owner()) : false;
  return taken && *taken;
}

Result<Segment> EngineFiles::map_any_segment(Segment::Access access, bool dump_in_core) const {
  if (is_copy_) return std::unexpected(copy_error());
  auto segment =
      Segment::open(segment_path(), config().engine_id, folder_.owner(), config().mode, access, dump_in_core);
  if (!segment) {
    const ErrorCode code = segment.error().code();
    if (code != ErrorCode::corrupt && code != ErrorCode::incompatible) return segment;
    return std::unexpected(
        Error(code,
              code == ErrorCode::corrupt ? "the engine's shared memory is damaged"
                                         : "the engine's shared memory is not of this program's kind",
              segment.error().message() + "; `ringmill recover " + path().string() + " --from-journal` makes it anew"));
  }
  if (MemorySigns::of(*segment).is_of_another(home_)) {
    return std::unexpected(Error(
        ErrorCode::incompatible, "the shared memory of this engine's id was made by another directory",
        path().string() + " is a copy of it (a snapshot?), or its file system was mounted anew; `ringmill recover " +
            path().string() + "` makes an engine of its own of it, with what its journal holds"));
  }
  return segment;
}

Result<Segment> EngineFiles::map_segment(Segment::Access access, bool dump_in_core, bool* is_out_of_date) const {
  auto segment = map_any_segment(access, dump_in_core);
  if (!segment) return segment;
  if (auto current = check_memory(*segment); !current) {
    if (is_out_of_date != nullptr) *is_out_of_date = current.error().code() == ErrorCode::stale;
    return std::unexpected(current.error());
  }
  if (auto sized = check_sizes(*segment); !sized) return std::unexpected(sized.error());
  return segment;
}

/// The arena may be larger: a recovery makes it so when more comes back than it has room for.
Result<void> EngineFiles::check_sizes(const Segment& segment) const {
  const SegmentConfig& said = config();
  const ArenaSize arena{.max_payload = said.max_payload, .bytes = said.arena_bytes};
  const Geometry wanted = Geometry::of(said.capacity, said.cell_bytes, static_cast<std::uint32_t>(said.levels.size()),
                                       said.level_ring_slots, arena);
  const Geometry& found = segment.geometry();
  const bool is_equal = found.capacity == wanted.capacity && found.cell_bytes == wanted.cell_bytes &&
                        found.level_count == wanted.level_count && found.level_ring_slots == wanted.level_ring_slots &&
                        found.max_payload == wanted.max_payload && found.arena_chunk_count >= wanted.arena_chunk_count;
  if (is_equal) return {};
  return std::unexpected(Error(ErrorCode::corrupt, "the shared memory has other sizes than engine.json says",
                               path().string() + "; bring back engine.json, or `ringmill recover " + path().string() +
                                   " --from-journal` makes the memory as it says"));
}

Result<Segment> EngineFiles::open_segment_if_there() const { return map_segment(Segment::Access::read_write, false); }

Result<Segment> EngineFiles::open_segment_to_read() const { return map_segment(Segment::Access::read_only, false); }

}  // namespace ringmill
