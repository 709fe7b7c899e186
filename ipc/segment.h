// The segment: one file in a tmpfs that holds everything processes share. Made whole before any process can see it,
// checked before use.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/error.h>

#include "ipc/cell_chunks.h"
#include "ipc/dynamic_level.h"
#include "ipc/file.h"
#include "ipc/free_map.h"
#include "ipc/journal_marks.h"
#include "ipc/keeper_marks.h"
#include "ipc/layout.h"
#include "ipc/name_table.h"
#include "ipc/presence.h"
#include "ipc/ring.h"

namespace ringmill {

class Directory;

/// Whose a file is.
struct FileOwner {
  uid_t user;
  gid_t group;
};

/// The parameters that fix the layout of a segment, and its access rights.
struct SegmentConfig {
  std::uint64_t engine_id = 0;
  std::uint32_t capacity = 0;  // all cells
  std::uint32_t cell_bytes = 0;
  std::uint32_t default_lease_ms = 0;
  std::uint32_t max_payload = 0;  // 0: what fits a cell
  std::uint64_t arena_bytes = 0;  // whole chunks; 0: no arena
  std::uint32_t mode = 0600;
  std::optional<FileOwner> owner{};  // nothing: the process that makes it
  std::vector<std::string> levels{};
  std::vector<std::uint32_t> weights{};
  /// Cells that jobs of any level may take; 0: all of them.
  std::uint32_t plain_capacity = 0;
  /// Cells that only jobs of one fixed level may take, per level; none: empty.
  std::vector<std::uint32_t> kept_cells{};
  /// The most kept results; 0: no bound but the room.
  std::uint32_t results_limit = 0;
  /// Hints that the rings of all dynamic levels share; 0: as many as fit the capacity.
  std::uint64_t level_ring_slots = 0;
  /// For so long the memory of free cells is kept.
  std::uint64_t keep_memory_ms = 10'000;
};

/// The longest payload, and the arena for those that do not fit a cell.
struct ArenaSize {
  std::uint32_t max_payload = 0;
  std::uint64_t bytes = 0;

  /// An extent of a whole chunk takes the longest payload.
  static constexpr std::uint32_t chunk_bytes_for(std::uint32_t max_payload) noexcept {
    return std::max(least_arena_chunk_bytes, std::bit_ceil(max_payload));
  }
  constexpr std::uint32_t chunk_bytes() const noexcept { return chunk_bytes_for(max_payload); }
};

/// Where each region begins: a function of capacity, cell size, number of levels, their rings' room and the arena's
/// size alone. Each process computes it for itself; no offset is ever read from shared memory.
struct Geometry {
  std::uint32_t capacity = 0;
  std::uint32_t cell_bytes = 0;
  std::uint32_t level_count = 0;
  std::uint64_t ring_slots = 0;  // of one level
  std::uint64_t signals = 0;
  std::uint64_t journal = 0;
  std::uint64_t levels = 0;
  std::uint64_t participants = 0;
  std::uint64_t kinds = 0;
  std::uint64_t retry_policies = 0;
  std::uint64_t kind_rules = 0;
  std::uint64_t permit_rows = 0;
  std::uint64_t pair_counts = 0;
  std::uint64_t duration_counts = 0;
  std::uint32_t chunk_cells = 0;
  std::uint64_t chunk_bits = 0;
  std::uint64_t chunk_words = 0;
  std::uint64_t free_words = 0;
  std::uint64_t free_summary = 0;
  std::uint64_t marks = 0;           // four maps of capacity / 64 words: the journal's three, and the keeper's
  std::uint64_t keeper_summary = 0;  // a bit per word of the keeper's map
  std::uint64_t unique_bits = 0;     // a bit per page of `unique` that is allocated
  std::uint64_t unique = 0;
  std::uint64_t unique_slots = 0;
  std::uint64_t rings = 0;
  std::uint64_t level_rings = 0;  // of dynamic levels
  std::uint64_t level_ring_slots = 0;
  std::uint64_t cells = 0;
  std::uint32_t max_payload = 0;  // what fits a cell, or more
  std::uint32_t arena_chunk_bytes = 0;
  std::uint32_t arena_chunk_count = 0;
  std::uint32_t arena_chunk_units = least_arena_chunk_units;  // a power of two
  std::uint64_t arena_units = 0;
  std::uint64_t arena_bits = 0;  // a bit per chunk of the arena that is allocated, with the words of its units
  std::uint64_t arena_chunks = 0;
  std::uint64_t arena = 0;
  std::uint64_t fixed_end = 0;  // what is before is allocated by the creator, in full
  std::uint64_t bytes = 0;

  /// `level_ring_slots` 0: default_level_ring_slots.
  static Geometry of(std::uint32_t capacity, std::uint32_t cell_bytes, std::uint32_t level_count,
                     std::uint64_t level_ring_slots = 0, const ArenaSize& arena = {}) noexcept;
  /// Numbers of levels, those that are not in use included.
  std::uint32_t level_numbers() const noexcept { return level_count + most_dynamic_levels; }
  std::uint32_t arena_unit_count() const noexcept { return arena_chunk_count * arena_chunk_units; }
  std::uint32_t arena_unit_bytes() const noexcept { return arena_chunk_bytes / arena_chunk_units; }
  /// The words of a chunk's units: whole pages, or a half of one.
  std::uint64_t arena_unit_words_bytes() const noexcept { return std::uint64_t{arena_chunk_units} * sizeof(ArenaUnit); }
  std::uint64_t unique_pages() const noexcept { return ((unique_slots + 2) * 8 + page_bytes - 1) / page_bytes; }
};

/// One map of marks; maps lie apart, so that writers of different ones do not disturb each other.
constexpr std::uint64_t mark_map_bytes(std::uint32_t capacity) noexcept {
  return (capacity / 8 + padding_bytes - 1) / padding_bytes * padding_bytes;
}

/// A mapped segment. The accessors check nothing: indexes are bounded by their callers, which never take one from
/// shared memory unchecked.
class Segment {
 public:
  enum class Access { read_only, read_write };

  /// Fills in the cells of a segment that no other process sees yet: all zero when it comes, and everything else is
  /// there. May change first generation and generation limit. After an error the segment is given up.
  using Filler = std::function<Result<void>(Segment&)>;
  static Result<void> make_all_cells_free(Segment& segment);

  /// Makes the file `path` with the memory of an empty engine, its cells as `filler` makes them. Puts it in place by
  /// rename.
  /// Whatever stood at `path` stays until then. The caller holds the engine's structure lock.
  /// `generation_limit` is durable in the engine's directory.
  static Result<void> create(const std::filesystem::path& path, const SegmentConfig& config,
                             std::uint64_t first_generation, std::uint64_t generation_limit,
                             const Filler& filler = make_all_cells_free);
  /// The same in a folder that the caller has looked at. `commit` is called when all is there but the name: the file
  /// stays from then on, also if the rename fails.
  static Result<void> create(const Directory& folder, const std::string& name, const SegmentConfig& config,
                             std::uint64_t first_generation, std::uint64_t generation_limit, const Filler& filler,
                             const Filler& commit = {});

  /// Maps and checks: owner and mode of the file, magic, version, sizes, checksum, and that it belongs to `engine_id`
  /// and this boot.
  static Result<Segment> open(const std::filesystem::path& path, std::uint64_t engine_id, uid_t owner,
                              std::uint32_t mode, Access access, bool dump_in_core);

  /// Maps a copy of a segment for inspection: checks what keeps the reader within bounds, and no more.
  static Result<Segment> open_copy(const std::filesystem::path& path);

  Segment(Segment&&) noexcept;
  Segment& operator=(Segment&&) noexcept;
  ~Segment();

  const Geometry& geometry() const noexcept { return geometry_; }
  SegmentHeader& header() const noexcept { return at<SegmentHeader>(0); }
  Signals& signals() const noexcept { return at<Signals>(geometry_.signals); }
  JournalWords& journal() const noexcept { return at<JournalWords>(geometry_.journal); }
  JournalMarks marks() const noexcept {
    const std::uint64_t map_bytes = mark_map_bytes(geometry_.capacity);
    auto* const first = &at<std::atomic<std::uint64_t>>(geometry_.marks);
    return JournalMarks(first, first + map_bytes / 8, first + 2 * map_bytes / 8, chunks());
  }
  KeeperMarks keeper_marks() const noexcept {
    return KeeperMarks(&at<std::atomic<std::uint64_t>>(geometry_.marks + 3 * mark_map_bytes(geometry_.capacity)),
                       &at<std::atomic<std::uint64_t>>(geometry_.keeper_summary), chunks(), signals());
  }
  /// geometry().unique_slots words, each a job's id or 0: hints of core/table/unique_jobs.h. Written by enqueuers. Only
  /// those whose page is allocated may be touched.
  std::atomic<std::uint64_t>* unique_slots() const noexcept {
    return &at<std::atomic<std::uint64_t>>(geometry_.unique);
  }
  LevelEntry& level(std::uint32_t n) const noexcept {
    return at<LevelEntry>(geometry_.levels + n * sizeof(LevelEntry));
  }
  /// `n` is below participants_end().
  ParticipantEntry& participant(std::uint32_t n) const noexcept {
    return at<ParticipantEntry>(geometry_.participants + n * sizeof(ParticipantEntry));
  }
  /// No entry at or behind this number was ever in use, and each below is allocated, whatever the shared word says.
  std::uint32_t participants_end() const noexcept;
  /// The entry of a state word's owner, or of any other number + 1; nullptr: there is none.
  ParticipantEntry* participant_of(std::uint32_t owner) const noexcept {
    return owner != 0 && owner <= participants_end() ? &participant(owner - 1) : nullptr;
  }
  /// Allocates another step of entries behind the first `end`, for a registrant that found those taken:
  ///
  ///                                                                killed just after the step
  ///   entry.A1  allocate and touch the entries                     no process walks there; the next one does it again
  ///   entry.A2  raise Signals::participants_end                    they are free entries
  ///
  /// Error no_space: the tmpfs is full.
  Result<void> add_participants(std::uint32_t end) const;
  std::uint64_t participant_offset(std::uint32_t n) const noexcept {
    return geometry_.participants + n * sizeof(ParticipantEntry);
  }
  NameTable kinds() const noexcept { return NameTable(&at<NameEntry>(geometry_.kinds), most_kinds); }
  NameTable retry_policies() const noexcept {
    return NameTable(&at<NameEntry>(geometry_.retry_policies), most_retry_policies);
  }
  /// `kind` is below most_kinds, `row` below most_permit_rows.
  KindRule& kind_rule(std::uint32_t kind) const noexcept {
    return at<KindRule>(geometry_.kind_rules + kind * sizeof(KindRule));
  }
  PermitRow& permit_row(std::uint32_t row) const noexcept {
    return at<PermitRow>(geometry_.permit_rows + row * sizeof(PermitRow));
  }
  /// Statistics: `n` is below own_pairs, or shared_pairs, or wait_histograms, or run_histograms. The last one of the
  /// shared pairs and of the runs is for all that find no other.
  PairCounts& own_pair(std::uint32_t participant, std::uint32_t n) const noexcept {
    return pair_counts(participant * own_pairs + n);
  }
  PairCounts& shared_pair(std::uint32_t n) const noexcept { return pair_counts(most_participants * own_pairs + n); }
  DurationCounts& waits(std::uint32_t n) const noexcept { return duration_counts(n); }
  DurationCounts& runs(std::uint32_t n) const noexcept { return duration_counts(wait_histograms + n); }
  FreeMap free_map() const noexcept {
    return FreeMap(&at<std::atomic<std::uint64_t>>(geometry_.free_words),
                   &at<std::atomic<std::uint64_t>>(geometry_.free_summary), geometry_.capacity);
  }
  /// A view with a private memory of the head: one per thread. `n` is below level_numbers().
  Ring ring(std::uint32_t n) const noexcept {
    if (n >= geometry_.level_count) return dynamic_ring(n);
    return Ring(&level(n), &at<std::atomic<std::uint64_t>>(geometry_.rings + n * geometry_.ring_slots * 8),
                geometry_.ring_slots);
  }
  /// The slots of a piece, which must be sound.
  std::atomic<std::uint64_t>* level_ring_slots(RingPiece piece) const noexcept {
    return &at<std::atomic<std::uint64_t>>(geometry_.level_rings + std::uint64_t{piece.first} * 8);
  }
  /// Returns the state word of a dynamic level's entry. `n` as in ring().
  LevelWord level_word(std::uint32_t n) const noexcept { return LevelWord::of(level(n).dynamic_state.load()); }
  /// No level at or behind this number was ever in use. At most level_numbers().
  std::uint32_t levels_end() const noexcept {
    return std::max(signals().levels_end.load_once().at_most(geometry_.level_numbers()), geometry_.level_count);
  }
  /// A level whose jobs are waited for: a fixed one, or a dynamic one that is not removed. Any `n`.
  bool has_level(std::uint32_t n) const noexcept {
    if (n < geometry_.level_count) return true;
    return n < geometry_.level_numbers() && level_word(n).is_in_use();
  }
  std::byte* cells() const noexcept { return base_ + geometry_.cells; }
  CellChunks chunks() const noexcept {
    return CellChunks(presence_of(geometry_.chunk_bits, own_.chunks, has_chunk_by_kernel),
                      &at<ChunkWord>(geometry_.chunk_words), geometry_.capacity, geometry_.chunk_cells);
  }
  std::atomic<std::uint64_t>& arena_unit(std::uint32_t n) const noexcept {
    return at<ArenaUnit>(geometry_.arena_units + n * sizeof(ArenaUnit)).job_id;
  }
  SharedWord<std::uint64_t>& arena_chunk(std::uint32_t n) const noexcept {
    return at<ArenaChunk>(geometry_.arena_chunks + n * sizeof(ArenaChunk)).cut;
  }
  std::byte* arena() const noexcept { return base_ + geometry_.arena; }

  /// Whether a page of the unique slots is allocated. Any page below geometry().unique_pages().
  bool has_unique_page(std::uint64_t page) const noexcept { return unique_presence().has(page); }
  /// Allocates it. Any number of participants may do that at once; killed in between, the page is allocated again.
  bool make_unique_page(std::uint64_t page) const noexcept;
  /// The same for a chunk of the arena, with the words of its units.
  bool has_arena_chunk(std::uint32_t chunk) const noexcept { return arena_presence().has(chunk); }
  bool make_arena_chunk(std::uint32_t chunk) const noexcept;
  /// shrink.X3, shrink.X5 and shrink.X6 of core/keeper/arena_trimming.h. The last returns 0, or errno.
  void hide_arena_chunk(std::uint32_t chunk) const noexcept { arena_presence().clear(chunk); }
  int free_arena_chunk(std::uint32_t chunk) const noexcept;

  /// visit.V2: what has left since is not there any more (ipc/presence.h). Each visit and look calls this when it has
  /// begun, and each turn of the keeper.
  void forget_what_has_left() const noexcept;

  /// Allocates a part of the file, so that it may be touched; what is there stays as it is. Returns 0, or errno: ENOSPC
  /// when the tmpfs is full.
  int allocate(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// Gives the memory of whole pages back. They must not be touched until they are allocated again.
  int free_memory(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// The memory of a chunk of cells: grow.G1 and give.B6 of ipc/cell_chunks.h. Return 0, or errno.
  int allocate_chunk(std::uint32_t chunk) const noexcept;
  int free_chunk(std::uint32_t chunk) const noexcept;
  /// grow.G1 and grow.G2. Returns 0, or errno.
  int make_chunk(std::uint32_t chunk, std::uint64_t base) const noexcept;
  /// grow.G1 to grow.G5 of a chunk that is absent. Returns 0, or errno: ENOSPC when the tmpfs is full.
  int make_and_list_chunk(std::uint32_t chunk) const noexcept;
  /// What the segment takes of the tmpfs now. Costs a system call.
  std::uint64_t allocated_bytes() const noexcept;
  /// What its file system has left. Nothing: it does not say. Costs a system call.
  std::optional<std::uint64_t> memory_left() const noexcept;

  /// While one is held, no cell that was there goes: for threads that look at cells without an entry of the registry
  /// (ipc/visits.h). Many threads and processes may hold one. The first of a process and the last cost a system call.
  class Look {
   public:
    explicit Look(const Segment& segment) noexcept : segment_(&segment) { segment_->begin_look(); }
    ~Look() { segment_->end_look(); }
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;

   private:
    const Segment* segment_;
  };
  Look look() const noexcept { return Look(*this); }
  /// Whether no process holds a look: all that began before this call are over.
  bool has_no_looks() const noexcept;

  /// True when the file was unlinked under us: new processes cannot join.
  bool is_unlinked() const noexcept;
  /// The segment's file, for callers that map a part of it again.
  int descriptor() const noexcept;

 private:
  struct Mapping;
  enum class Holes { filled, looked_for, harmless };
  std::uint32_t check_participants(std::uint32_t end) const noexcept;
  struct Range {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  /// Where the cells of a chunk stand in the file.
  static Range range_of(const Geometry& geometry, std::uint32_t chunk) noexcept;
  Range range_of(std::uint32_t chunk) const noexcept { return range_of(geometry_, chunk); }
  /// presence.K3. `mapping` is the segment's.
  static bool has_chunk_by_kernel(const void* mapping, std::uint64_t chunk) noexcept;
  static bool has_arena_chunk_by_kernel(const void* mapping, std::uint64_t chunk) noexcept;
  static bool has_unique_page_by_kernel(const void* mapping, std::uint64_t page) noexcept;
  Presence presence_of(std::uint64_t map, std::atomic<std::uint64_t>* own, Presence::Ask ask) const noexcept {
    return Presence(&at<std::atomic<std::uint64_t>>(map), own, ask, mapping_.get());
  }
  Presence arena_presence() const noexcept {
    return presence_of(geometry_.arena_bits, own_.arena, has_arena_chunk_by_kernel);
  }
  Presence unique_presence() const noexcept {
    return presence_of(geometry_.unique_bits, own_.unique, has_unique_page_by_kernel);
  }
  void begin_look() const noexcept;
  void end_look() const noexcept;
  explicit Segment(std::unique_ptr<Mapping> mapping, const Geometry& geometry) noexcept;
  static Result<Segment> map(File file, std::uint64_t bytes, const Geometry& geometry, Access access,
                             const std::filesystem::path& path, Holes holes);
  PairCounts& pair_counts(std::uint32_t n) const noexcept {
    return at<PairCounts>(geometry_.pair_counts + n * sizeof(PairCounts));
  }
  DurationCounts& duration_counts(std::uint32_t n) const noexcept {
    return at<DurationCounts>(geometry_.duration_counts + n * sizeof(DurationCounts));
  }
  Ring dynamic_ring(std::uint32_t n) const noexcept {
    RingPiece piece = RingPiece::of(level(n).dynamic_ring.load());
    // It is corrupted. Hints are checked wherever they stand.
    if (!piece.is_within(geometry_.level_ring_slots)) piece = {.first = 0, .slots = least_level_ring};
    return Ring(&level(n), level_ring_slots(piece), piece.slots);
  }
  template <SharedStruct T>
  T& at(std::uint64_t offset) const noexcept {
    return shared_at<T>(base_ + offset);
  }

  std::unique_ptr<Mapping> mapping_;
  std::byte* base_ = nullptr;
  Geometry geometry_;
  /// What this process knows to be there, a bit per part: of the mapping.
  struct OwnMaps {
    std::atomic<std::uint64_t>* chunks = nullptr;
    std::atomic<std::uint64_t>* arena = nullptr;
    std::atomic<std::uint64_t>* unique = nullptr;
  };
  OwnMaps own_;
};

/// What to do when the tmpfs of the segment is full.
inline constexpr const char* larger_tmpfs = "use another --shm-dir, or a larger tmpfs (docker: --shm-size)";
/// The error of a chunk that was refused, by its errno.
Error cells_refused(int error_number);

/// True for the names of what was to become the segment `name`.
bool is_half_made_segment(std::string_view file, std::string_view name) noexcept;

/// The kernel's random id of this boot.
Result<std::array<std::uint64_t, 2>> boot_id();

}  // namespace ringmill
