// Every structure that processes share, stated once. Nothing else knows an offset.
//
// To change a struct here: raise layout_version; change the struct, its static_asserts and the comment of each field
// you touch (writer, state, what a dead writer leaves); run `tools/tidy --fix`, which rewrites the tables of
// docs/shared-memory-layout.md.
//
// All words are atomics, so that a peer's late write is never undefined behaviour, and zero is a valid start of every
// region. Those that serve as an index, a length, a count or an offset are SharedWord: read once, then bounded. Packed
// words (state words, notes, ring pieces) and job ids are read once into a value of their type; a part of one that is
// used as an index is bounded there. The writers of a word stand beside it. "Owner" of a cell is the participant whose
// number stands in the cell's state word.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ipc/cell_flag.h"
#include "ipc/cell_notes.h"
#include "ipc/shared_word.h"

namespace ringmill {

inline constexpr std::uint64_t segment_magic = 0x316c6c696d676e72;  // "rngmill1"
inline constexpr std::uint32_t layout_version = 7;

inline constexpr std::size_t page_bytes = 4096;
inline constexpr std::size_t cache_line_bytes = 64;
constexpr std::size_t in_whole_lines(std::size_t bytes) noexcept {
  return (bytes + cache_line_bytes - 1) / cache_line_bytes * cache_line_bytes;
}
/// Words written by different processes stand this far apart: adjacent lines are fetched in pairs.
inline constexpr std::size_t padding_bytes = 128;

inline constexpr std::uint32_t most_participants = 1024;
/// The first entries are kept for keepers, so that one can always come in and reap.
inline constexpr std::uint32_t keeper_entries = 4;
/// So many entries the creator allocates, and a registrant adds at a time (Segment::add_participants()).
inline constexpr std::uint32_t entries_in_a_step = 16;
static_assert(most_participants % entries_in_a_step == 0);
inline constexpr std::uint32_t most_kinds = 1024;
inline constexpr std::uint32_t most_retry_policies = 256;
inline constexpr std::uint32_t most_fixed_levels = 16;
/// The most dynamic levels at a time; their numbers follow those of the fixed levels.
inline constexpr std::uint32_t most_dynamic_levels = 1024;
inline constexpr std::uint32_t most_cells = 1U << 24;
inline constexpr std::uint32_t lease_slots = 64;
inline constexpr std::uint32_t placing_slots = 64;
inline constexpr std::uint32_t name_bytes = 64;
inline constexpr std::uint32_t participant_words = most_participants / 64;
/// The most kinds with a concurrency limit at a time, and the highest limit: about one job per participant.
inline constexpr std::uint32_t most_permit_rows = 64;
inline constexpr std::uint32_t most_concurrency = 1024;
/// Participants that wait for the end of a job wait in one of these, by the job's cell.
inline constexpr std::uint32_t wait_groups = 64;
/// The longest error text, or result, that is carried from a worker to a cell.
inline constexpr std::uint32_t most_staged_bytes = 1024;
/// The arena consists of chunks, a chunk of units: the smallest extents. An extent is named by its first unit. A unit
/// is a kibibyte, or more in large chunks and less in small ones.
inline constexpr std::uint32_t least_arena_chunk_units = 256;
inline constexpr std::uint32_t most_arena_chunk_units = 1024;
inline constexpr std::uint32_t least_arena_chunk_bytes = 64 * 1024;
inline constexpr std::uint32_t most_payload_limit = 64U << 20;
/// Statistics: pairs of level and kind that a participant counts in words of its own, and pairs that all share.
inline constexpr std::uint32_t own_pairs = 4;
inline constexpr std::uint32_t shared_pairs = 1024;
/// Waits of each fixed level, and of all dynamic levels together; runs of the kinds that were first, and of the others.
inline constexpr std::uint32_t wait_histograms = most_fixed_levels + 1;
inline constexpr std::uint32_t run_histograms = 64;
inline constexpr std::uint32_t duration_buckets = 256;
inline constexpr std::uint64_t most_arena_bytes = std::uint64_t{1} << 36;

/// The beginning of the segment. The creator writes it before `state` becomes ready; it never changes afterwards,
/// except where a field says otherwise.
struct alignas(padding_bytes) SegmentHeader {
  std::atomic<std::uint64_t> magic;        // segment_magic
  std::atomic<std::uint32_t> version;      // layout_version
  std::atomic<std::uint32_t> state;        // SegmentState; the creator's last store (release)
  std::atomic<std::uint64_t> engine_id;    // equals the id in the engine's directory
  std::atomic<std::uint64_t> boot_id[2];   // the kernel's boot id: tmpfs does not outlive it
  std::atomic<std::uint64_t> bytes;        // the size of the segment's file
  std::atomic<std::uint32_t> capacity;     // cells
  std::atomic<std::uint32_t> cell_bytes;   // a power of two
  std::atomic<std::uint32_t> level_count;  // fixed levels
  std::atomic<std::uint32_t> default_lease_ms;
  std::atomic<std::uint64_t> created_at_ns;     // wall clock
  std::atomic<std::uint64_t> first_generation;  // every cell began with this generation
  std::atomic<std::uint64_t> level_ring_slots;  // ring slots that all dynamic levels share
  std::atomic<std::uint64_t> arena_bytes;       // a multiple of the arena's chunks
  std::atomic<std::uint32_t> max_payload;       // bytes: the longest payload
  SharedWord<std::uint32_t> plain_capacity;     // cells that jobs of any level may take; 0: all (core/table/room.h)
  std::atomic<std::uint64_t> checksum;          // XXH3 of all fields but `state` and MemorySigns
  std::atomic<std::uint64_t> reserved[2];       // making, home: MemorySigns (core/instance/engine_identity.h)
  std::atomic<std::uint64_t> keep_memory_ms;    // for so long the memory of cells that are free is kept
  std::atomic<std::uint64_t> reserved_more[15];
};
static_assert(sizeof(SegmentHeader) == 256 && alignof(SegmentHeader) == 128);
static_assert(offsetof(SegmentHeader, checksum) == 104);

enum class SegmentState : std::uint32_t { creating = 0, ready = 1 };

/// The few words that all participants read, and that are seldom written.
struct alignas(padding_bytes) Signals {
  /// One bit per participant that sleeps in claim(). Set by the sleeper before its last check; cleared by the waker
  /// that takes on the duty to wake it, by itself, or by its reaper.
  std::atomic<std::uint64_t> sleepers[participant_words];
  /// One bit per participant that waits for a free cell; same rules.
  std::atomic<std::uint64_t> space_waiters[participant_words];
  /// The highest generation a cell may get: durable in the engine's directory before it is written here. Written by the
  /// keeper, only ever raised.
  std::atomic<std::uint64_t> generation_limit;
  /// 1: the engine was removed: participants get an error when they next wait. Written by remove().
  std::atomic<std::uint32_t> removed;
  /// Bits of flow_bit: the rules that every claim has to check; 0: none. Written under the flow lock: a bit is set
  /// before the first rule that it stands for, and cleared after the last one.
  std::atomic<std::uint32_t> flow;
  /// The generation limit that producers ask for. Raised by producers, only ever to more; the keeper bounds what it
  /// believes.
  std::atomic<std::uint64_t> generation_wanted;
  /// The entries below are allocated, and no other was ever in use: bounds all walks over them. Written by the creator;
  /// raised by a registrant that has allocated so many, before it takes one (Segment::add_participants()).
  SharedWord<std::uint64_t> participants_end;
  /// Changes when a dynamic level is made or removed: claimers read their levels again. It wraps, only a change counts.
  /// Written by the process that makes or removes a level, after the level's state word.
  std::atomic<std::uint32_t> levels_version;
  std::uint32_t reserved_levels;
  /// No dynamic level has had this number or a higher one: bounds all walks over levels. Raised by the process that
  /// makes one, before it writes the entry. 0: there was none.
  SharedWord<std::uint64_t> levels_end;
  /// Changes when chunks of cells are about to lose their memory (ipc/cell_chunks.h). Written by the keeper.
  std::atomic<std::uint64_t> chunks_left;
  /// A hint: no common cell is there from this one on. Raised by growers, lowered by the keeper.
  SharedWord<std::uint64_t> common_end;
  std::atomic<std::uint64_t> reserved_line[8];
  /// Futex: any participant adds one to call the keeper; it wraps, and only a change counts.
  std::atomic<std::uint32_t> keeper_doorbell;
  /// Futex: number + 1 of the participant that is the keeper; 0: none. Written by the holder of the keeper's lock;
  /// cleared by the keeper that has left, if it is still its own.
  SharedWord<std::uint32_t> keeper_participant;
  /// Wall clock of the keeper's election. Written by the holder of the keeper's lock.
  std::atomic<std::uint64_t> keeper_since_ns;
  /// CLOCK_BOOTTIME until which the keeper sleeps if it is not called; 0: it is awake, and reads `keeper_work` before
  /// it sleeps. Written by the keeper.
  std::atomic<std::uint64_t> keeper_sleeps_until_ns;
  /// 1: some cell is marked for the keeper (ipc/keeper_marks.h). Set by a participant after its mark; cleared by the
  /// keeper before it takes the marks.
  std::atomic<std::uint32_t> keeper_work;
  std::uint32_t reserved_keeper;
  /// Statistics of the keeper's loop, written by the keeper: turns, and the time that they took, of all keepers; the
  /// longest turn of this keeper; CLOCK_BOOTTIME of the end of the last turn.
  std::atomic<std::uint64_t> keeper_turns;
  std::atomic<std::uint64_t> keeper_busy_ns;
  std::atomic<std::uint64_t> keeper_longest_turn_ns;
  std::atomic<std::uint64_t> keeper_turned_at_ns;
  std::atomic<std::uint64_t> burial_visit;  // of the burial thread, which writes it (ipc/visits.h)
  /// The most kept results, in cells; 0: only the room bounds them. Written by the creator.
  SharedWord<std::uint64_t> results_limit;
  /// Kept results that the keeper knows of; a hint. Written by the keeper; from 0 to 1 by a participant that keeps one.
  std::atomic<std::uint64_t> results_kept;
  /// Kept results that had to go before their time. Statistics: a participant adds one for each.
  std::atomic<std::uint64_t> results_evicted;
  /// The last number of a job with a serial key (core/table/serial.h). Raised by producers, by fetch_add; by recovery
  /// before the segment is visible.
  std::atomic<std::uint64_t> serial_last;
  std::atomic<std::uint64_t> reserved[3];
  /// Bit per wait group: a participant waits for the end of a job of it. Set by the waiter before its last check,
  /// cleared by the participant that ends such a job, which then wakes the group.
  alignas(padding_bytes) std::atomic<std::uint64_t> waited_for;
  /// Futex per wait group: changes when a job of it has ended that a participant waits for.
  alignas(padding_bytes) std::atomic<std::uint32_t> ended_sequence[wait_groups];
};
namespace flow_bit {
inline constexpr std::uint32_t kinds = 1;   // some kind is paused or limited
inline constexpr std::uint32_t levels = 2;  // some level is paused
}  // namespace flow_bit
static_assert(sizeof(Signals) == 896 && alignof(Signals) == 128);
static_assert(offsetof(Signals, space_waiters) == 128 && offsetof(Signals, generation_limit) == 256);
static_assert(offsetof(Signals, keeper_doorbell) == 384 && offsetof(Signals, keeper_sleeps_until_ns) == 400);
static_assert(offsetof(Signals, waited_for) == 512 && offsetof(Signals, ended_sequence) == 640);

/// The journal's condition. An enqueue of a journaled job reports every condition but `working` and `none`.
enum class JournalCondition : std::uint32_t {
  none = 0,  // nothing has been written
  working = 1,
  behind = 2,    // the disk does not keep up: marks of a second ago are not durable
  no_space = 3,  // the disk is full; it goes on by itself when there is space
  failed = 4,    // a write failed: nothing becomes durable until another keeper takes over
};

/// How the journal thread waits.
enum class JournalRest : std::uint32_t {
  none = 0,   // it works, or waits for the device: it looks at all marks before it rests
  nap = 1,    // until the next round is due: only a participant that waits for a round rings
  sleep = 2,  // until it is called: each mark rings
};

/// The words between participants and the journal thread; the marks are a region of their own (ipc/journal_marks.h).
/// Written by the journal thread of the keeper's process unless a word says otherwise.
struct alignas(padding_bytes) JournalWords {
  /// JournalRest: what would wake the journal thread. Set to `none` by the participant that rings.
  std::atomic<std::uint32_t> rest;
  std::atomic<std::uint32_t> condition;     // JournalCondition
  std::atomic<std::uint32_t> error_number;  // errno of the failure
  std::atomic<std::uint32_t> mode;          // JournalMode
  std::atomic<std::uint64_t> reserved_a[14];
  /// Futex: any participant adds one to call the journal thread; it wraps, and only a change counts.
  std::atomic<std::uint32_t> doorbell;
  /// 1: a participant sleeps until a round is durable. Set by it before its last check; cleared by the journal thread,
  /// which then wakes all.
  std::atomic<std::uint32_t> somebody_waits;
  /// The round that participants wait for. Raised by them, never lowered; the journal thread begins a round
  /// whenever it is above those that were begun.
  std::atomic<std::uint64_t> round_wanted;
  /// 1: a participant spins for a round; other waiters sleep. Taken by compare-and-swap, given up by the spinner, and
  /// by the journal thread when a round is durable: a dead spinner's claim does not last.
  std::atomic<std::uint32_t> spinner;
  std::uint32_t reserved_word;
  std::atomic<std::uint64_t> reserved_b[13];
  /// Rounds that were begun, and the last one that is durable with all before it. 64 bits do not wrap.
  std::atomic<std::uint64_t> round_started;
  std::atomic<std::uint64_t> round_durable;
  /// Futex: changes when round_durable or the condition does.
  std::atomic<std::uint32_t> durable_sequence;
  std::atomic<std::uint32_t> segments;  // files that count
  /// The epoch of the last journal thread that wrote; the next one takes a higher one.
  std::atomic<std::uint64_t> epoch;
  std::atomic<std::uint64_t> bytes_on_disk;
  std::atomic<std::uint64_t> bytes_written;    // since the segment was made
  std::atomic<std::uint64_t> behind_since_ns;  // CLOCK_BOOTTIME: begin of the oldest round that is not durable; 0: none
  std::atomic<std::uint64_t> records_written;
  std::atomic<std::uint64_t> jobs_elided;           // looks that found nothing to write
  std::atomic<std::uint64_t> working_since_ns;      // CLOCK_BOOTTIME: when this journal thread opened the journal
  std::atomic<std::uint64_t> bytes_written_before;  // what bytes_written was then
  std::atomic<std::uint64_t> visit;                 // of the journal thread (ipc/visits.h)
  std::atomic<std::uint64_t> reserved_c[4];
};
static_assert(sizeof(JournalWords) == 384 && alignof(JournalWords) == 128);
static_assert(offsetof(JournalWords, doorbell) == 128 && offsetof(JournalWords, round_started) == 256);

enum class JournalMode : std::uint32_t {
  none = 0,
  io_uring = 1,
  pwritev2 = 2,
  other = 3,
  io_uring_unregistered = 4,  // the buffers could not be locked
};

/// One priority level and the counters of its ring. The ring's slots are a region of their own. The entries behind
/// those of the fixed levels are of dynamic levels (ipc/dynamic_level.h): "the maker" is the process that holds the
/// structure lock then; it writes name, weight and ring only while `dynamic_state` is unused or removed.
struct alignas(padding_bytes) LevelEntry {
  std::atomic<std::uint64_t> name[name_bytes / 8];  // as in NameTable; written by the creator, or the maker
  SharedWord<std::uint32_t> weight;                 // written by the creator, or the maker
  /// SpillState: whether queued jobs of this level wait in the keeper's overflow queue. Set to `spilled` by a pusher
  /// that finds the ring full, to `direct` by the keeper when the queue is empty; zeroed by the maker.
  std::atomic<std::uint32_t> overflow;
  /// Wall clock of the pause; 0: not paused. Written under the flow lock.
  std::atomic<std::uint64_t> paused_since_ns;
  /// LevelWord; zero in the entry of a fixed level. unused, removed -> open (maker), open -> closing (remover),
  /// closing -> open (remover, or the keeper after its death), closing -> removed (remover).
  std::atomic<std::uint64_t> dynamic_state;
  std::atomic<std::uint64_t> dynamic_ring;  // RingPiece; zero in the entry of a fixed level
  /// Cells that only jobs of this fixed level may take (core/table/room.h). Written by the creator.
  SharedWord<std::uint32_t> kept_cells;
  /// The most jobs that the level holds (core/table/level_bound.h); 0: no bound. Written under the flow lock.
  SharedWord<std::uint32_t> most_cells;
  std::atomic<std::uint64_t> reserved[3];
  /// The hint at every position below is dead. Raised by claimers and pushers, only ever by a compare-and-swap to more.
  /// 64 bits of positions do not wrap (20 M jobs/s: 29,000 years).
  alignas(padding_bytes) std::atomic<std::uint64_t> head;
  /// Jobs that were counted out of the level while it had a bound, and below those that were counted in. Only ever
  /// raised: by the participants that free and fill cells, and by the keeper's scan. 64 bits do not wrap.
  std::atomic<std::uint64_t> went;
  /// Every slot below was filled. Raised as `head` is, by pushers.
  alignas(padding_bytes) std::atomic<std::uint64_t> tail;
  std::atomic<std::uint64_t> came;
};
static_assert(sizeof(LevelEntry) == 384 && alignof(LevelEntry) == 128);
static_assert(offsetof(LevelEntry, head) == 128 && offsetof(LevelEntry, tail) == 256);

/// One interned name; see NameTable for the order in which its words are set, each once.
struct alignas(cache_line_bytes) NameEntry {
  std::atomic<std::uint64_t> word[name_bytes / 8];
};
static_assert(sizeof(NameEntry) == 64 && alignof(NameEntry) == 64);
/// What holds for one kind beside the plain (core/flow_control/): all zero for most. Written under the flow lock by
/// the process that changes the rules, or by the keeper that applies them again, unless a word says otherwise.
struct alignas(cache_line_bytes) KindRule {
  std::atomic<std::uint64_t> paused_since_ns;  // wall clock; 0: not paused
  /// rate_count jobs may begin in each rate_period_ns; rate_count 0: any number.
  std::atomic<std::uint64_t> rate_period_ns;
  std::atomic<std::uint32_t> rate_count;
  std::atomic<std::uint32_t> burst;       // at least 1 where there is a rate
  SharedWord<std::uint32_t> concurrency;  // so many run at a time; 0: any number
  SharedWord<std::uint32_t> permit_row;   // the kind's row of PermitRow, plus 1; 0: none
  std::uint32_t reserved_rule;
  /// 1: jobs of this kind wait with the keeper for a free slot; the end of one rings. Set by a participant that
  /// parks one, after its mark; written by the keeper, to what it knows.
  std::atomic<std::uint32_t> waiting;
  /// The theoretical arrival time of GCRA: lease clock, when the bucket is full again. Moved on by a claimer,
  /// by compare-and-swap. Killed just after it: a token is lost.
  std::atomic<std::uint64_t> next_token_ns;
  /// No permit from here on is taken: the highest limit, or more, since the kind has its row. Written before
  /// `concurrency` and `permit_row`.
  SharedWord<std::uint32_t> permits_end;
  std::uint32_t reserved_permits;
  std::atomic<std::uint64_t> reserved;
};
static_assert(sizeof(KindRule) == 64 && alignof(KindRule) == 64);
static_assert(offsetof(KindRule, waiting) == 36 && offsetof(KindRule, next_token_ns) == 40);

/// Which jobs of a kind run, where their number is limited. Each slot is a Permit, or 0; it is taken only
/// while the table says that its job runs, so none has to be given back. Taken by claimers by compare-and-swap.
struct alignas(padding_bytes) PermitRow {
  std::atomic<std::uint64_t> permit[most_concurrency];
};
static_assert(sizeof(PermitRow) == 8192 && alignof(PermitRow) == 128);

/// The right of one participant to run one job. Written only by the participant of the entry it stands in; after its
/// death, read by the reaper. A slot is a hint: what it says holds only while the cell's word names this participant.
struct LeaseSlot {
  std::atomic<std::uint64_t> job_id;         // 0: unused. Written before the cell is won, cleared after it is settled.
  std::atomic<std::uint64_t> deadline_ns;    // CLOCK_BOOTTIME; written before the compare-and-swap it belongs to
  std::atomic<std::uint64_t> started_at_ns;  // wall clock; 0: claimed in advance, no handler has seen it
  std::atomic<std::uint64_t> note;           // LeaseNote; written before the compare-and-swap it belongs to
};
static_assert(sizeof(LeaseSlot) == 32);
/// What the settling owner has decided; the reaper finishes it if the owner dies.
enum class Outcome : std::uint8_t {
  complete = 0,  // over, and well; kept if the job asks for it
  requeue = 1,   // it waits again, at once
  cancel = 2,    // over, before it ran or on request; kept if the job asks for it
  delay = 3,     // it waits for the time that is staged
  bury = 4,      // it goes to the dead letters
  park = 5,      // it waits with the keeper until the rules of its kind let it begin; the note's cause says why
};

/// LeaseSlot::note: outcome 8 | attempts to be noted 16 | version of the state word that the lease rests on 10 |
/// cause 8 | staged 1 | leads 1. The version tells two leases of one participant on one job apart.
struct LeaseNote {
  Outcome outcome = Outcome::complete;
  std::uint16_t attempts = 0;
  std::uint16_t version = 0;
  std::uint8_t cause = 0;  // of a burial: DeathCause; of a parking: WaitMark::note()
  bool staged = false;     // the participant's Staging says more
  bool leads = false;      // the participant's bundle comes with it: the follow-ups of a job that is complete

  constexpr std::uint64_t bits() const noexcept {
    return static_cast<std::uint64_t>(outcome) | std::uint64_t{attempts} << 8 | std::uint64_t{version} << 24 |
           std::uint64_t{cause} << 34 | std::uint64_t{staged} << 42 | std::uint64_t{leads} << 43;
  }
  static constexpr LeaseNote of(std::uint64_t bits) noexcept {
    return {.outcome = static_cast<Outcome>(bits & 0xff),
            .attempts = static_cast<std::uint16_t>(bits >> 8 & 0xffff),
            .version = static_cast<std::uint16_t>(bits >> 24 & 0x3ff),
            .cause = static_cast<std::uint8_t>(bits >> 34 & 0xff),
            .staged = (bits >> 42 & 1) != 0,
            .leads = (bits >> 43 & 1) != 0};
  }
};

/// When an attempt began, and on which participant: wall clock in milliseconds 48 | owner above. Zero: none has begun.
struct AttemptStart {
  std::uint64_t at_ms = 0;
  std::uint32_t owner = 0;

  static constexpr std::uint64_t ms_mask = (std::uint64_t{1} << 48) - 1;
  /// Returns the start of a leased attempt; `started_at_ns` is zero if no handler has seen the job.
  static constexpr AttemptStart of_lease(std::uint64_t started_at_ns, std::uint32_t owner) noexcept {
    return {started_at_ns / 1'000'000 & ms_mask, owner};
  }
  constexpr explicit operator bool() const noexcept { return at_ms != 0; }
  constexpr std::uint64_t bits() const noexcept { return at_ms == 0 ? 0 : at_ms | std::uint64_t{owner} << 48; }
  static constexpr AttemptStart of(std::uint64_t bits) noexcept {
    return {bits & ms_mask, static_cast<std::uint32_t>(bits >> 48)};
  }
};

/// The outcome of the job that the participant is settling, as far as the lease note has no room for it. The
/// participant writes it before the compare-and-swap that it belongs to. After the participant's death the reaper reads
/// it, if the note says that it is staged.
struct Staging {
  std::atomic<std::uint64_t> job_id;
  std::atomic<std::uint64_t> due_at;   // DueTime
  std::atomic<std::uint64_t> started;  // AttemptStart
  SharedWord<std::uint32_t> text_bytes;
  std::atomic<std::uint32_t> result_note;                  // ResultNote (core/table/results.h)
  std::atomic<std::uint64_t> text[most_staged_bytes / 8];  // error text, or result
};
static_assert(sizeof(Staging) == 32 + most_staged_bytes);

/// The progress of one job that the participant runs. The participant writes it; a reader accepts it if the job id is
/// the same before and after.
struct Progress {
  std::atomic<std::uint64_t> job_id;
  std::atomic<std::uint64_t> number;
  std::atomic<std::uint64_t> text[8];  // padded with zeros
};
static_assert(sizeof(Progress) == 80);
/// One participant. Written by the participant itself unless a field says otherwise. It is allocated when a registrant
/// needs it: Segment::participants_end() says which may be touched. It fills a page, because its thread maps the page
/// once more with the end of it, the robust word, just before private memory (see ipc/robust_word.h).
struct alignas(page_bytes) ParticipantEntry {
  /// ParticipantState | epoch << 8. free -> starting (registrant, holding the entry's lock byte), starting -> alive
  /// (registrant), alive -> free (owner, leaving), starting or alive -> reaping (keeper), reaping -> free with the next
  /// epoch (keeper). 56 bits of epoch do not wrap.
  std::atomic<std::uint64_t> state;
  std::atomic<std::uint32_t> process_id;  // as the registrant's own pid namespace sees it
  std::atomic<std::uint32_t> thread_id;
  std::atomic<std::uint64_t> process_started;  // clock ticks since boot, from /proc/PID/stat: tells a reused pid
  std::atomic<std::uint64_t> pid_namespace;    // inode of the namespace
  std::atomic<std::uint32_t> role;             // Role
  /// Ids in `placing` that may lack their hint. Written before the cells are queued, cleared after they have their
  /// hints.
  SharedWord<std::uint32_t> placing_count;
  std::atomic<std::uint64_t> attached_at_ns;  // wall clock
  /// 1: the kernel knows the robust word.
  std::atomic<std::uint32_t> robust_linked;
  /// Odd: the owner is between two steps of a level's count (core/table/level_bound.h). It wraps: only whether it is
  /// odd counts.
  std::atomic<std::uint32_t> counting;
  std::uint32_t reserved_a[2];
  /// Futex: the owner sleeps while it stands; a waker adds one (wraps, only a change counts).
  alignas(cache_line_bytes) std::atomic<std::uint32_t> wake_sequence;
  /// 1: it claims any kind; 0: only kinds whose bit (id modulo 64) is in interest_kinds. Hints for wakers.
  std::atomic<std::uint32_t> interest_any_kind;
  std::atomic<std::uint64_t> interest_levels;  // bit per level
  std::atomic<std::uint64_t> interest_kinds;
  /// Statistics, as those below: the time from a claim that found jobs to the next claim.
  std::atomic<std::uint64_t> busy_ns;
  /// Odd while the participant may look at cells (ipc/visits.h). The next owner of the entry counts on.
  std::atomic<std::uint64_t> visit;
  /// The session of a process that the participant runs for a job; 1: one is being started; 0: none. Written by the
  /// participant while it holds the job's lease. After its death a hint for the reaper (core/keeper/left_session.h),
  /// which clears it.
  std::atomic<std::uint64_t> session;
  std::atomic<std::uint64_t> reserved_c[2];
  /// Statistics; the next owner of the entry counts on, so that the sum over all entries is the engine's total.
  std::atomic<std::uint64_t> enqueued;
  std::atomic<std::uint64_t> completed;
  std::atomic<std::uint64_t> failed;
  std::atomic<std::uint64_t> retried;
  std::atomic<std::uint64_t> worker_lost;
  std::atomic<std::uint64_t> lease_expired;
  std::atomic<std::uint64_t> cancelled;
  std::atomic<std::uint64_t> released;
  std::atomic<std::uint64_t> placing[placing_slots];
  LeaseSlot leases[lease_slots];
  /// The slot for settling what it does not hold: cancelling, and the keeper's reaping.
  LeaseSlot settling;
  Staging staging;
  Progress progress;
  /// Per lease slot: stop_tag() of the job that was asked to stop; anything else means nothing. Written by the
  /// participant that cancels.
  std::atomic<std::uint16_t> stop_asked[lease_slots];
  /// Statistics, as those above.
  std::atomic<std::uint64_t> dead;
  /// Jobs that become visible together: the first one's id; the others follow in CellLinks::next. 0: none. Written when
  /// all their cells are filled, cleared when all are published (core/table/bundles.h).
  std::atomic<std::uint64_t> bundle;
  /// The job whose completion publishes them; 0: they are published already, by the word above. Written before it.
  std::atomic<std::uint64_t> bundle_after;
  /// Thread id | FUTEX_WAITERS, written by the thread when it links; the kernel adds FUTEX_OWNER_DIED when the thread
  /// dies.
  std::atomic<std::uint32_t> robust_word;
  std::uint32_t reserved_e[5];
};
static_assert(sizeof(ParticipantEntry) == page_bytes && alignof(ParticipantEntry) == page_bytes);
static_assert(offsetof(ParticipantEntry, wake_sequence) == 64 && offsetof(ParticipantEntry, enqueued) == 128);
static_assert(offsetof(ParticipantEntry, placing) == 192 && offsetof(ParticipantEntry, leases) == 704);
static_assert(offsetof(ParticipantEntry, settling) == 2752 && offsetof(ParticipantEntry, staging) == 2784);
static_assert(offsetof(ParticipantEntry, robust_word) == page_bytes - 24,
              "glibc's list keeps its links 24 bytes behind");

enum class ParticipantState : std::uint8_t { free = 0, starting = 1, alive = 2, reaping = 3 };

/// When something is due: nanoseconds of CLOCK_BOOTTIME, or, with the highest bit set, of the wall clock.
struct DueTime {
  std::uint64_t ns = 0;
  bool is_wall = false;

  static constexpr std::uint64_t wall_bit = std::uint64_t{1} << 63;
  constexpr std::uint64_t bits() const noexcept { return (ns & ~wall_bit) | (is_wall ? wall_bit : 0); }
  static constexpr DueTime of(std::uint64_t bits) noexcept { return {bits & ~wall_bit, (bits & wall_bit) != 0}; }
};

/// Of a chunk of cells: base generation 56 | ChunkState 8. Transitions and writers: ipc/cell_chunks.h.
struct ChunkWord {
  std::atomic<std::uint64_t> word;
};
static_assert(sizeof(ChunkWord) == 8);
enum class ChunkState : std::uint8_t { absent = 0, present = 1, leaving = 2 };

/// The first line of a cell; the inline payload follows, then the text (the last error, or the result), each beginning
/// at a multiple of 8. All but `state` is written only by the owner while the state is filling or completing, and read
/// by any process, which believes it only if the state word is the same before and after.
struct alignas(cache_line_bytes) CellHeader {
  /// generation 39 | owner 11 | state 4 | version 10, see ipc/state_word.h. The one truth about the job.
  std::atomic<std::uint64_t> state;
  SharedWord<std::uint16_t> kind;
  /// DeathCause, while it is burying; WaitMark (ipc/wait_mark.h), while it waits; ResultRefusal (core/table/results.h),
  /// when it is completed.
  std::atomic<std::uint16_t> cause;
  SharedWord<std::uint32_t> payload_bytes;
  SharedWord<std::uint16_t> level;
  std::atomic<std::uint16_t> attempts;        // attempts that ended; saturates
  std::atomic<std::uint16_t> most_attempts;   // 0: no bound
  std::atomic<std::uint16_t> flags;           // of cell_flag, fixed for the job's life but where it says so
  std::atomic<std::uint64_t> enqueued_at_ns;  // wall clock
  /// DueTime. delayed: when it waits no longer; completed, cancelled: until when it is kept.
  std::atomic<std::uint64_t> due_at;
  /// Until the job is over: its lease in milliseconds, 0: the engine's default. Of one that is over, with
  /// cell_flag::result_in_arena: the bytes of its result.
  SharedWord<std::uint32_t> lease_ms;
  SharedWord<std::uint16_t> retry_policy;  // its number in the table of retry policies, plus 1; 0: the default
  SharedWord<std::uint16_t> text_bytes;
  SharedWord<std::uint32_t> extent;         // with cell_flag::in_arena: the first unit of the payload's extent
  SharedWord<std::uint32_t> result_extent;  // with cell_flag::result_in_arena: the first unit of the result's
  /// JournalNote (core/journal/note.h): which generation of the cell the journal has. Written by the journal thread
  /// alone, in any state; by recovery before the segment is visible.
  std::atomic<std::uint64_t> revision;
};
static_assert(sizeof(CellHeader) == 64 && alignof(CellHeader) == 64);
static_assert(offsetof(CellHeader, kind) == 8 && offsetof(CellHeader, level) == 16);
static_assert(offsetof(CellHeader, enqueued_at_ns) == 24 && offsetof(CellHeader, retry_policy) == 44);
static_assert(offsetof(CellHeader, extent) == 48 && offsetof(CellHeader, revision) == 56);

/// The last bytes of a cell whose job has options beyond the default; a payload has that much less room. Writers and
/// readers: as in CellHeader.
struct CellOptions {
  std::atomic<std::uint64_t> expires_at_ms;  // wall clock: no attempt begun by then, it is dead; 0: never
  std::atomic<std::uint64_t> keep_ms;        // how long result and history are kept after the end; 0: not
  std::atomic<std::uint64_t> started;        // AttemptStart of the last attempt
  std::atomic<std::uint64_t> ended_at_ms;    // of the last attempt, wall clock
  std::atomic<std::uint64_t>
      unique_low;  // the hash of the job's unique key (core/table/unique_jobs.h); both zero: none
  std::atomic<std::uint64_t> unique_high;
};
static_assert(sizeof(CellOptions) == 48);
/// The condition under which a job of a bundle counts.
enum class BornRule : std::uint16_t {
  alone = 0,     // it is of no bundle
  with_it = 1,   // it was enqueued together with `born_of`: counts if that one is known
  after_it = 2,  // it is a follow-up of `born_of`: counts if that one is over
};

/// Stands before the CellOptions (and CellNotes) of a job that has parents, or that belongs to a bundle. The parents'
/// ids stand in front of its payload, in the cell or in the arena, and are counted in payload_bytes. Writers and
/// readers: as in CellHeader.
struct CellLinks {
  std::atomic<std::uint64_t> born_of;            // the leader of its bundle; 0: none
  std::atomic<std::uint64_t> next;               // the next job of the bundle to be published before this one; 0: none
  SharedWord<std::uint32_t> parents;             // how many
  std::atomic<std::uint16_t> rule;               // BornRule
  std::atomic<std::uint16_t> runs_all_the_same;  // 1: it runs when a parent is dead, too
};
static_assert(sizeof(CellLinks) == 24);
/// The word of one unit of the arena (core/table/arena.h): the id of the job that has, or had last, the extent that
/// begins there; 0: none. Set by compare-and-swap to the id of the job that is being filled, if the job it names has
/// ended; reset to 0 by the same producer. The table decides: if that job has ended, the extent is free.
struct ArenaUnit {
  std::atomic<std::uint64_t> job_id;
};
static_assert(sizeof(ArenaUnit) == 8);
/// Extents of a chunk of the arena: 2^(low 7 bits). The bit above: the chunk's memory is on its way back. Above that, a
/// count of changes (2^56 do not wrap). Written by a producer that has taken every extent of the chunk for its job, and
/// by the keeper that gives the memory back (core/keeper/arena_trimming.h).
struct ArenaChunk {
  SharedWord<std::uint64_t> cut;
};
static_assert(sizeof(ArenaChunk) == 8);

/// What happened to the jobs of one level and kind. Statistics: no participant decides by them, and no word ever falls.
/// Of a participant's lines: written by it alone, and its entry's next owner counts on. Of the shared lines: by any, by
/// fetch_add. Killed at any instruction: at most the last event is missing.
struct alignas(cache_line_bytes) PairCounts {
  std::atomic<std::uint64_t> pair;       // JobPair (ipc/statistics.h); 0: unused. Set once, of a shared line by a swap
  std::atomic<std::uint64_t> enqueued;   // became visible
  std::atomic<std::uint64_t> completed;  // over, and well
  std::atomic<std::uint64_t> failed;     // attempts that failed
  std::atomic<std::uint64_t> left;       // attempts that ended otherwise: given back, put off, cancelled, lost
  std::atomic<std::uint64_t> retried;    // failed attempts after which the job waits again
  std::atomic<std::uint64_t> dead;       // over: in the dead letters
  std::atomic<std::uint64_t> cancelled;  // over: cancelled
};
static_assert(sizeof(PairCounts) == 64 && alignof(PairCounts) == 64);
/// How long something took, of a sample of jobs with weights (core/table/run_sampler.h). Statistics, as PairCounts;
/// written by any participant, by fetch_add.
struct alignas(cache_line_bytes) DurationCounts {
  SharedWord<std::uint64_t> kind;  // of a histogram of runs: whose they are, plus 1; 0: unused. Set once, by a swap
  std::atomic<std::uint64_t> below_zero;  // waits that a step of the wall clock made negative; they count as 0
  std::atomic<std::uint64_t> sum_ns;
  std::atomic<std::uint64_t> reserved[5];
  std::atomic<std::uint64_t> count[duration_buckets];  // by duration_bucket() (ipc/statistics.h)
};
static_assert(sizeof(DurationCounts) == 2112 && alignof(DurationCounts) == 64);

}  // namespace ringmill
