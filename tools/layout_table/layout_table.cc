// Prints every word of shared memory as the compiler lays it out: struct, offset, bytes, field. tools/tidy compares the
// tables of docs/shared-memory-layout.md with it. A byte that no row covers is an error, so no field is forgotten here,
// and no struct has unnamed padding.
#include <cstddef>
#include <cstdio>
#include <initializer_list>

#include "ipc/layout.h"

namespace ringmill {
namespace {

struct Field {
  std::size_t offset;
  std::size_t bytes;
  const char* name;
};

/// The bytes that an alignment leaves unused.
constexpr Field padding(std::size_t from, std::size_t to) { return {from, to - from, "(padding)"}; }

bool print(const char* name, std::size_t bytes, std::initializer_list<Field> fields) {
  std::size_t covered = 0;
  for (const Field& field : fields) {
    if (field.offset != covered) {
      std::fprintf(stderr, "%s: bytes %zu to %zu, before %s, are in no row\n", name, covered, field.offset, field.name);
      return false;
    }
    std::printf("%s %zu %zu %s\n", name, field.offset, field.bytes, field.name);
    covered = field.offset + field.bytes;
  }
  if (covered != bytes) std::fprintf(stderr, "%s: bytes %zu to %zu, at the end, are in no row\n", name, covered, bytes);
  return covered == bytes;
}

bool print_segment_header() {
  return print(
      "SegmentHeader", sizeof(SegmentHeader),
      {
          {offsetof(SegmentHeader, magic), sizeof(SegmentHeader::magic), "magic"},
          {offsetof(SegmentHeader, version), sizeof(SegmentHeader::version), "version"},
          {offsetof(SegmentHeader, state), sizeof(SegmentHeader::state), "state"},
          {offsetof(SegmentHeader, engine_id), sizeof(SegmentHeader::engine_id), "engine_id"},
          {offsetof(SegmentHeader, boot_id), sizeof(SegmentHeader::boot_id), "boot_id"},
          {offsetof(SegmentHeader, bytes), sizeof(SegmentHeader::bytes), "bytes"},
          {offsetof(SegmentHeader, capacity), sizeof(SegmentHeader::capacity), "capacity"},
          {offsetof(SegmentHeader, cell_bytes), sizeof(SegmentHeader::cell_bytes), "cell_bytes"},
          {offsetof(SegmentHeader, level_count), sizeof(SegmentHeader::level_count), "level_count"},
          {offsetof(SegmentHeader, default_lease_ms), sizeof(SegmentHeader::default_lease_ms), "default_lease_ms"},
          {offsetof(SegmentHeader, created_at_ns), sizeof(SegmentHeader::created_at_ns), "created_at_ns"},
          {offsetof(SegmentHeader, first_generation), sizeof(SegmentHeader::first_generation), "first_generation"},
          {offsetof(SegmentHeader, level_ring_slots), sizeof(SegmentHeader::level_ring_slots), "level_ring_slots"},
          {offsetof(SegmentHeader, arena_bytes), sizeof(SegmentHeader::arena_bytes), "arena_bytes"},
          {offsetof(SegmentHeader, max_payload), sizeof(SegmentHeader::max_payload), "max_payload"},
          {offsetof(SegmentHeader, plain_capacity), sizeof(SegmentHeader::plain_capacity), "plain_capacity"},
          {offsetof(SegmentHeader, checksum), sizeof(SegmentHeader::checksum), "checksum"},
          {offsetof(SegmentHeader, reserved), sizeof(SegmentHeader::reserved), "reserved"},
          {offsetof(SegmentHeader, keep_memory_ms), sizeof(SegmentHeader::keep_memory_ms), "keep_memory_ms"},
          {offsetof(SegmentHeader, reserved_more), sizeof(SegmentHeader::reserved_more), "reserved_more"},
      });
}

bool print_signals() {
  return print(
      "Signals", sizeof(Signals),
      {
          {offsetof(Signals, sleepers), sizeof(Signals::sleepers), "sleepers"},
          {offsetof(Signals, space_waiters), sizeof(Signals::space_waiters), "space_waiters"},
          {offsetof(Signals, generation_limit), sizeof(Signals::generation_limit), "generation_limit"},
          {offsetof(Signals, removed), sizeof(Signals::removed), "removed"},
          {offsetof(Signals, flow), sizeof(Signals::flow), "flow"},
          {offsetof(Signals, generation_wanted), sizeof(Signals::generation_wanted), "generation_wanted"},
          {offsetof(Signals, participants_end), sizeof(Signals::participants_end), "participants_end"},
          {offsetof(Signals, levels_version), sizeof(Signals::levels_version), "levels_version"},
          {offsetof(Signals, reserved_levels), sizeof(Signals::reserved_levels), "reserved_levels"},
          {offsetof(Signals, levels_end), sizeof(Signals::levels_end), "levels_end"},
          {offsetof(Signals, chunks_left), sizeof(Signals::chunks_left), "chunks_left"},
          {offsetof(Signals, common_end), sizeof(Signals::common_end), "common_end"},
          {offsetof(Signals, reserved_line), sizeof(Signals::reserved_line), "reserved_line"},
          {offsetof(Signals, keeper_doorbell), sizeof(Signals::keeper_doorbell), "keeper_doorbell"},
          {offsetof(Signals, keeper_participant), sizeof(Signals::keeper_participant), "keeper_participant"},
          {offsetof(Signals, keeper_since_ns), sizeof(Signals::keeper_since_ns), "keeper_since_ns"},
          {offsetof(Signals, keeper_sleeps_until_ns), sizeof(Signals::keeper_sleeps_until_ns),
           "keeper_sleeps_until_ns"},
          {offsetof(Signals, keeper_work), sizeof(Signals::keeper_work), "keeper_work"},
          {offsetof(Signals, reserved_keeper), sizeof(Signals::reserved_keeper), "reserved_keeper"},
          {offsetof(Signals, keeper_turns), sizeof(Signals::keeper_turns), "keeper_turns"},
          {offsetof(Signals, keeper_busy_ns), sizeof(Signals::keeper_busy_ns), "keeper_busy_ns"},
          {offsetof(Signals, keeper_longest_turn_ns), sizeof(Signals::keeper_longest_turn_ns),
           "keeper_longest_turn_ns"},
          {offsetof(Signals, keeper_turned_at_ns), sizeof(Signals::keeper_turned_at_ns), "keeper_turned_at_ns"},
          {offsetof(Signals, burial_visit), sizeof(Signals::burial_visit), "burial_visit"},
          {offsetof(Signals, results_limit), sizeof(Signals::results_limit), "results_limit"},
          {offsetof(Signals, results_kept), sizeof(Signals::results_kept), "results_kept"},
          {offsetof(Signals, results_evicted), sizeof(Signals::results_evicted), "results_evicted"},
          {offsetof(Signals, serial_last), sizeof(Signals::serial_last), "serial_last"},
          {offsetof(Signals, reserved), sizeof(Signals::reserved), "reserved"},
          {offsetof(Signals, waited_for), sizeof(Signals::waited_for), "waited_for"},
          padding(offsetof(Signals, waited_for) + sizeof(Signals::waited_for), offsetof(Signals, ended_sequence)),
          {offsetof(Signals, ended_sequence), sizeof(Signals::ended_sequence), "ended_sequence"},
      });
}

bool print_journal_words() {
  return print(
      "JournalWords", sizeof(JournalWords),
      {
          {offsetof(JournalWords, rest), sizeof(JournalWords::rest), "rest"},
          {offsetof(JournalWords, condition), sizeof(JournalWords::condition), "condition"},
          {offsetof(JournalWords, error_number), sizeof(JournalWords::error_number), "error_number"},
          {offsetof(JournalWords, mode), sizeof(JournalWords::mode), "mode"},
          {offsetof(JournalWords, reserved_a), sizeof(JournalWords::reserved_a), "reserved_a"},
          {offsetof(JournalWords, doorbell), sizeof(JournalWords::doorbell), "doorbell"},
          {offsetof(JournalWords, somebody_waits), sizeof(JournalWords::somebody_waits), "somebody_waits"},
          {offsetof(JournalWords, round_wanted), sizeof(JournalWords::round_wanted), "round_wanted"},
          {offsetof(JournalWords, spinner), sizeof(JournalWords::spinner), "spinner"},
          {offsetof(JournalWords, reserved_word), sizeof(JournalWords::reserved_word), "reserved_word"},
          {offsetof(JournalWords, reserved_b), sizeof(JournalWords::reserved_b), "reserved_b"},
          {offsetof(JournalWords, round_started), sizeof(JournalWords::round_started), "round_started"},
          {offsetof(JournalWords, round_durable), sizeof(JournalWords::round_durable), "round_durable"},
          {offsetof(JournalWords, durable_sequence), sizeof(JournalWords::durable_sequence), "durable_sequence"},
          {offsetof(JournalWords, segments), sizeof(JournalWords::segments), "segments"},
          {offsetof(JournalWords, epoch), sizeof(JournalWords::epoch), "epoch"},
          {offsetof(JournalWords, bytes_on_disk), sizeof(JournalWords::bytes_on_disk), "bytes_on_disk"},
          {offsetof(JournalWords, bytes_written), sizeof(JournalWords::bytes_written), "bytes_written"},
          {offsetof(JournalWords, behind_since_ns), sizeof(JournalWords::behind_since_ns), "behind_since_ns"},
          {offsetof(JournalWords, records_written), sizeof(JournalWords::records_written), "records_written"},
          {offsetof(JournalWords, jobs_elided), sizeof(JournalWords::jobs_elided), "jobs_elided"},
          {offsetof(JournalWords, working_since_ns), sizeof(JournalWords::working_since_ns), "working_since_ns"},
          {offsetof(JournalWords, bytes_written_before), sizeof(JournalWords::bytes_written_before),
           "bytes_written_before"},
          {offsetof(JournalWords, visit), sizeof(JournalWords::visit), "visit"},
          {offsetof(JournalWords, reserved_c), sizeof(JournalWords::reserved_c), "reserved_c"},
      });
}

bool print_level_entry() {
  return print("LevelEntry", sizeof(LevelEntry),
               {
                   {offsetof(LevelEntry, name), sizeof(LevelEntry::name), "name"},
                   {offsetof(LevelEntry, weight), sizeof(LevelEntry::weight), "weight"},
                   {offsetof(LevelEntry, overflow), sizeof(LevelEntry::overflow), "overflow"},
                   {offsetof(LevelEntry, paused_since_ns), sizeof(LevelEntry::paused_since_ns), "paused_since_ns"},
                   {offsetof(LevelEntry, dynamic_state), sizeof(LevelEntry::dynamic_state), "dynamic_state"},
                   {offsetof(LevelEntry, dynamic_ring), sizeof(LevelEntry::dynamic_ring), "dynamic_ring"},
                   {offsetof(LevelEntry, kept_cells), sizeof(LevelEntry::kept_cells), "kept_cells"},
                   {offsetof(LevelEntry, most_cells), sizeof(LevelEntry::most_cells), "most_cells"},
                   {offsetof(LevelEntry, reserved), sizeof(LevelEntry::reserved), "reserved"},
                   {offsetof(LevelEntry, head), sizeof(LevelEntry::head), "head"},
                   {offsetof(LevelEntry, went), sizeof(LevelEntry::went), "went"},
                   padding(offsetof(LevelEntry, went) + sizeof(LevelEntry::went), offsetof(LevelEntry, tail)),
                   {offsetof(LevelEntry, tail), sizeof(LevelEntry::tail), "tail"},
                   {offsetof(LevelEntry, came), sizeof(LevelEntry::came), "came"},
                   padding(offsetof(LevelEntry, came) + sizeof(LevelEntry::came), sizeof(LevelEntry)),
               });
}

bool print_kind_rule() {
  return print("KindRule", sizeof(KindRule),
               {
                   {offsetof(KindRule, paused_since_ns), sizeof(KindRule::paused_since_ns), "paused_since_ns"},
                   {offsetof(KindRule, rate_period_ns), sizeof(KindRule::rate_period_ns), "rate_period_ns"},
                   {offsetof(KindRule, rate_count), sizeof(KindRule::rate_count), "rate_count"},
                   {offsetof(KindRule, burst), sizeof(KindRule::burst), "burst"},
                   {offsetof(KindRule, concurrency), sizeof(KindRule::concurrency), "concurrency"},
                   {offsetof(KindRule, permit_row), sizeof(KindRule::permit_row), "permit_row"},
                   {offsetof(KindRule, reserved_rule), sizeof(KindRule::reserved_rule), "reserved_rule"},
                   {offsetof(KindRule, waiting), sizeof(KindRule::waiting), "waiting"},
                   {offsetof(KindRule, next_token_ns), sizeof(KindRule::next_token_ns), "next_token_ns"},
                   {offsetof(KindRule, permits_end), sizeof(KindRule::permits_end), "permits_end"},
                   {offsetof(KindRule, reserved_permits), sizeof(KindRule::reserved_permits), "reserved_permits"},
                   {offsetof(KindRule, reserved), sizeof(KindRule::reserved), "reserved"},
               });
}

bool print_permit_row() {
  return print("PermitRow", sizeof(PermitRow),
               {
                   {offsetof(PermitRow, permit), sizeof(PermitRow::permit), "permit"},
               });
}

bool print_name_entry() {
  return print("NameEntry", sizeof(NameEntry),
               {
                   {offsetof(NameEntry, word), sizeof(NameEntry::word), "word"},
               });
}

bool print_lease_slot() {
  return print("LeaseSlot", sizeof(LeaseSlot),
               {
                   {offsetof(LeaseSlot, job_id), sizeof(LeaseSlot::job_id), "job_id"},
                   {offsetof(LeaseSlot, deadline_ns), sizeof(LeaseSlot::deadline_ns), "deadline_ns"},
                   {offsetof(LeaseSlot, started_at_ns), sizeof(LeaseSlot::started_at_ns), "started_at_ns"},
                   {offsetof(LeaseSlot, note), sizeof(LeaseSlot::note), "note"},
               });
}

bool print_participant_entry() {
  return print(
      "ParticipantEntry", sizeof(ParticipantEntry),
      {
          {offsetof(ParticipantEntry, state), sizeof(ParticipantEntry::state), "state"},
          {offsetof(ParticipantEntry, process_id), sizeof(ParticipantEntry::process_id), "process_id"},
          {offsetof(ParticipantEntry, thread_id), sizeof(ParticipantEntry::thread_id), "thread_id"},
          {offsetof(ParticipantEntry, process_started), sizeof(ParticipantEntry::process_started), "process_started"},
          {offsetof(ParticipantEntry, pid_namespace), sizeof(ParticipantEntry::pid_namespace), "pid_namespace"},
          {offsetof(ParticipantEntry, role), sizeof(ParticipantEntry::role), "role"},
          {offsetof(ParticipantEntry, placing_count), sizeof(ParticipantEntry::placing_count), "placing_count"},
          {offsetof(ParticipantEntry, attached_at_ns), sizeof(ParticipantEntry::attached_at_ns), "attached_at_ns"},
          {offsetof(ParticipantEntry, robust_linked), sizeof(ParticipantEntry::robust_linked), "robust_linked"},
          {offsetof(ParticipantEntry, counting), sizeof(ParticipantEntry::counting), "counting"},
          {offsetof(ParticipantEntry, reserved_a), sizeof(ParticipantEntry::reserved_a), "reserved_a"},
          {offsetof(ParticipantEntry, wake_sequence), sizeof(ParticipantEntry::wake_sequence), "wake_sequence"},
          {offsetof(ParticipantEntry, interest_any_kind), sizeof(ParticipantEntry::interest_any_kind),
           "interest_any_kind"},
          {offsetof(ParticipantEntry, interest_levels), sizeof(ParticipantEntry::interest_levels), "interest_levels"},
          {offsetof(ParticipantEntry, interest_kinds), sizeof(ParticipantEntry::interest_kinds), "interest_kinds"},
          {offsetof(ParticipantEntry, busy_ns), sizeof(ParticipantEntry::busy_ns), "busy_ns"},
          {offsetof(ParticipantEntry, visit), sizeof(ParticipantEntry::visit), "visit"},
          {offsetof(ParticipantEntry, session), sizeof(ParticipantEntry::session), "session"},
          {offsetof(ParticipantEntry, reserved_c), sizeof(ParticipantEntry::reserved_c), "reserved_c"},
          {offsetof(ParticipantEntry, enqueued), sizeof(ParticipantEntry::enqueued), "enqueued"},
          {offsetof(ParticipantEntry, completed), sizeof(ParticipantEntry::completed), "completed"},
          {offsetof(ParticipantEntry, failed), sizeof(ParticipantEntry::failed), "failed"},
          {offsetof(ParticipantEntry, retried), sizeof(ParticipantEntry::retried), "retried"},
          {offsetof(ParticipantEntry, worker_lost), sizeof(ParticipantEntry::worker_lost), "worker_lost"},
          {offsetof(ParticipantEntry, lease_expired), sizeof(ParticipantEntry::lease_expired), "lease_expired"},
          {offsetof(ParticipantEntry, cancelled), sizeof(ParticipantEntry::cancelled), "cancelled"},
          {offsetof(ParticipantEntry, released), sizeof(ParticipantEntry::released), "released"},
          {offsetof(ParticipantEntry, placing), sizeof(ParticipantEntry::placing), "placing"},
          {offsetof(ParticipantEntry, leases), sizeof(ParticipantEntry::leases), "leases"},
          {offsetof(ParticipantEntry, settling), sizeof(ParticipantEntry::settling), "settling"},
          {offsetof(ParticipantEntry, staging), sizeof(ParticipantEntry::staging), "staging"},
          {offsetof(ParticipantEntry, progress), sizeof(ParticipantEntry::progress), "progress"},
          {offsetof(ParticipantEntry, stop_asked), sizeof(ParticipantEntry::stop_asked), "stop_asked"},
          {offsetof(ParticipantEntry, dead), sizeof(ParticipantEntry::dead), "dead"},
          {offsetof(ParticipantEntry, bundle), sizeof(ParticipantEntry::bundle), "bundle"},
          {offsetof(ParticipantEntry, bundle_after), sizeof(ParticipantEntry::bundle_after), "bundle_after"},
          {offsetof(ParticipantEntry, robust_word), sizeof(ParticipantEntry::robust_word), "robust_word"},
          {offsetof(ParticipantEntry, reserved_e), sizeof(ParticipantEntry::reserved_e), "reserved_e"},
      });
}

bool print_cell_header() {
  return print("CellHeader", sizeof(CellHeader),
               {
                   {offsetof(CellHeader, state), sizeof(CellHeader::state), "state"},
                   {offsetof(CellHeader, kind), sizeof(CellHeader::kind), "kind"},
                   {offsetof(CellHeader, cause), sizeof(CellHeader::cause), "cause"},
                   {offsetof(CellHeader, payload_bytes), sizeof(CellHeader::payload_bytes), "payload_bytes"},
                   {offsetof(CellHeader, level), sizeof(CellHeader::level), "level"},
                   {offsetof(CellHeader, attempts), sizeof(CellHeader::attempts), "attempts"},
                   {offsetof(CellHeader, most_attempts), sizeof(CellHeader::most_attempts), "most_attempts"},
                   {offsetof(CellHeader, flags), sizeof(CellHeader::flags), "flags"},
                   {offsetof(CellHeader, enqueued_at_ns), sizeof(CellHeader::enqueued_at_ns), "enqueued_at_ns"},
                   {offsetof(CellHeader, due_at), sizeof(CellHeader::due_at), "due_at"},
                   {offsetof(CellHeader, lease_ms), sizeof(CellHeader::lease_ms), "lease_ms"},
                   {offsetof(CellHeader, retry_policy), sizeof(CellHeader::retry_policy), "retry_policy"},
                   {offsetof(CellHeader, text_bytes), sizeof(CellHeader::text_bytes), "text_bytes"},
                   {offsetof(CellHeader, extent), sizeof(CellHeader::extent), "extent"},
                   {offsetof(CellHeader, result_extent), sizeof(CellHeader::result_extent), "result_extent"},
                   {offsetof(CellHeader, revision), sizeof(CellHeader::revision), "revision"},
               });
}

bool print_staging() {
  return print("Staging", sizeof(Staging),
               {
                   {offsetof(Staging, job_id), sizeof(Staging::job_id), "job_id"},
                   {offsetof(Staging, due_at), sizeof(Staging::due_at), "due_at"},
                   {offsetof(Staging, started), sizeof(Staging::started), "started"},
                   {offsetof(Staging, text_bytes), sizeof(Staging::text_bytes), "text_bytes"},
                   {offsetof(Staging, result_note), sizeof(Staging::result_note), "result_note"},
                   {offsetof(Staging, text), sizeof(Staging::text), "text"},
               });
}

bool print_progress() {
  return print("Progress", sizeof(Progress),
               {
                   {offsetof(Progress, job_id), sizeof(Progress::job_id), "job_id"},
                   {offsetof(Progress, number), sizeof(Progress::number), "number"},
                   {offsetof(Progress, text), sizeof(Progress::text), "text"},
               });
}

bool print_cell_options() {
  return print("CellOptions", sizeof(CellOptions),
               {
                   {offsetof(CellOptions, expires_at_ms), sizeof(CellOptions::expires_at_ms), "expires_at_ms"},
                   {offsetof(CellOptions, keep_ms), sizeof(CellOptions::keep_ms), "keep_ms"},
                   {offsetof(CellOptions, started), sizeof(CellOptions::started), "started"},
                   {offsetof(CellOptions, ended_at_ms), sizeof(CellOptions::ended_at_ms), "ended_at_ms"},
                   {offsetof(CellOptions, unique_low), sizeof(CellOptions::unique_low), "unique_low"},
                   {offsetof(CellOptions, unique_high), sizeof(CellOptions::unique_high), "unique_high"},
               });
}

bool print_cell_notes() {
  return print("CellNotes", sizeof(CellNotes),
               {
                   {offsetof(CellNotes, serial_low), sizeof(CellNotes::serial_low), "serial_low"},
                   {offsetof(CellNotes, serial_high), sizeof(CellNotes::serial_high), "serial_high"},
                   {offsetof(CellNotes, retried_from), sizeof(CellNotes::retried_from), "retried_from"},
                   {offsetof(CellNotes, trace_id), sizeof(CellNotes::trace_id), "trace_id"},
                   {offsetof(CellNotes, trace_parent), sizeof(CellNotes::trace_parent), "trace_parent"},
                   {offsetof(CellNotes, tag), sizeof(CellNotes::tag), "tag"},
               });
}

bool print_cell_links() {
  return print("CellLinks", sizeof(CellLinks),
               {
                   {offsetof(CellLinks, born_of), sizeof(CellLinks::born_of), "born_of"},
                   {offsetof(CellLinks, next), sizeof(CellLinks::next), "next"},
                   {offsetof(CellLinks, parents), sizeof(CellLinks::parents), "parents"},
                   {offsetof(CellLinks, rule), sizeof(CellLinks::rule), "rule"},
                   {offsetof(CellLinks, runs_all_the_same), sizeof(CellLinks::runs_all_the_same), "runs_all_the_same"},
               });
}

bool print_statistics() {
  return print("PairCounts", sizeof(PairCounts),
               {
                   {offsetof(PairCounts, pair), sizeof(PairCounts::pair), "pair"},
                   {offsetof(PairCounts, enqueued), sizeof(PairCounts::enqueued), "enqueued"},
                   {offsetof(PairCounts, completed), sizeof(PairCounts::completed), "completed"},
                   {offsetof(PairCounts, failed), sizeof(PairCounts::failed), "failed"},
                   {offsetof(PairCounts, left), sizeof(PairCounts::left), "left"},
                   {offsetof(PairCounts, retried), sizeof(PairCounts::retried), "retried"},
                   {offsetof(PairCounts, dead), sizeof(PairCounts::dead), "dead"},
                   {offsetof(PairCounts, cancelled), sizeof(PairCounts::cancelled), "cancelled"},
               }) &&
         print("DurationCounts", sizeof(DurationCounts),
               {
                   {offsetof(DurationCounts, kind), sizeof(DurationCounts::kind), "kind"},
                   {offsetof(DurationCounts, below_zero), sizeof(DurationCounts::below_zero), "below_zero"},
                   {offsetof(DurationCounts, sum_ns), sizeof(DurationCounts::sum_ns), "sum_ns"},
                   {offsetof(DurationCounts, reserved), sizeof(DurationCounts::reserved), "reserved"},
                   {offsetof(DurationCounts, count), sizeof(DurationCounts::count), "count"},
               });
}

bool print_arena() {
  return print("ChunkWord", sizeof(ChunkWord), {{offsetof(ChunkWord, word), sizeof(ChunkWord::word), "word"}}) &&
         print("ArenaUnit", sizeof(ArenaUnit), {{offsetof(ArenaUnit, job_id), sizeof(ArenaUnit::job_id), "job_id"}}) &&
         print("ArenaChunk", sizeof(ArenaChunk), {{offsetof(ArenaChunk, cut), sizeof(ArenaChunk::cut), "cut"}});
}

}  // namespace
}  // namespace ringmill

int main() {
  using namespace ringmill;
  const bool complete = print_segment_header() && print_signals() && print_journal_words() && print_level_entry() &&
                        print_name_entry() && print_kind_rule() && print_permit_row() && print_lease_slot() &&
                        print_staging() && print_progress() && print_participant_entry() && print_cell_header() &&
                        print_cell_options() && print_cell_notes() && print_cell_links() && print_arena() &&
                        print_statistics();
  return complete ? 0 : 1;
}
