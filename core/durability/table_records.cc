#include "core/durability/table_records.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "core/durability/journaled_due.h"
#include "core/durability/journaled_notes.h"
#include "core/journal/note.h"
#include "core/table/damage.h"
#include "ipc/wait_mark.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// Records stand in no block: they have no place.
constexpr JournalPlace nowhere{};

}  // namespace

void TableRecords::give_names(JournalVisitor& to) const {
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    if (const auto name = segment_->kinds().name_of(kind)) to.on_kind(nowhere, kind, *name);
  }
  for (std::uint32_t policy = 0; policy < most_retry_policies; ++policy) {
    const auto text = segment_->retry_policies().name_of(policy);
    if (text) to.on_retry_policy(nowhere, policy + 1, *text);
  }
}

void TableRecords::give_job(CellIndex index, StateWord word, JournalVisitor& to) const {
  const CellHeader& header = table_.header(index);
  const JobId id = job_id_of(word, index);
  const std::uint16_t flags = header.flags.load();
  const bool is_large = (flags & cell_flag::in_arena) != 0;
  JobRecord record;
  record.level = header.level.load_once().unbounded();  // on_job() takes any
  record.payload_bytes =
      header.payload_bytes.load_once().at_most(is_large ? segment_->geometry().max_payload : table_.inline_bytes());
  record.id = id.value();
  const std::uint64_t enqueued_at_ms = header.enqueued_at_ns.load() / ns_per_ms;
  record.enqueued_at_ms_and_attempts = (enqueued_at_ms & 0xffffffffffff) | std::uint64_t{header.attempts.load()} << 48;
  record.kind = header.kind.load_once().unbounded();  // as the level
  record.most_attempts = header.most_attempts.load();
  // Of a job with a result in the arena the word is the result's length.
  const bool is_length = (flags & cell_flag::result_in_arena) != 0;
  record.lease_ms = is_length ? 0 : header.lease_ms.load_once().unbounded();
  if (is_large) {
    give_large(record, id, to);
  } else {
    std::vector<std::byte> payload(in_words(record.payload_bytes) * 8);
    table_.copy_words_out(index, payload.data(), payload.size());
    to.on_job(nowhere, record, std::span(payload).first(record.payload_bytes));
  }
  const CellOptions* const options = table_.options(index);
  OptionsRecord asked{.cell_flags = static_cast<std::uint16_t>(flags & cell_flag::journaled),
                      .retry_policy = header.retry_policy.load_once().unbounded(),
                      .id = id.value()};
  if (options != nullptr) {
    asked.expires_at_ms = options->expires_at_ms.load();
    asked.keep_ms = options->keep_ms.load();
    asked.unique_low = options->unique_low.load();
    asked.unique_high = options->unique_high.load();
  }
  to.on_options(nowhere, asked);
  if (const CellLinks* const links = table_.links(index); links != nullptr) {
    to.on_links(nowhere, {.runs_all_the_same = links->runs_all_the_same.load() != 0 ? std::uint8_t{1} : std::uint8_t{0},
                          .parents = table_.parents(index),
                          .id = id.value()});
  }
  if (const CellNotes* const cell = table_.notes(index); cell != nullptr) {
    const Notes notes = Notes::read(*cell);
    to.on_notes(nowhere, notes_record_of(notes, id), notes.tag());
  }
  give_change(index, word, to);
}

void TableRecords::give_large(const JobRecord& record, JobId id, JournalVisitor& to) const {
  const auto payload = arena_.payload_of(id);
  if (!payload) return;  // damage_of() has looked at it
  PartRecord part{.id = id.value(), .payload_bytes = payload->size()};
  std::vector<std::byte> bytes;
  for (std::size_t begin = 0; begin < payload->size(); begin += most_part_bytes, ++part.number) {
    bytes.resize(std::min<std::size_t>(most_part_bytes, payload->size() - begin));
    Arena::copy_out(payload->subspan(begin, bytes.size()), bytes.data());
    part.part_bytes = static_cast<std::uint32_t>(bytes.size());
    to.on_part(nowhere, part, bytes);
  }
  LargeJobRecord large{.job = record, .first_segment = 0};
  large.job.type = RecordType::large_job;
  to.on_large_job(nowhere, large);
}

bool TableRecords::give_result(JobId id, std::uint64_t change, JournalVisitor& to) const {
  const auto result = arena_.result_of(id);
  if (!result) return false;  // it is corrupted
  ResultPartRecord part{.id = id.value(), .result_bytes = result->size(), .change = change};
  std::vector<std::byte> bytes;
  for (std::size_t begin = 0; begin < result->size(); begin += most_part_bytes, ++part.number) {
    bytes.resize(std::min<std::size_t>(most_part_bytes, result->size() - begin));
    Arena::copy_out(result->subspan(begin, bytes.size()), bytes.data());
    part.part_bytes = static_cast<std::uint32_t>(bytes.size());
    to.on_result_part(nowhere, part, bytes);
  }
  return true;
}

void TableRecords::give_change(CellIndex index, StateWord word, JournalVisitor& to) const {
  const CellHeader& header = table_.header(index);
  // One that is parked is claimed once more, and judged again.
  const bool is_parked = WaitMark::of_parked(header.cause.load(), word) != WaitMark::Reason::none;
  const JobTable::TextPlace place = table_.text_place(index);
  ChangeRecord record;
  record.attempts = header.attempts.load();
  record.text_bytes =
      static_cast<std::uint16_t>(header.text_bytes.load_once().at_most(std::min(place.room(), most_staged_bytes)));
  record.state = is_parked ? JournaledState::waits : journaled_state(word.state());
  if (record.state == JournaledState::waits && record.text_bytes == 0) return;
  if (record.state != JournaledState::waits) record.due = journaled_due(DueTime::of(header.due_at.load()));
  const bool is_completed = word.state() == CellState::completed;
  if (word.state() == CellState::burying || is_completed) record.cause = static_cast<std::uint8_t>(header.cause.load());
  record.id = job_id_of(word, index).value();
  if (const CellOptions* const options = table_.options(index); options != nullptr) {
    record.started = options->started.load();
    record.ended_at_ms = options->ended_at_ms.load();
  }
  const std::uint16_t flags = header.flags.load();
  if (is_completed && (flags & cell_flag::result_cut) != 0) record.due |= ChangeRecord::result_cut_bit;
  if (is_completed && (flags & cell_flag::result_in_arena) != 0 && give_result(JobId(record.id), record.started, to)) {
    record.due |= ChangeRecord::result_parts_bit;
    record.text_bytes = 0;
  }
  std::string text(in_words(record.text_bytes) * 8, '\0');
  JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(text.data()), record.text_bytes);
  text.resize(record.text_bytes);
  to.on_change(nowhere, record, text);
}

}  // namespace ringmill
