#include "core/durability/cell_records.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/durability/journaled_due.h"
#include "core/durability/journaled_notes.h"
#include "core/journal/note.h"
#include "ipc/wait_mark.h"

namespace ringmill {

namespace {

/// At a cell that changes while it is read.
constexpr int most_reads = 4;
constexpr std::uint64_t ns_per_ms = 1'000'000;

}  // namespace

CellRecords::CellRecords(const Segment& segment, JournalWriter& writer, CellsInFlight& in_flight)
    : segment_(&segment),
      writer_(&writer),
      in_flight_(&in_flight),
      table_(segment),
      arena_(segment),
      kind_named_in_(most_kinds, 0),
      policy_named_in_(most_retry_policies, 0) {}

Visit CellRecords::write_ended(CellIndex index, StateWord word, Purpose purpose) {
  const auto block = room(sizeof(ShortRecord), purpose);
  if (!block) return block.error();
  (*block)->append_ended(job_id_of(word, index));
  // ORDER relaxed: as in look_at()
  table_.header(index).revision.store(0, std::memory_order_relaxed);
  remember(index);
  return Visit::done;
}

Visit CellRecords::write_result_parts(CellIndex index, StateWord word, Purpose purpose) {
  if (!is_result_in_arena(index, word)) return Visit::done;
  return write_parts(index, word, Body::result, parting_of(Body::result, purpose), purpose);
}

Visit CellRecords::write_parts(CellIndex index, StateWord word, Body body, Parting& parting, Purpose purpose) {
  const JobId id = job_id_of(word, index);
  const std::uint64_t change = body == Body::result ? change_of(index) : 0;
  // The segment with the first part is about to be retired, and whether this job has to be copied was looked at before
  // its note was there: from the beginning, further on.
  const std::uint64_t too_old = compacted_ ? *compacted_ + 1 : writer_->oldest_segment();
  if (parting.id != id.value() || parting.change != change || (parting.parts != 0 && parting.first_segment < too_old)) {
    parting = {.id = id.value(), .change = change, .parts = 0, .first_segment = 0};
  }
  while (true) {
    const auto payload = body_of(id, body);
    const std::uint64_t begin = std::uint64_t{parting.parts} * most_part_bytes;
    if (payload && begin >= payload->size()) return Visit::done;
    // Corrupted, if it has not just ended: what is left of it is nothing, and its worker is told.
    if (!payload) return table_.word(index).generation() == word.generation() ? Visit::done : Visit::changed;
    const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_part_bytes, payload->size() - begin));
    const auto block = room(BlockBuilder::bytes_of_result_part(bytes), purpose);  // the longer one of the two
    if (!block) return block.error();
    if (parting.parts == 0) parting.first_segment = writer_->open_segment();
    const BlockBuilder::Mark before = (*block)->mark();
    Arena::copy_out(payload->subspan(begin, bytes), append_part(**block, body, parting, bytes, payload->size()).data());
    const StateWord after = table_.word(index);  // ORDER second-look
    const bool is_other_result = body == Body::result && (after != word || change_of(index) != change);
    if (after.generation() != word.generation() || !after.has_job() || is_other_result) {
      (*block)->rewind(before);
      parting = {};
      return Visit::changed;
    }
    ++count_;
    ++parting.parts;
  }
}

std::span<std::byte> CellRecords::append_part(BlockBuilder& block, Body body, const Parting& parting,
                                              std::uint32_t bytes, std::uint64_t whole_bytes) noexcept {
  const auto number = static_cast<std::uint16_t>(parting.parts);
  if (body == Body::payload) {
    return block.append_part({.number = number, .part_bytes = bytes, .id = parting.id, .payload_bytes = whole_bytes});
  }
  return block.append_result_part(
      {.number = number, .part_bytes = bytes, .id = parting.id, .result_bytes = whole_bytes, .change = parting.change});
}

void CellRecords::append_job(BlockBuilder& block, CellIndex index, const JobRecord& record,
                             const Parting* parting) noexcept {
  if (parting == nullptr) {
    const std::span<std::byte> payload = block.append_job(record);
    table_.copy_words_out(index, payload.data(), payload.size());
    return;
  }
  LargeJobRecord large{.job = record, .first_segment = parting->first_segment};
  large.job.type = RecordType::large_job;
  block.append_large_job(large);
}

JobRecord CellRecords::record_of(CellIndex index, StateWord word, std::uint32_t most_payload,
                                 Told told) const noexcept {
  const CellHeader& header = table_.header(index);
  const std::uint64_t enqueued_at_ms = header.enqueued_at_ns.load() / ns_per_ms;
  const std::uint64_t attempts = told == Told::all ? header.attempts.load() : 0;
  JobRecord record;
  record.level = header.level.load_once().unbounded();
  record.payload_bytes = header.payload_bytes.load_once().at_most(most_payload);
  record.id = job_id_of(word, index).value();
  record.enqueued_at_ms_and_attempts = (enqueued_at_ms & 0xffffffffffff) | attempts << 48;
  record.kind = header.kind.load_once().unbounded();  // room_for_job() takes any
  record.most_attempts = header.most_attempts.load();
  // Of a job with a result in the arena the word is the result's length.
  const bool is_length = (header.flags.load() & cell_flag::result_in_arena) != 0;
  record.lease_ms = is_length ? 0 : header.lease_ms.load_once().unbounded();
  return record;
}

Visit CellRecords::write_job(CellIndex index, StateWord word, Purpose purpose, Told told) {
  CellHeader& header = table_.header(index);
  const std::uint16_t flags = header.flags.load();
  Parting* parting = nullptr;
  if ((flags & cell_flag::in_arena) != 0) {
    parting = &parting_of(Body::payload, purpose);
    if (const Visit written = write_parts(index, word, Body::payload, *parting, purpose); written != Visit::done) {
      return written;
    }
  }
  if (told == Told::all) {
    if (const Visit written = write_result_parts(index, word, purpose); written != Visit::done) return written;
  }
  const std::uint32_t policy = header.retry_policy.load_once().unbounded();  // room_for_job() takes any
  const JobRecord record =
      record_of(index, word, parting != nullptr ? segment_->geometry().max_payload : table_.inline_bytes(), told);
  const bool is_plain = (flags & cell_flag::journaled) == 0 && policy == 0 && !needs_change(index, word);
  const std::uint32_t own_bytes = parting != nullptr ? static_cast<std::uint32_t>(sizeof(LargeJobRecord))
                                                     : BlockBuilder::bytes_of_job(record.payload_bytes);
  const Block block = room_for_job(record.kind, policy, own_bytes + (is_plain ? 0 : most_bytes_beside_job()), purpose);
  if (!block) return block.error();
  const BlockBuilder::Mark before = (*block)->mark();
  append_job(**block, index, record, parting);
  const Change change = is_plain ? Change::none : append_beside_job(**block, index, word, purpose, told);
  const StateWord after = table_.word(index);
  if (after.generation() != word.generation() || !after.has_job()) {
    (*block)->rewind(before);
    return Visit::changed;
  }
  const bool is_torn = is_plain ? !is_as_it_was(index, word) : change == Change::moves;
  if (told == Told::all && is_torn && may_visit_again(index)) {
    (*block)->rewind(before);
    return is_plain && word.state() != CellState::completing ? Visit::changed : Visit::moves;
  }
  // A job is copied forward when the segment is the oldest in which its first bytes stand.
  std::uint64_t segment = writer_->open_segment();
  for (const Body body : {Body::payload, Body::result}) {
    const Parting& parts = parting_of(body, purpose);
    if (parts.id == record.id && parts.parts != 0) segment = std::min(segment, parts.first_segment);
  }
  // ORDER relaxed: written by journal threads alone, of which there is one; the last one's death came in between.
  header.revision.store(JournalNote{word.generation(), JournalNote::segment_tag(segment)}.bits(),
                        std::memory_order_relaxed);
  if (parting != nullptr) *parting = {};
  parting_of(Body::result, purpose) = {};
  remember(index);
  return Visit::done;
}

bool CellRecords::may_visit_again(CellIndex index) const noexcept {
  // An end with which others may have come stays, so that one more look is enough, and does not take it in.
  return patience_ == Patience::waits || ((table_.header(index).flags.load() & cell_flag::leads_bundle) != 0 &&
                                          may_have_follow_ups(table_.word(index)));
}

bool CellRecords::is_parked(CellIndex index, StateWord word) const noexcept {
  return WaitMark::of_parked(table_.header(index).cause.load(), word) != WaitMark::Reason::none;
}

bool CellRecords::had_to_wait(CellIndex index) const noexcept {
  const CellHeader& header = table_.header(index);
  return header.due_at.load() != 0 || (header.flags.load() & cell_flag::has_links) != 0;
}

bool CellRecords::needs_change(CellIndex index, StateWord word) const noexcept {
  const CellState state = word.state();
  // A parked job waits: why is a matter of memory (core/flow_control/admission.h).
  const bool goes_on = state == CellState::queued || state == CellState::running || state == CellState::completing ||
                       is_parked(index, word);
  return !goes_on || !(table_.header(index).text_bytes.load_once() == 0U);
}

bool CellRecords::is_as_it_was(CellIndex index, StateWord word) const noexcept {
  // While it is completing its owner writes what we have read.
  return word.state() != CellState::completing && table_.word(index) == word;
}

CellRecords::Change CellRecords::append_beside_job(BlockBuilder& block, CellIndex index, StateWord word,
                                                   Purpose purpose, Told told) noexcept {
  const CellHeader& header = table_.header(index);
  const CellOptions* const options = table_.options(index);
  OptionsRecord record;
  record.cell_flags = header.flags.load() & cell_flag::journaled;
  record.retry_policy = header.retry_policy.load_once().unbounded();
  record.id = job_id_of(word, index).value();
  if (options != nullptr) {
    record.expires_at_ms = options->expires_at_ms.load();
    record.keep_ms = options->keep_ms.load();
    record.unique_low = options->unique_low.load();
    record.unique_high = options->unique_high.load();
  }
  block.append_options(record);
  ++count_;
  if (const CellLinks* const links = table_.links(index); links != nullptr) {
    append_links(block, index, word, *links);
  }
  if (const CellNotes* const notes = table_.notes(index); notes != nullptr) {
    append_notes(block, JobId(record.id), *notes);
  }
  if (told == Told::its_beginning || !needs_change(index, word)) return Change::none;
  const Change change = append_change(block, index, word, purpose);
  if (change == Change::written) ++count_;
  return change;
}

/// While the leader's cell stands its record may not be there yet: the job counts only with it. Afterwards that is
/// durable, and need not be known any more.
void CellRecords::append_links(BlockBuilder& block, CellIndex index, StateWord word, const CellLinks& links) noexcept {
  LinksRecord record;
  record.id = job_id_of(word, index).value();
  record.parents = table_.parents(index);
  record.runs_all_the_same = links.runs_all_the_same.load() != 0 ? 1 : 0;
  const JobId born_of(links.born_of.load());
  const std::uint16_t rule = links.rule.load();
  if (rule != 0 && rule <= static_cast<std::uint16_t>(BornRule::after_it) && table_.stands(born_of)) {
    record.rule = static_cast<std::uint8_t>(rule);
    record.born_of = born_of.value();
  }
  block.append_links(record);
  ++count_;
}

void CellRecords::append_notes(BlockBuilder& block, JobId id, const CellNotes& cell) noexcept {
  const Notes notes = Notes::read(cell);
  block.append_notes(notes_record_of(notes, id), notes.tag());
  ++count_;
}

CellRecords::Change CellRecords::append_change(BlockBuilder& block, CellIndex index, StateWord word,
                                               Purpose purpose) noexcept {
  // A claim, or an extension, changes the word and nothing else, and does not mark the cell: what the last end of a run
  // has left there is looked at again, or the journal would never have it.
  for (int read = 0; read < most_reads; ++read) {
    const BlockBuilder::Mark mark = block.mark();
    const bool is_whole = append_change_as_read(block, index, word, purpose);
    // Whatever changes it later marks it again.
    if (is_whole && is_as_it_was(index, word)) return Change::written;
    block.rewind(mark);
    if (!is_whole) break;  // it was completed just now, and the parts of its result come first
    const StateWord after = table_.word(index);
    if (after.generation() != word.generation()) return Change::none;
    if (after.state() != CellState::completing && !needs_change(index, after)) return Change::none;
    // It was completed just now, and what came with that stands behind it, or nowhere yet.
    if (may_have_follow_ups(after) && (table_.header(index).flags.load() & cell_flag::leads_bundle) != 0) break;
    word = after;
  }
  return Change::moves;
}

bool CellRecords::append_change_as_read(BlockBuilder& block, CellIndex index, StateWord word,
                                        Purpose purpose) noexcept {
  const CellHeader& header = table_.header(index);
  ChangeRecord record;
  record.state = is_parked(index, word) ? JournaledState::waits : journaled_state(word.state());
  record.attempts = header.attempts.load();
  if (word.state() == CellState::burying || word.state() == CellState::completed) {
    record.cause = static_cast<std::uint8_t>(header.cause.load());
  }
  record.id = job_id_of(word, index).value();
  const JobTable::TextPlace place = table_.text_place(index);
  record.text_bytes =
      static_cast<std::uint16_t>(header.text_bytes.load_once().at_most(std::min(place.room(), most_staged_bytes)));
  if (record.state != JournaledState::waits) record.due = journaled_due(DueTime::of(header.due_at.load()));
  const bool is_cut = (header.flags.load() & cell_flag::result_cut) != 0;
  if (record.state == JournaledState::completed && is_cut) record.due |= ChangeRecord::result_cut_bit;
  if (const CellOptions* const options = table_.options(index); options != nullptr) {
    record.started = options->started.load();
    record.ended_at_ms = options->ended_at_ms.load();
  }
  bool is_whole = true;
  if (is_result_in_arena(index, word)) {
    const Parting& parts = parting_of(Body::result, purpose);
    const auto result = arena_.result_of(JobId(record.id));
    is_whole =
        !result || (parts.id == record.id && parts.change == record.started && parts.parts == parts_of(result->size()));
    record.due |= result ? ChangeRecord::result_parts_bit : ChangeRecord::result_cut_bit;  // none: it is corrupted
    if (!result) record.cause = static_cast<std::uint8_t>(ResultRefusal::lost);
    record.text_bytes = 0;
  }
  const std::span<std::byte> text = block.append_change(record);
  JobTable::copy_text_out(place, text.data(), static_cast<std::uint32_t>(text.size()));
  return is_whole;
}

Visit CellRecords::write_change(CellIndex index, StateWord word, Purpose purpose) {
  const CellHeader& header = table_.header(index);
  const std::uint16_t attempts = header.attempts.load(std::memory_order_acquire);  // ORDER second-look
  const bool is_plain = !needs_change(index, word);
  if (table_.word(index).generation() != word.generation()) return Visit::changed;
  if (is_plain && !is_as_it_was(index, word) && may_visit_again(index)) {
    return word.state() == CellState::completing ? Visit::moves : Visit::changed;
  }
  if (is_plain && attempts == 0 && !had_to_wait(index)) return Visit::done;
  if (const Visit written = write_result_parts(index, word, purpose); written != Visit::done) return written;
  const auto block = room(is_plain ? sizeof(ShortRecord) : most_bytes_beside_job(), purpose);
  if (!block) return block.error();
  const Change change = is_plain ? Change::none : append_change(**block, index, word, purpose);
  if (change == Change::moves && may_visit_again(index)) return Visit::moves;
  if (change != Change::written) {
    if (table_.word(index).generation() != word.generation()) return Visit::changed;
    (*block)->append_attempts(job_id_of(word, index), attempts);
  }
  parting_of(Body::result, purpose) = {};
  remember(index);
  return Visit::done;
}

bool CellRecords::is_unnamed(std::uint64_t& named_in) const noexcept {
  return std::exchange(named_in, writer_->open_segment()) != writer_->open_segment();
}

std::uint32_t CellRecords::most_bytes_beside_job() const noexcept {
  return static_cast<std::uint32_t>(sizeof(OptionsRecord) + sizeof(LinksRecord)) + BlockBuilder::most_bytes_of_notes() +
         BlockBuilder::bytes_of_change(std::min<std::uint32_t>(most_staged_bytes, table_.inline_bytes()));
}

CellRecords::Block CellRecords::room_for_job(std::uint32_t kind, std::uint32_t policy, std::uint32_t bytes,
                                             Purpose purpose) {
  // For all, because a segment that ends in between would separate them.
  const auto block = room(bytes + 2 * BlockBuilder::bytes_of_kind(name_bytes), purpose);
  if (!block) return block;
  if (kind < most_kinds && is_unnamed(kind_named_in_[kind])) {
    if (const auto name = segment_->kinds().name_of(kind)) {
      (*block)->append_kind(kind, *name);
      ++count_;
    }
  }
  if (policy != 0 && policy <= most_retry_policies && is_unnamed(policy_named_in_[policy - 1])) {
    if (const auto name = segment_->retry_policies().name_of(policy - 1)) {
      (*block)->append_retry_policy(policy, *name);
      ++count_;
    }
  }
  return block;
}

CellRecords::Block CellRecords::room(std::uint32_t bytes, Purpose purpose) {
  auto block = writer_->room(bytes, purpose == Purpose::compaction);
  if (block) return *block;
  switch (block.error()) {
    case JournalWriter::NoRoom::buffers:
      return std::unexpected(Visit::buffers);
    case JournalWriter::NoRoom::segments:
      return std::unexpected(Visit::segments);
    case JournalWriter::NoRoom::failed:
      break;
  }
  return std::unexpected(Visit::failed);
}

void CellRecords::remember(CellIndex index) {
  in_flight_->remember(index);
  ++count_;
}

}  // namespace ringmill
