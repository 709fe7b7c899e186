#include "ipc/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "ipc/clock.h"
#include "ipc/directory.h"
#include "ipc/random.h"
#include "ipc/segment_mapping.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace bi = boost::interprocess;

namespace {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

/// Lets Boost.Interprocess map a descriptor that we opened ourselves, with the flags that it does not offer.
class Mappable {
 public:
  Mappable(int descriptor, bi::mode_t mode) noexcept : descriptor_(descriptor), mode_(mode) {}
  bi::mapping_handle_t get_mapping_handle() const noexcept { return {descriptor_, false}; }
  bi::mode_t get_mode() const noexcept { return mode_; }

 private:
  int descriptor_;
  bi::mode_t mode_;
};

std::uint64_t checksum_of(const SegmentHeader& header) noexcept {
  // ORDER relaxed: the header was published whole, by rename; its bytes do not change.
  const std::array<std::uint64_t, 15> fields{
      header.magic.load(std::memory_order_relaxed),
      header.version.load(std::memory_order_relaxed),
      header.engine_id.load(std::memory_order_relaxed),
      header.boot_id[0].load(std::memory_order_relaxed),
      header.boot_id[1].load(std::memory_order_relaxed),
      header.bytes.load(std::memory_order_relaxed),
      std::uint64_t{header.capacity.load(std::memory_order_relaxed)} << 32 |
          header.cell_bytes.load(std::memory_order_relaxed),
      std::uint64_t{header.plain_capacity.load_once().unbounded()} << 32 | header.level_count.load(),
      header.default_lease_ms.load(),
      header.created_at_ns.load(),
      header.first_generation.load(),
      header.level_ring_slots.load(),
      header.arena_bytes.load(),
      header.max_payload.load(),
      header.keep_memory_ms.load(),
  };
  return XXH3_64bits(fields.data(), sizeof fields);
}

std::string in_mib(std::uint64_t bytes) { return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB"; }

constexpr std::uint64_t entries_bytes(std::uint32_t count) noexcept {
  return std::uint64_t{count} * sizeof(ParticipantEntry);
}

/// Gives the file its size, and the memory of an engine without cells: all but the later participants' entries, the
/// cells, the arena and the pages of unique slots. The first touch of a page that tmpfs cannot give is SIGBUS (hazard
/// 11 in docs/hazards.md).
int make_fixed_part(const File& file, const Geometry& geometry) noexcept {
  const NoFileSizeSignal no_signal;
  if (::ftruncate(file.descriptor(), static_cast<off_t>(geometry.bytes)) != 0) return errno;
  const int error = allocate_range(file.descriptor(), 0, geometry.participants + entries_bytes(entries_in_a_step));
  return error != 0 ? error : allocate_range(file.descriptor(), geometry.kinds, geometry.fixed_end);
}

/// `result` is an errno of an allocation.
Error no_memory(int result, std::uint64_t bytes, const Directory& folder) {
  if (result != ENOSPC) return system_error("cannot allocate memory in", folder.path(), result);
  struct statvfs space {};
  std::string detail = "needs " + in_mib(bytes) + " at first in " + folder.path().string();
  if (::fstatvfs(folder.descriptor(), &space) == 0) {
    detail += ", which has " + in_mib(space.f_bavail * space.f_frsize) + " free";
  }
  return Error(ErrorCode::no_space, "shared memory is too small", detail + "; " + larger_tmpfs);
}

/// The system's folder for shared memory may be a link.
Result<Directory> folder_of(const std::filesystem::path& path) {
  return Directory::open(path.has_parent_path() ? path.parent_path() : ".", Directory::Links::followed);
}

/// Removes what a dead creator has left; the caller holds the structure lock. A file of another user stays, and does no
/// harm.
void remove_half_made(const Directory& folder, const std::string& name) {
  const auto names = folder.names();
  if (!names) return;
  for (const std::string& left : *names) {
    if (is_half_made_segment(left, name)) static_cast<void>(folder.remove(left));
  }
}

/// Random, and not zero. Where the kernel gives none, clock and address space are better than nothing.
std::uint64_t random_seed() {
  const auto number = random_number();
  return number ? *number : (wall_clock_ns() ^ reinterpret_cast<std::uintptr_t>(&number)) | 1;
}

/// All but the cells.
void fill(const Segment& segment, const SegmentConfig& config, std::uint64_t first_generation,
          std::uint64_t generation_limit, const std::array<std::uint64_t, 2>& boot) {
  const Geometry& geometry = segment.geometry();
  segment.signals().generation_limit.store(generation_limit);
  segment.signals().results_limit.store(config.results_limit);
  segment.signals().participants_end.store(entries_in_a_step);
  segment.unique_slots()[geometry.unique_slots + 1].store(random_seed());
  for (std::uint32_t n = 0; n < geometry.level_count; ++n) {
    const NameWords words = encode_name(config.levels[n]);
    for (std::size_t i = 0; i < words.size(); ++i) segment.level(n).name[i].store(words[i]);
    segment.level(n).weight.store(config.weights[n]);
    if (n < config.kept_cells.size()) segment.level(n).kept_cells.store(config.kept_cells[n]);
  }
  SegmentHeader& header = segment.header();
  header.magic.store(segment_magic);
  header.version.store(layout_version);
  header.engine_id.store(config.engine_id);
  header.boot_id[0].store(boot[0]);
  header.boot_id[1].store(boot[1]);
  header.bytes.store(geometry.bytes);
  header.capacity.store(geometry.capacity);
  header.cell_bytes.store(geometry.cell_bytes);
  header.level_count.store(geometry.level_count);
  header.default_lease_ms.store(config.default_lease_ms);
  header.created_at_ns.store(wall_clock_ns());
  header.first_generation.store(first_generation);
  header.level_ring_slots.store(geometry.level_ring_slots);
  header.arena_bytes.store(std::uint64_t{geometry.arena_chunk_count} * geometry.arena_chunk_bytes);
  header.max_payload.store(geometry.max_payload);
  header.plain_capacity.store(config.plain_capacity);
  header.keep_memory_ms.store(config.keep_memory_ms);
}

/// All of them in a small engine; in a large one that with the width and the seed.
bool make_first_unique_pages(const Segment& segment) noexcept {
  constexpr std::uint64_t few = 16;
  const std::uint64_t pages = segment.geometry().unique_pages();
  for (std::uint64_t page = pages <= few ? 0 : pages - 1; page < pages; ++page) {
    if (!segment.make_unique_page(page)) return false;
  }
  // The two words may stand on two pages.
  return segment.make_unique_page(segment.geometry().unique_slots * 8 / page_bytes);
}

void make_ready(SegmentHeader& header) noexcept {
  header.checksum.store(checksum_of(header));
  header.state.store(static_cast<std::uint32_t>(SegmentState::ready));
}

/// Checks the header of a file before any of it is used.
Result<Geometry> checked_geometry(const SegmentHeader& header, std::uint64_t file_bytes,
                                  const std::filesystem::path& path) {
  const std::string where = path.string();
  if (header.magic.load() != segment_magic) {
    return std::unexpected(Error(ErrorCode::corrupt, "not a ringmill segment", where));
  }
  if (header.version.load() != layout_version) {
    return std::unexpected(
        Error(ErrorCode::incompatible, "the segment has another layout version",
              where + " has " + std::to_string(header.version.load()) + ", this program knows " +
                  std::to_string(layout_version) +
                  "; if that is older, `ringmill upgrade` takes the jobs over; else use its program"));
  }
  const std::uint32_t capacity = header.capacity.load();
  const std::uint32_t cell_bytes = header.cell_bytes.load();
  const std::uint32_t level_count = header.level_count.load();
  const std::uint64_t level_ring_slots = header.level_ring_slots.load();
  const bool bounded = level_ring_slots >= least_level_ring_slots && level_ring_slots <= most_level_ring_slots &&
                       capacity >= 64 && capacity <= most_cells && capacity % 64 == 0 && cell_bytes >= 128 &&
                       cell_bytes <= 65536 && std::has_single_bit(cell_bytes) && level_count >= 1 &&
                       level_count <= most_fixed_levels;
  const ArenaSize arena{.max_payload = header.max_payload.load(), .bytes = header.arena_bytes.load()};
  const bool has_bounded_arena = arena.max_payload <= most_payload_limit && arena.bytes <= most_arena_bytes &&
                                 arena.bytes % arena.chunk_bytes() == 0;
  if (!bounded || !has_bounded_arena || header.state.load() != static_cast<std::uint32_t>(SegmentState::ready)) {
    return std::unexpected(Error(ErrorCode::corrupt, "the segment's header has impossible sizes", where));
  }
  const Geometry geometry = Geometry::of(capacity, cell_bytes, level_count, level_ring_slots, arena);
  if (geometry.bytes != file_bytes || header.bytes.load() != file_bytes) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the segment's file is shorter or longer than its header says", where));
  }
  if (header.checksum.load() != checksum_of(header)) {
    return std::unexpected(Error(ErrorCode::corrupt, "the segment's header does not match its checksum", where));
  }
  return geometry;
}

Result<Geometry> read_geometry(const File& file, const std::filesystem::path& path) {
  struct stat facts {};
  if (::fstat(file.descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  if (!S_ISREG(facts.st_mode)) return std::unexpected(Error(ErrorCode::corrupt, "not a regular file", path.string()));
  const auto bytes = static_cast<std::uint64_t>(facts.st_size);
  alignas(SegmentHeader) std::array<std::byte, sizeof(SegmentHeader)> copy{};
  if (::pread(file.descriptor(), copy.data(), copy.size(), 0) != static_cast<ssize_t>(copy.size())) {
    return std::unexpected(Error(ErrorCode::corrupt, "the segment is shorter than its header", path.string()));
  }
  return checked_geometry(*reinterpret_cast<const SegmentHeader*>(copy.data()), bytes, path);
}

}  // namespace

Geometry Geometry::of(std::uint32_t capacity, std::uint32_t cell_bytes, std::uint32_t level_count,
                      std::uint64_t level_ring_slots, const ArenaSize& arena) noexcept {
  Geometry g;
  g.capacity = capacity;
  g.cell_bytes = cell_bytes;
  g.level_count = level_count;
  // In a small engine one hint per cell, and a thirty-second more for dead and doubled ones. What does not fit waits
  // with the keeper (core/keeper/overflow_queue.h).
  g.ring_slots = std::min<std::uint64_t>(std::bit_ceil(std::uint64_t{capacity} + capacity / 32), most_level_ring);
  g.signals = sizeof(SegmentHeader);
  g.journal = g.signals + sizeof(Signals);
  g.levels = g.journal + sizeof(JournalWords);
  g.participants = round_up(g.levels + std::uint64_t{g.level_numbers()} * sizeof(LevelEntry), page_bytes);
  g.kinds = g.participants + std::uint64_t{most_participants} * sizeof(ParticipantEntry);
  g.retry_policies = g.kinds + std::uint64_t{most_kinds} * sizeof(NameEntry);
  g.kind_rules = g.retry_policies + std::uint64_t{most_retry_policies} * sizeof(NameEntry);
  g.permit_rows = g.kind_rules + std::uint64_t{most_kinds} * sizeof(KindRule);
  g.pair_counts = g.permit_rows + std::uint64_t{most_permit_rows} * sizeof(PermitRow);
  g.duration_counts =
      g.pair_counts + (std::uint64_t{most_participants} * own_pairs + shared_pairs) * sizeof(PairCounts);
  g.chunk_cells = CellChunks::cells_for(cell_bytes);
  const std::uint64_t chunk_count = (std::uint64_t{capacity} + g.chunk_cells - 1) / g.chunk_cells;
  g.chunk_bits = round_up(g.duration_counts + std::uint64_t{wait_histograms + run_histograms} * sizeof(DurationCounts),
                          padding_bytes);
  g.chunk_words = round_up(g.chunk_bits + (chunk_count + 63) / 64 * 8, padding_bytes);
  g.free_words = round_up(g.chunk_words + chunk_count * sizeof(ChunkWord), padding_bytes);
  g.free_summary = round_up(g.free_words + capacity / 8, padding_bytes);
  g.marks = round_up(g.free_summary + std::uint64_t{FreeMap::summary_words(capacity)} * 8, padding_bytes);
  g.keeper_summary = g.marks + 4 * mark_map_bytes(capacity);
  // A slot per cell, so that a job that has a cell finds a slot; behind them the width of a key's window, and the seed
  // of their places.
  g.unique_slots = std::max<std::uint64_t>(64, capacity);
  g.unique_bits = round_up(g.keeper_summary + std::uint64_t{FreeMap::summary_words(capacity)} * 8, padding_bytes);
  g.max_payload = std::max(arena.max_payload, cell_bytes - static_cast<std::uint32_t>(sizeof(CellHeader)));
  if (arena.bytes != 0) {
    g.arena_chunk_bytes = arena.chunk_bytes();
    g.arena_chunk_count = static_cast<std::uint32_t>(arena.bytes / g.arena_chunk_bytes);
    g.arena_chunk_units = std::clamp(g.arena_chunk_bytes / 1024, least_arena_chunk_units, most_arena_chunk_units);
  }
  g.arena_bits = g.unique_bits + (g.unique_pages() + 63) / 64 * 8;
  g.arena_chunks = round_up(g.arena_bits + (std::uint64_t{g.arena_chunk_count} + 63) / 64 * 8, padding_bytes);
  g.rings = round_up(g.arena_chunks + g.arena_chunk_count * sizeof(ArenaChunk), page_bytes);
  g.level_rings = round_up(g.rings + level_count * g.ring_slots * 8, page_bytes);
  g.level_ring_slots = level_ring_slots != 0 ? level_ring_slots : default_level_ring_slots;
  g.fixed_end = round_up(g.level_rings + g.level_ring_slots * 8, page_bytes);
  g.unique = g.fixed_end;
  g.cells = g.unique + g.unique_pages() * page_bytes;
  g.arena_units = round_up(g.cells + std::uint64_t{capacity} * cell_bytes, page_bytes);
  g.arena = round_up(g.arena_units + std::uint64_t{g.arena_unit_count()} * sizeof(ArenaUnit), page_bytes);
  g.bytes = g.arena + std::uint64_t{g.arena_chunk_count} * g.arena_chunk_bytes;
  return g;
}

namespace {

std::vector<std::atomic<std::uint64_t>> bits_for(std::uint64_t parts) {
  return std::vector<std::atomic<std::uint64_t>>((parts + 63) / 64);
}

}  // namespace

Segment::Segment(std::unique_ptr<Mapping> mapping, const Geometry& geometry) noexcept
    : mapping_(std::move(mapping)),
      base_(static_cast<std::byte*>(mapping_->region.get_address())),
      geometry_(geometry),
      own_{.chunks = mapping_->chunks.data(), .arena = mapping_->arena.data(), .unique = mapping_->unique.data()} {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&&) noexcept = default;
Segment::~Segment() = default;

Result<Segment> Segment::map(File file, std::uint64_t bytes, const Geometry& geometry, Access access,
                             const std::filesystem::path& path, Holes holes) {
  try {
    const bi::mode_t mode = access == Access::read_only ? bi::read_only : bi::read_write;
    auto mapping = std::make_unique<Mapping>();
    mapping->region = bi::mapped_region(Mappable(file.descriptor(), mode), mode, 0, bytes);
    mapping->file = std::move(file);
    mapping->geometry = geometry;
    mapping->holes = holes;
    mapping->chunks = bits_for((geometry.capacity + geometry.chunk_cells - 1) / geometry.chunk_cells);
    mapping->arena = bits_for(geometry.arena_chunk_count);
    mapping->unique = bits_for(geometry.unique_pages());
    return Segment(std::move(mapping), geometry);
  } catch (const bi::interprocess_exception& failure) {
    return std::unexpected(system_error("cannot map", path, failure.get_native_error()));
  }
}

Result<void> Segment::make_all_cells_free(Segment& segment) {
  for (std::uint32_t chunk = 0; chunk < segment.chunks().count(); ++chunk) {
    if (const int error = segment.make_and_list_chunk(chunk); error != 0) return std::unexpected(cells_refused(error));
  }
  return {};
}

Error cells_refused(int error_number) {
  return error_number == ENOSPC ? Error(ErrorCode::no_space, "shared memory is too small", larger_tmpfs)
                                : Error(ErrorCode::system, "cannot allocate cells", {}, error_number);
}

Result<void> Segment::create(const std::filesystem::path& path, const SegmentConfig& config,
                             std::uint64_t first_generation, std::uint64_t generation_limit, const Filler& filler) {
  const auto folder = folder_of(path);
  if (!folder) return std::unexpected(folder.error());
  return create(*folder, path.filename().string(), config, first_generation, generation_limit, filler);
}

Result<void> Segment::create(const Directory& folder, const std::string& name, const SegmentConfig& config,
                             std::uint64_t first_generation, std::uint64_t generation_limit, const Filler& filler,
                             const Filler& commit) {
  const auto boot = boot_id();
  if (!boot) return std::unexpected(boot.error());
  const Geometry geometry =
      Geometry::of(config.capacity, config.cell_bytes, static_cast<std::uint32_t>(config.levels.size()),
                   config.level_ring_slots, {.max_payload = config.max_payload, .bytes = config.arena_bytes});
  remove_half_made(folder, name);
  const auto fresh = Directory::half_made_name(name);
  if (!fresh) return std::unexpected(fresh.error());
  const std::filesystem::path fresh_path = folder.path_of(*fresh);
  auto file = folder.make_file(*fresh, config.mode);
  if (!file) return std::unexpected(file.error());
  bool is_committed = false;
  const auto make = [&]() -> Result<void> {
    if (config.owner) {
      const Directory::Owner owner{config.owner->user, config.owner->group};
      if (auto given = give_file(*file, owner, fresh_path); !given) return given;
    }
    if (const int error = make_fixed_part(*file, geometry); error != 0)
      return std::unexpected(no_memory(error, geometry.fixed_end, folder));
    auto segment = map(std::move(*file), geometry.bytes, geometry, Access::read_write, fresh_path, Holes::filled);
    if (!segment) return std::unexpected(segment.error());
    if (!make_first_unique_pages(*segment)) return std::unexpected(no_memory(ENOSPC, geometry.fixed_end, folder));
    fill(*segment, config, first_generation, generation_limit, *boot);
    if (auto filled = filler(*segment); !filled) return filled;
    make_ready(segment->header());
    if (commit) {
      if (auto committed = commit(*segment); !committed) return committed;
      is_committed = true;
    }
    return folder.rename(*fresh, name);
  };
  auto made = make();
  if (!made && !is_committed) static_cast<void>(folder.remove_if_there(*fresh));
  return made;
}

Result<Segment> Segment::open(const std::filesystem::path& path, std::uint64_t engine_id, uid_t owner,
                              std::uint32_t mode, Access access, bool dump_in_core) {
  const auto folder = folder_of(path);
  if (!folder) return std::unexpected(folder.error());
  const int flags = access == Access::read_only ? O_RDONLY : O_RDWR;
  auto file = folder->open_file_of(owner, path.filename().string(), flags);
  if (!file) return std::unexpected(file.error());
  struct stat facts {};
  if (::fstat(file->descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  if ((facts.st_mode & 0777 & ~mode) != 0) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the segment's mode lets in more than the engine's says",
                                 path.string() + "; chmod it back"));
  }
  const auto geometry = read_geometry(*file, path);
  if (!geometry) return std::unexpected(geometry.error());
  const Holes holes = access == Access::read_only ? Holes::looked_for : Holes::filled;
  auto segment = map(std::move(*file), geometry->bytes, *geometry, access, path, holes);
  if (!segment) return segment;
  if (segment->header().engine_id.load() != engine_id) {
    return std::unexpected(Error(ErrorCode::incompatible, "the segment belongs to another engine", path.string()));
  }
  const auto boot = boot_id();
  if (!boot) return std::unexpected(boot.error());
  if (segment->header().boot_id[0].load() != (*boot)[0] || segment->header().boot_id[1].load() != (*boot)[1]) {
    return std::unexpected(Error(ErrorCode::stale, "the segment was left by an earlier boot", path.string()));
  }
  // A core dump of a large mapping delays every sign of the process's death (hazard 20). Best effort: old kernels say
  // no.
  if (!dump_in_core) ::madvise(segment->base_, geometry->bytes, MADV_DONTDUMP);
  return segment;
}

Result<Segment> Segment::open_copy(const std::filesystem::path& path) {
  const auto folder = folder_of(path);
  if (!folder) return std::unexpected(folder.error());
  // A copy is the reader's to choose: any file that it may read.
  auto file = folder->open_any_file(path.filename().string(), O_RDONLY);
  if (!file) return std::unexpected(file.error());
  const auto geometry = read_geometry(*file, path);
  if (!geometry) return std::unexpected(geometry.error());
  return map(std::move(*file), geometry->bytes, *geometry, Access::read_only, path, Holes::harmless);
}

int Segment::descriptor() const noexcept { return mapping_->file.descriptor(); }

bool Segment::is_unlinked() const noexcept {
  struct stat facts {};
  return ::fstat(mapping_->file.descriptor(), &facts) == 0 && facts.st_nlink == 0;
}

Result<std::array<std::uint64_t, 2>> boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id");
  if (!text) return std::unexpected(text.error());
  const XXH128_hash_t hash = XXH3_128bits(text->data(), text->size());
  return std::array<std::uint64_t, 2>{hash.low64, hash.high64};
}

}  // namespace ringmill
