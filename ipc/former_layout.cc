#include "ipc/former_layout.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "ipc/file.h"
#include "ipc/layout.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace {

/// A chunk of the arena had so many units, whatever its size.
constexpr std::uint32_t former_chunk_units = 256;

/// A unit is smaller now, in a large chunk: so many stand where one stood. The extents are the same bytes.
std::uint32_t units_per_former_unit(const Segment& fresh) noexcept {
  return fresh.geometry().arena_chunk_units / former_chunk_units;
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

// Sizes and numbers of layout 6.
constexpr std::uint64_t header_bytes = 128;
constexpr std::uint64_t signals_bytes = 640;
constexpr std::uint64_t journal_words_bytes = 384;
constexpr std::uint64_t level_entry_bytes = 384;
constexpr std::uint32_t levels_at_run_time = 1024;
constexpr std::uint32_t participants = 256;
constexpr std::uint64_t kind_rule_bytes = 64;
constexpr std::uint64_t concurrency_rows_bytes = 64 * 2048;

/// generation 40 | owner 10 | state 4 | version 10.
struct FormerWord {
  std::uint64_t bits = 0;
  std::uint64_t generation() const noexcept { return bits >> 24; }
  std::uint32_t owner() const noexcept { return static_cast<std::uint32_t>(bits >> 14) & 0x3ff; }
  CellState state() const noexcept {
    return static_cast<CellState>(std::min<std::uint64_t>(bits >> 10 & 0xf, most_cell_state));
  }
};

Error impossible(const std::filesystem::path& path) {
  return Error(ErrorCode::corrupt, "the segment's header has impossible sizes",
               path.string() + "; `ringmill recover --from-journal` makes the memory anew from the journal");
}

}  // namespace

struct FormerSegment::Offsets {
  std::uint32_t capacity = 0;
  std::uint32_t cell_bytes = 0;
  std::uint64_t journal = 0;
  std::uint64_t participants = 0;
  std::uint64_t kinds = 0;  // names of kinds, then of retry policies
  std::uint64_t marks = 0;
  std::uint64_t cells = 0;
  std::uint64_t arena_units = 0;
  std::uint64_t arena_chunks = 0;
  std::uint64_t arena = 0;
  std::uint64_t bytes = 0;

  static Offsets of(const SegmentHeader& header) noexcept {
    Offsets o;
    o.capacity = header.capacity.load();
    o.cell_bytes = header.cell_bytes.load();
    const std::uint64_t levels = header.level_count.load();
    const ArenaSize arena{.max_payload = header.max_payload.load(), .bytes = header.arena_bytes.load()};
    const std::uint64_t ring_slots = std::bit_ceil(std::uint64_t{o.capacity} + o.capacity / 32);
    o.journal = header_bytes + signals_bytes;
    const std::uint64_t level_entries = o.journal + journal_words_bytes;
    o.participants = round_up(level_entries + (levels + levels_at_run_time) * level_entry_bytes, page_bytes);
    o.kinds = o.participants + std::uint64_t{ringmill::participants} * sizeof(ParticipantEntry);
    const std::uint64_t kind_rules = o.kinds + (most_kinds + most_retry_policies) * sizeof(NameEntry);
    const std::uint64_t free_words = kind_rules + most_kinds * kind_rule_bytes + concurrency_rows_bytes;
    const std::uint64_t free_summary = round_up(free_words + o.capacity / 8, padding_bytes);
    o.marks = round_up(free_summary + std::uint64_t{FreeMap::summary_words(o.capacity)} * 8, padding_bytes);
    const std::uint64_t unique = round_up(o.marks + 4 * mark_map_bytes(o.capacity), padding_bytes);
    const std::uint64_t unique_slots = std::max<std::uint64_t>(64, o.capacity);
    const std::uint64_t rings = round_up(unique + (unique_slots + 2) * 8, page_bytes);
    const std::uint64_t level_rings = round_up(rings + levels * ring_slots * 8, page_bytes);
    o.cells = round_up(level_rings + header.level_ring_slots.load() * 8, page_bytes);
    o.arena_units = round_up(o.cells + std::uint64_t{o.capacity} * o.cell_bytes, page_bytes);
    o.arena_chunks = o.arena = o.bytes = o.arena_units;
    if (arena.bytes == 0) return o;
    const std::uint64_t chunks = arena.bytes / arena.chunk_bytes();
    o.arena_chunks = round_up(o.arena_units + chunks * former_chunk_units * sizeof(ArenaUnit), padding_bytes);
    o.arena = round_up(o.arena_chunks + chunks * sizeof(ArenaChunk), page_bytes);
    o.bytes = o.arena + arena.bytes;
    return o;
  }
};

struct FormerSegment::Mapping {
  const std::byte* base = nullptr;
  Offsets at;

  Mapping(const std::byte* begin, const Offsets& offsets) noexcept : base(begin), at(offsets) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(const_cast<std::byte*>(base), at.bytes); }

  template <class T>
  const T& get(std::uint64_t offset) const noexcept {
    return *reinterpret_cast<const T*>(base + offset);
  }
  const SegmentHeader& header() const noexcept { return get<SegmentHeader>(0); }
  const ParticipantEntry& participant(std::uint32_t n) const noexcept {
    return get<ParticipantEntry>(at.participants + std::uint64_t{n} * sizeof(ParticipantEntry));
  }
  const CellHeader& cell(std::uint32_t index) const noexcept {
    return get<CellHeader>(at.cells + std::uint64_t{index} * at.cell_bytes);
  }
  FormerWord word(std::uint32_t index) const noexcept { return {cell(index).state.load()}; }
};

namespace {

std::uint64_t checksum_of(const SegmentHeader& header) noexcept {
  const std::array<std::uint64_t, 14> fields{
      header.magic.load(),
      header.version.load(),
      header.engine_id.load(),
      header.boot_id[0].load(),
      header.boot_id[1].load(),
      header.bytes.load(),
      std::uint64_t{header.capacity.load()} << 32 | header.cell_bytes.load(),
      // The last programs of layout 6 had the plain capacity; before, the word was zero.
      std::uint64_t{header.plain_capacity.load_once().unbounded()} << 32 | header.level_count.load(),
      header.default_lease_ms.load(),
      header.created_at_ns.load(),
      header.first_generation.load(),
      header.level_ring_slots.load(),
      header.arena_bytes.load(),
      header.max_payload.load(),
  };
  return XXH3_64bits(fields.data(), sizeof fields);
}

bool has_possible_sizes(const SegmentHeader& header) noexcept {
  const std::uint32_t capacity = header.capacity.load();
  const std::uint32_t cell_bytes = header.cell_bytes.load();
  const std::uint32_t levels = header.level_count.load();
  const std::uint64_t level_rings = header.level_ring_slots.load();
  const ArenaSize arena{.max_payload = header.max_payload.load(), .bytes = header.arena_bytes.load()};
  return capacity >= 64 && capacity <= most_cells && capacity % 64 == 0 && cell_bytes >= 128 && cell_bytes <= 65536 &&
         std::has_single_bit(cell_bytes) && levels >= 1 && levels <= most_fixed_levels &&
         level_rings <= most_level_ring_slots && arena.max_payload <= most_payload_limit &&
         arena.bytes <= most_arena_bytes && arena.bytes % arena.chunk_bytes() == 0;
}

Result<void> check(const SegmentHeader& header, std::uint64_t engine_id, const std::filesystem::path& path) {
  if (header.magic.load() != segment_magic) {
    return std::unexpected(Error(ErrorCode::corrupt, "not a ringmill segment", path.string()));
  }
  if (header.version.load() != oldest_upgradable_layout) {
    return std::unexpected(
        Error(ErrorCode::incompatible, "the segment's layout version cannot be upgraded",
              path.string() + " has " + std::to_string(header.version.load()) + "; use the program that made it"));
  }
  if (header.engine_id.load() != engine_id) {
    return std::unexpected(Error(ErrorCode::incompatible, "the segment belongs to another engine", path.string()));
  }
  if (!has_possible_sizes(header) || header.checksum.load() != checksum_of(header)) {
    return std::unexpected(impossible(path));
  }
  const auto boot = boot_id();
  if (!boot) return std::unexpected(boot.error());
  if (header.boot_id[0].load() != (*boot)[0] || header.boot_id[1].load() != (*boot)[1]) {
    return std::unexpected(Error(ErrorCode::stale, "the segment was left by an earlier boot", path.string()));
  }
  return {};
}

}  // namespace

Result<FormerSegment> FormerSegment::open(const Directory& folder, const std::string& name, uid_t owner,
                                          std::uint64_t engine_id) {
  const auto file = folder.open_file_of(owner, name, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  const std::filesystem::path path = folder.path_of(name);
  alignas(SegmentHeader) std::array<std::byte, sizeof(SegmentHeader)> copy{};
  const auto got = read_at(file->descriptor(), 0, copy, path);
  if (!got) return std::unexpected(got.error());
  const auto& header = *reinterpret_cast<const SegmentHeader*>(copy.data());
  if (auto checked = check(header, engine_id, path); !checked) return std::unexpected(checked.error());
  const Offsets at = Offsets::of(header);
  struct stat facts {};
  if (::fstat(file->descriptor(), &facts) != 0) return std::unexpected(system_error("cannot stat", path));
  if (static_cast<std::uint64_t>(facts.st_size) != at.bytes || header.bytes.load() != at.bytes) {
    return std::unexpected(impossible(path));
  }
  void* const begin = ::mmap(nullptr, at.bytes, PROT_READ, MAP_SHARED, file->descriptor(), 0);
  if (begin == MAP_FAILED) return std::unexpected(system_error("cannot map", path));
  return FormerSegment(std::make_shared<const Mapping>(static_cast<const std::byte*>(begin), at));
}

std::uint64_t FormerSegment::arena_bytes() const noexcept { return mapping_->header().arena_bytes.load(); }
std::uint64_t FormerSegment::making() const noexcept { return mapping_->header().reserved[0].load(); }
std::uint64_t FormerSegment::home() const noexcept { return mapping_->header().reserved[1].load(); }

bool FormerSegment::had_begun(std::uint32_t cell) const noexcept {
  const FormerWord word = mapping_->word(cell);
  if (word.owner() == 0 || word.owner() > participants) return false;
  const std::uint64_t id = word.generation() << index_bits | cell;
  return std::ranges::any_of(mapping_->participant(word.owner() - 1).leases, [id](const LeaseSlot& slot) {
    return slot.job_id.load() == id && slot.started_at_ns.load() != 0;
  });
}

Result<void> FormerSegment::copy_into(const Segment& fresh) const {
  const Mapping& former = *mapping_;
  const Geometry& geometry = fresh.geometry();
  const bool is_alike = geometry.capacity == former.at.capacity && geometry.cell_bytes == former.at.cell_bytes &&
                        std::uint64_t{geometry.arena_chunk_count} * geometry.arena_chunk_bytes == arena_bytes();
  if (!is_alike) {
    return std::unexpected(
        Error(ErrorCode::incompatible, "engine.json says other sizes than the engine's shared memory has"));
  }
  auto* const to = reinterpret_cast<std::byte*>(&fresh.header());
  const std::uint64_t names_bytes = (most_kinds + most_retry_policies) * sizeof(NameEntry);
  std::memcpy(to + geometry.kinds, former.base + former.at.kinds, names_bytes);
  // The journal's three maps; the keeper's marks are hints.
  std::memcpy(to + geometry.marks, former.base + former.at.marks, 3 * mark_map_bytes(geometry.capacity));
  const auto& journal = former.get<JournalWords>(former.at.journal);
  fresh.journal().epoch.store(journal.epoch.load());
  fresh.journal().segments.store(journal.segments.load());
  constexpr std::array counters{
      &ParticipantEntry::enqueued,  &ParticipantEntry::completed,   &ParticipantEntry::failed,
      &ParticipantEntry::retried,   &ParticipantEntry::worker_lost, &ParticipantEntry::lease_expired,
      &ParticipantEntry::cancelled, &ParticipantEntry::released,    &ParticipantEntry::dead};
  for (const auto counter : counters) {
    std::uint64_t total = 0;
    for (std::uint32_t n = 0; n < participants; ++n) total += (former.participant(n).*counter).load();
    (fresh.participant(0).*counter).store(total);
  }
  if (auto copied = copy_cells(fresh); !copied) return copied;
  return copy_arena(fresh);
}

Result<void> FormerSegment::copy_cells(const Segment& fresh) const {
  const Mapping& former = *mapping_;
  const CellChunks chunks = fresh.chunks();
  for (std::uint32_t index = 0; index < former.at.capacity; ++index) {
    const FormerWord word = former.word(index);
    const bool is_known = word.state() != CellState::free || former.cell(index).revision.load() != 0;
    if (!is_known) continue;
    if (!chunks.is_there(index)) {
      const int error = fresh.make_and_list_chunk(chunks.chunk_of(index));
      if (error != 0) return std::unexpected(cells_refused(error));
    }
    std::byte* const to = fresh.cells() + std::uint64_t{index} * former.at.cell_bytes;
    std::memcpy(to, &former.cell(index), former.at.cell_bytes);
    CellHeader& header = *reinterpret_cast<CellHeader*>(to);
    if ((header.flags.load() & cell_flag::in_arena) != 0) {
      header.extent.store(header.extent.load_once().unbounded() * units_per_former_unit(fresh));
    }
    // What was being filled never was.
    const CellState state = word.state() == CellState::filling ? CellState::free : word.state();
    header.state.store(StateWord::make(std::min(word.generation(), most_generation), 0, state, 0).bits());
  }
  return {};
}

Result<void> FormerSegment::copy_arena(const Segment& fresh) const {
  const Mapping& former = *mapping_;
  const std::uint64_t chunk_bytes = fresh.geometry().arena_chunk_bytes;
  for (std::uint32_t chunk = 0; chunk < fresh.geometry().arena_chunk_count; ++chunk) {
    const std::uint32_t first = chunk * former_chunk_units;
    const std::uint32_t step = units_per_former_unit(fresh);
    const auto* const units = &former.get<ArenaUnit>(former.at.arena_units + first * sizeof(ArenaUnit));
    const auto is_used = [](const ArenaUnit& unit) { return unit.job_id.load() != 0; };
    if (std::none_of(units, units + former_chunk_units, is_used)) continue;
    if (!fresh.make_arena_chunk(chunk)) return std::unexpected(cells_refused(ENOSPC));
    for (std::uint32_t n = 0; n < former_chunk_units; ++n) {
      fresh.arena_unit((first + n) * step).store(units[n].job_id.load());
    }
    const auto& cut = former.get<ArenaChunk>(former.at.arena_chunks + chunk * sizeof(ArenaChunk)).cut;
    fresh.arena_chunk(chunk).store(cut.load_once().unbounded());
    std::memcpy(fresh.arena() + chunk * chunk_bytes, former.base + former.at.arena + chunk * chunk_bytes, chunk_bytes);
  }
  return {};
}

}  // namespace ringmill
