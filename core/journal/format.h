// The journal on the disk: segment heads, blocks, records. docs/journal-format.md says the same in words, for other
// programs; every number is little-endian.
//
// To change a struct here: raise journal_version; change the struct, its static_asserts, docs/journal-format.md and the
// reader in tests/journal/journal.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace ringmill {

inline constexpr std::uint64_t journal_magic = 0x3130766a676e6972;  // "ringjv01"
inline constexpr std::uint32_t block_magic = 0x6b6c426a;            // "jBlk"
inline constexpr std::uint32_t journal_version = 1;

/// Segments and blocks begin and end at multiples of this: what O_DIRECT asks for.
inline constexpr std::uint32_t journal_unit = 4096;
/// For readers that know of no segment's length.
inline constexpr std::uint64_t any_length = ~std::uint64_t{0};
/// Blocks, segments and epochs are numbered below this. No engine comes near it; a file may say what it likes. A reader
/// believes higher numbers, a writer does not go on from them: behind the highest number there is none.
inline constexpr std::uint64_t most_journal_number = std::uint64_t{1} << 62;
/// A block is at most this long, its head and padding included.
inline constexpr std::uint32_t most_block_bytes = 256 * 1024;

/// The first bytes of a segment's file; the rest of its first unit is zero. Blocks begin at the second unit.
struct SegmentHead {
  std::uint64_t magic = journal_magic;
  std::uint32_t version = journal_version;
  std::uint32_t segment_bytes_in_units = 0;  // of the whole file
  std::uint64_t engine_id = 0;
  std::uint64_t segment = 0;                // 1, 2, 3 ...: each use of a file gets the next number
  std::uint64_t epoch = 0;                  // of the keeper that began it
  std::uint64_t first_block = 0;            // the number of its first block; all before it were durable
  std::uint64_t oldest = 0;                 // segments below did not count any more when this one was begun
  std::uint64_t created_at_ns = 0;          // wall clock
  std::uint32_t previous_end_in_units = 0;  // where the last block ends that counts in the segment before; 0: none
  std::uint32_t reserved = 0;
  std::uint64_t checksum = 0;  // of all fields above
};
static_assert(sizeof(SegmentHead) == 80 && offsetof(SegmentHead, previous_end_in_units) == 64 &&
              offsetof(SegmentHead, checksum) == 72);
static_assert(std::is_trivially_copyable_v<SegmentHead> && std::has_unique_object_representations_v<SegmentHead>);

/// One write to the device. Records follow the head, each at a multiple of 8; zeros up to `bytes`.
struct BlockHead {
  std::uint32_t magic = block_magic;
  std::uint32_t bytes = 0;  // of the whole block, a multiple of journal_unit
  std::uint64_t engine_id = 0;
  std::uint64_t segment = 0;                // the segment that it was written for
  std::uint64_t number = 0;                 // one more than the block before it, over all segments
  std::uint64_t durable = 0;                // blocks up to this one were durable when this one was written
  std::uint64_t oldest = 0;                 // segments below do not count any more
  std::uint64_t epoch = 0;                  // of the keeper that wrote it; never falls along the chain
  std::uint32_t offset_in_units = 0;        // where in its segment it stands
  std::uint32_t durable_end_in_units = 0;   // where block `durable` ends in this segment, or its first block begins
  std::uint32_t previous_end_in_units = 0;  // as in the segment's head
  std::uint32_t index = 0;                  // of its segment's blocks, from 0: number - index is the head's first_block
  std::uint32_t record_bytes = 0;           // of all records, without head and padding
  std::uint32_t records = 0;
  std::uint64_t written_at_ns = 0;  // wall clock
  std::uint64_t checksum = 0;       // of the records and padding, seeded with that of the fields above
};
static_assert(sizeof(BlockHead) == 96 && offsetof(BlockHead, durable_end_in_units) == 60 &&
              offsetof(BlockHead, record_bytes) == 72 && offsetof(BlockHead, checksum) == 88);
static_assert(std::is_trivially_copyable_v<BlockHead> && std::has_unique_object_representations_v<BlockHead>);

enum class RecordType : std::uint8_t {
  job = 1,           // JobRecord: a job as it stands, whole
  ended = 2,         // ShortRecord: every job that this cell had before the generation in `id` is over
  attempts = 3,      // ShortRecord: `value` attempts of this job have ended
  kind = 4,          // KindRecord: the name of a kind
  change = 5,        // ChangeRecord: what else became of a job
  options = 6,       // OptionsRecord: what a job asks for beyond the plain
  retry_policy = 7,  // KindRecord: the text of a retry policy
  links = 8,         // LinksRecord: a job's parents, and its bundle
  part = 9,          // PartRecord: a piece of a payload that is too long for a job record
  large_job = 10,    // LargeJobRecord: as job; its payload stands in parts, further ahead
  result_part = 11,  // ResultPartRecord: a piece of a result that is not in the job's cell
  notes = 12,        // NotesRecord: what a job carries beside its payload
};

/// A job that waits or runs. `payload_bytes` of payload follow, then zeros up to a multiple of 8.
struct JobRecord {
  RecordType type = RecordType::job;
  std::uint8_t flags = 0;  // 0 in version 1: readers refuse others
  std::uint16_t level = 0;
  std::uint32_t payload_bytes = 0;
  std::uint64_t id = 0;
  /// Wall clock in milliseconds, 48 bits; attempts that ended in the 16 bits above.
  std::uint64_t enqueued_at_ms_and_attempts = 0;
  std::uint16_t kind = 0;
  std::uint16_t most_attempts = 0;  // 0: no bound
  std::uint32_t lease_ms = 0;       // 0: the engine's default

  constexpr std::uint64_t enqueued_at_ms() const noexcept { return enqueued_at_ms_and_attempts & 0xffffffffffff; }
  constexpr std::uint16_t attempts() const noexcept {
    return static_cast<std::uint16_t>(enqueued_at_ms_and_attempts >> 48);
  }
};
static_assert(sizeof(JobRecord) == 32 && offsetof(JobRecord, id) == 8 && offsetof(JobRecord, kind) == 24);
static_assert(std::is_trivially_copyable_v<JobRecord> && std::has_unique_object_representations_v<JobRecord>);

/// `part_bytes` of the payload follow, then zeros up to a multiple of 8. Part n of a payload begins at n times
/// most_part_bytes, and all but the last are that long.
struct PartRecord {
  RecordType type = RecordType::part;
  std::uint8_t flags = 0;
  std::uint16_t number = 0;
  std::uint32_t part_bytes = 0;
  std::uint64_t id = 0;
  std::uint64_t payload_bytes = 0;  // of the whole payload
};
static_assert(sizeof(PartRecord) == 24 && offsetof(PartRecord, id) == 8);
static_assert(std::is_trivially_copyable_v<PartRecord> && std::has_unique_object_representations_v<PartRecord>);

/// A job whose payload was written before this, in parts: all of them, from the segment `first_segment` on. It counts
/// only if they are there.
struct LargeJobRecord {
  JobRecord job{.type = RecordType::large_job};
  std::uint64_t first_segment = 0;
};
static_assert(sizeof(LargeJobRecord) == 40 && offsetof(LargeJobRecord, first_segment) == 32);
static_assert(std::is_trivially_copyable_v<LargeJobRecord> && std::has_unique_object_representations_v<LargeJobRecord>);

/// As PartRecord, of a result. It counts with the change record behind the parts that says so, and whose `started` is
/// their `change`.
struct ResultPartRecord {
  RecordType type = RecordType::result_part;
  std::uint8_t flags = 0;
  std::uint16_t number = 0;
  std::uint32_t part_bytes = 0;
  std::uint64_t id = 0;
  std::uint64_t result_bytes = 0;  // of the whole result
  std::uint64_t change = 0;        // CellOptions::started: tells the results of one id apart
};
static_assert(sizeof(ResultPartRecord) == 32 && offsetof(ResultPartRecord, id) == 8 &&
              offsetof(ResultPartRecord, result_bytes) == offsetof(PartRecord, payload_bytes));
static_assert(std::is_trivially_copyable_v<ResultPartRecord> &&
              std::has_unique_object_representations_v<ResultPartRecord>);

struct ShortRecord {
  RecordType type = RecordType::ended;
  std::uint8_t flags = 0;
  std::uint16_t value = 0;
  std::uint32_t reserved = 0;
  std::uint64_t id = 0;
};
static_assert(sizeof(ShortRecord) == 16 && offsetof(ShortRecord, id) == 8);
static_assert(std::is_trivially_copyable_v<ShortRecord> && std::has_unique_object_representations_v<ShortRecord>);

/// `name_bytes` characters follow, then zeros up to a multiple of 8. Each segment names the kinds that its records use
/// before it uses them, so that no segment needs an older one.
struct KindRecord {
  RecordType type = RecordType::kind;
  std::uint8_t flags = 0;
  std::uint16_t name_bytes = 0;
  std::uint32_t kind = 0;
};
static_assert(sizeof(KindRecord) == 8 && offsetof(KindRecord, kind) == 4);
static_assert(std::is_trivially_copyable_v<KindRecord> && std::has_unique_object_representations_v<KindRecord>);

/// Where a job stands that is not just waiting.
enum class JournaledState : std::uint8_t {
  waits = 0,      // for a worker, or runs
  delayed = 1,    // until due_ms
  completed = 2,  // over, and kept until due_ms
  cancelled = 3,  // as completed
  dead = 4,       // on its way to the dead letters
  blocked = 5,    // waits for its parents
};
inline constexpr std::uint8_t most_journaled_state = 5;

/// A job that goes on, or is kept. `text_bytes` of text (the last error, or the result) follow, then zeros up to a
/// multiple of 8.
struct ChangeRecord {
  RecordType type = RecordType::change;
  std::uint8_t flags = 0;
  std::uint16_t attempts = 0;  // that have ended
  std::uint16_t text_bytes = 0;
  JournaledState state = JournaledState::waits;
  std::uint8_t cause = 0;  // why it is dead: DeathCause; why its result is not whole: ResultRefusal
  std::uint64_t id = 0;
  /// Wall clock in milliseconds, 48 bits. Bit 48: 1 if the job names that moment, 0 if a span of time ends then, as the
  /// wall clock stood when this was written. Bit 49: the result is not whole. Bit 50: the result stands in parts,
  /// further ahead, and there is no text.
  std::uint64_t due = 0;
  std::uint64_t started = 0;      // of the last attempt: CellOptions::started
  std::uint64_t ended_at_ms = 0;  // of the last attempt

  static constexpr std::uint64_t wall_bit = std::uint64_t{1} << 48;
  static constexpr std::uint64_t result_cut_bit = std::uint64_t{1} << 49;
  static constexpr std::uint64_t result_parts_bit = std::uint64_t{1} << 50;
  constexpr std::uint64_t due_ms() const noexcept { return due & (wall_bit - 1); }
  constexpr bool is_wall() const noexcept { return (due & wall_bit) != 0; }
  constexpr bool is_result_cut() const noexcept {
    return state == JournaledState::completed && (due & result_cut_bit) != 0;
  }
  constexpr bool is_result_in_parts() const noexcept {
    return state == JournaledState::completed && (due & result_parts_bit) != 0;
  }
};
static_assert(sizeof(ChangeRecord) == 40 && offsetof(ChangeRecord, id) == 8 && offsetof(ChangeRecord, text_bytes) == 4);
static_assert(std::is_trivially_copyable_v<ChangeRecord> && std::has_unique_object_representations_v<ChangeRecord>);

/// What the job of the record before it asks for; always in the same block as that.
struct OptionsRecord {
  RecordType type = RecordType::options;
  std::uint8_t flags = 0;
  std::uint16_t cell_flags = 0;    // of cell_flag
  std::uint16_t retry_policy = 0;  // as in CellHeader
  std::uint16_t reserved = 0;
  std::uint64_t id = 0;
  std::uint64_t expires_at_ms = 0;
  std::uint64_t keep_ms = 0;
  std::uint64_t unique_low = 0;  // as in CellOptions
  std::uint64_t unique_high = 0;
};
static_assert(sizeof(OptionsRecord) == 48 && offsetof(OptionsRecord, id) == 8);
static_assert(std::is_trivially_copyable_v<OptionsRecord> && std::has_unique_object_representations_v<OptionsRecord>);

/// Names the parents of the job of the record before it, and says whether that job counts without its bundle. It is
/// always in the same block as that record. Its payload begins with the parents' ids, 8 bytes each.
struct LinksRecord {
  RecordType type = RecordType::links;
  std::uint8_t flags = 0;
  std::uint8_t rule = 0;               // BornRule
  std::uint8_t runs_all_the_same = 0;  // 1: it runs when a parent is dead, too
  std::uint32_t parents = 0;           // how many
  std::uint64_t id = 0;
  std::uint64_t born_of = 0;  // the job that the rule speaks of; 0: none
};
static_assert(sizeof(LinksRecord) == 24 && offsetof(LinksRecord, id) == 8);
static_assert(std::is_trivially_copyable_v<LinksRecord> && std::has_unique_object_representations_v<LinksRecord>);

/// What the job of the record before it carries beside its payload (CellNotes of ipc/cell_notes.h). Always in the same
/// block as that record, behind its options record. `tag_bytes` of tag follow, then zeros up to a multiple of 8.
struct NotesRecord {
  RecordType type = RecordType::notes;
  std::uint8_t flags = 0;
  std::uint8_t tag_bytes = 0;
  std::uint8_t trace_flags = 0;
  std::uint32_t reserved = 0;
  std::uint64_t id = 0;
  std::uint64_t serial_low = 0;
  std::uint64_t serial_high = 0;
  std::uint64_t retried_from = 0;
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> trace_parent{};
};
static_assert(sizeof(NotesRecord) == 64 && offsetof(NotesRecord, id) == 8 && offsetof(NotesRecord, trace_id) == 40);
static_assert(std::is_trivially_copyable_v<NotesRecord> && std::has_unique_object_representations_v<NotesRecord>);
inline constexpr std::uint8_t most_noted_tag_bytes = 31;

constexpr std::uint32_t in_whole_words(std::uint32_t bytes) noexcept { return (bytes + 7) / 8 * 8; }
constexpr std::uint32_t in_whole_units(std::uint32_t bytes) noexcept {
  return (bytes + journal_unit - 1) / journal_unit * journal_unit;
}

/// The longest payload that a block can carry.
inline constexpr std::uint32_t most_journaled_payload = most_block_bytes - sizeof(BlockHead) - sizeof(JobRecord) - 8;

/// A part fits the smallest segment, and several fit a block.
inline constexpr std::uint32_t most_part_bytes = 32 * 1024;
/// The longest payload that is written in parts: part numbers have 16 bits.
inline constexpr std::uint64_t most_parted_payload = std::uint64_t{65536} * most_part_bytes;
constexpr std::uint64_t parts_of(std::uint64_t payload_bytes) noexcept {
  return (payload_bytes + most_part_bytes - 1) / most_part_bytes;
}

std::uint64_t checksum_of(const SegmentHead& head) noexcept;
/// `block` begins with its BlockHead and is head.bytes long.
std::uint64_t checksum_of_block(std::span<const std::byte> block) noexcept;

}  // namespace ringmill
