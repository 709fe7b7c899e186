#include "core/durability/table_copy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/durability/scratch_cell.h"
#include "core/journal/note.h"
#include "core/table/damage.h"
#include "core/table/tally.h"
#include "ipc/wait_mark.h"

namespace ringmill {

using fresh::set;

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// Records stand in no block: they have no place.
constexpr JournalPlace nowhere{};

/// The flags that no record has. A level counts its jobs anew.
constexpr std::uint16_t unjournaled =
    cell_flag::memory_only | cell_flag::has_children | cell_flag::leads_bundle | cell_flag::result_cut;

/// At rest a cell is free, or holds a job that waits, is kept, or is to be buried.
bool is_at_rest(CellState state) noexcept {
  return state != CellState::filling && state != CellState::running && state != CellState::completing;
}

/// Kinds and levels keep their numbers, so each histogram keeps its place.
void copy_durations(const DurationCounts& from, DurationCounts& to) noexcept {
  to.kind.store(from.kind.load_once().unbounded());  // as readers take it: any
  set(to.below_zero, from.below_zero.load());
  set(to.sum_ns, from.sum_ns.load());
  for (std::uint32_t bucket = 0; bucket < duration_buckets; ++bucket) set(to.count[bucket], from.count[bucket].load());
}

}  // namespace

TableCopy::TableCopy(const Segment& old, Segment& fresh) noexcept
    : old_(&old), fresh_(&fresh), old_table_(old), fresh_table_(fresh), old_arena_(old), rebuild_(fresh) {}

Result<void> TableCopy::run() {
  for (CellIndex index = 0; index < old_table_.capacity(); ++index) {
    if (auto checked = check(index, old_table_.word(index)); !checked) return checked;
  }
  add_names();
  for (CellIndex index = 0; index < old_table_.capacity(); ++index) {
    const StateWord word = old_table_.word(index);
    if (word.has_job()) add(index, word);
  }
  if (auto finished = rebuild_.finish(); !finished) return finished;
  if (const auto damage = rebuild_.take_damage(); !damage.empty()) {
    const std::string named = damage.front().suspects.empty() ? "" : damage.front().suspects.front().to_string() + ": ";
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a job cannot be taken over", named + damage.front().reason));
  }
  for (CellIndex index = 0; index < std::min(old_table_.capacity(), fresh_table_.capacity()); ++index) {
    if (!old_table_.is_there(index)) continue;  // no job, and nothing in the journal
    const StateWord word = old_table_.word(index);
    if (!fresh_table_.is_there(index)) {
      const bool is_known = old_table_.header(index).revision.load() != 0 || old_->marks().is_marked(index);
      if (!is_known) continue;
      const int error = fresh_->make_and_list_chunk(fresh_table_.chunks().chunk_of(index));
      if (error != 0) return std::unexpected(cells_refused(error));
    }
    if (word.has_job()) copy_words(index, word);
    copy_notes(index, word);
  }
  copy_statistics();
  return {};
}

Result<void> TableCopy::check(CellIndex index, StateWord word) const {
  const JobId id = job_id_of(word, index);
  if (!is_at_rest(word.state())) {
    return std::unexpected(Error(ErrorCode::busy, "a job's participant has died, and no keeper has handed it on yet",
                                 id.to_string() + "; run `ringmill keeper` for a moment, then resize again"));
  }
  if (word.has_job() && !fits(index)) {
    return std::unexpected(Error(
        ErrorCode::busy, "a job stands in a cell that would go",
        fmt::format("{}: cell {}, and there would be {} cells; wait until it is over, or name a larger --capacity",
                    id.to_string(), index, fresh_table_.capacity())));
  }
  if (word.has_job() && damage_of(*old_, id)) {
    return std::unexpected(Error(ErrorCode::busy, "a job is damaged, and no keeper has buried it yet",
                                 id.to_string() + "; run `ringmill keeper` for a moment, then resize again"));
  }
  if (!fits(index) && old_table_.is_there(index) && old_table_.header(index).revision.load() != 0) {
    return std::unexpected(Error(ErrorCode::busy,
                                 "the journal has not written the end of a job in a cell that would go",
                                 "run `ringmill keeper` for a moment, then resize again"));
  }
  return {};
}

void TableCopy::add_names() {
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    if (const auto name = old_->kinds().name_of(kind)) rebuild_.on_kind(nowhere, kind, *name);
  }
  for (std::uint32_t policy = 0; policy < most_retry_policies; ++policy) {
    const auto text = old_->retry_policies().name_of(policy);
    if (text) rebuild_.on_retry_policy(nowhere, policy + 1, *text);
  }
}

void TableCopy::add(CellIndex index, StateWord word) {
  const CellHeader& header = old_table_.header(index);
  const JobId id = job_id_of(word, index);
  const std::uint16_t flags = header.flags.load();
  const bool is_large = (flags & cell_flag::in_arena) != 0;
  JobRecord record;
  record.level = header.level.load_once().unbounded();  // on_job() takes any
  record.payload_bytes =
      header.payload_bytes.load_once().at_most(is_large ? old_->geometry().max_payload : old_table_.inline_bytes());
  record.id = id.value();
  const std::uint64_t enqueued_at_ms = header.enqueued_at_ns.load() / ns_per_ms;
  record.enqueued_at_ms_and_attempts = (enqueued_at_ms & 0xffffffffffff) | std::uint64_t{header.attempts.load()} << 48;
  record.kind = header.kind.load_once().unbounded();  // as the level
  record.most_attempts = header.most_attempts.load();
  // Of a job with a result in the arena the word is the result's length.
  const bool is_length = (flags & cell_flag::result_in_arena) != 0;
  record.lease_ms = is_length ? 0 : header.lease_ms.load_once().unbounded();
  if (is_large) {
    add_large(record, id);
  } else {
    std::vector<std::byte> payload(in_words(record.payload_bytes) * 8);
    old_table_.copy_words_out(index, payload.data(), payload.size());
    rebuild_.on_job(nowhere, record, std::span(payload).first(record.payload_bytes));
  }
  const CellOptions* const options = old_table_.options(index);
  OptionsRecord asked{.cell_flags = static_cast<std::uint16_t>(flags & cell_flag::journaled),
                      .retry_policy = header.retry_policy.load_once().unbounded(),
                      .id = id.value()};
  if (options != nullptr) {
    asked.expires_at_ms = options->expires_at_ms.load();
    asked.keep_ms = options->keep_ms.load();
    asked.unique_low = options->unique_low.load();
    asked.unique_high = options->unique_high.load();
  }
  rebuild_.on_options(nowhere, asked);
  if (const CellLinks* const links = old_table_.links(index); links != nullptr) {
    rebuild_.on_links(nowhere,
                      {.runs_all_the_same = links->runs_all_the_same.load() != 0 ? std::uint8_t{1} : std::uint8_t{0},
                       .parents = old_table_.parents(index),
                       .id = id.value()});
  }
  add_change(index, word);
  ++jobs_;
}

void TableCopy::add_large(const JobRecord& record, JobId id) {
  const auto payload = old_arena_.payload_of(id);
  if (!payload) return;  // damage_of() has looked at it
  PartRecord part{.id = id.value(), .payload_bytes = payload->size()};
  std::vector<std::byte> bytes;
  for (std::size_t begin = 0; begin < payload->size(); begin += most_part_bytes, ++part.number) {
    bytes.resize(std::min<std::size_t>(most_part_bytes, payload->size() - begin));
    Arena::copy_out(payload->subspan(begin, bytes.size()), bytes.data());
    part.part_bytes = static_cast<std::uint32_t>(bytes.size());
    rebuild_.on_part(nowhere, part, bytes);
  }
  LargeJobRecord large{.job = record, .first_segment = 0};
  large.job.type = RecordType::large_job;
  rebuild_.on_large_job(nowhere, large);
}

bool TableCopy::add_result(JobId id, std::uint64_t change) {
  const auto result = old_arena_.result_of(id);
  if (!result) return false;  // it is corrupted
  ResultPartRecord part{.id = id.value(), .result_bytes = result->size(), .change = change};
  std::vector<std::byte> bytes;
  for (std::size_t begin = 0; begin < result->size(); begin += most_part_bytes, ++part.number) {
    bytes.resize(std::min<std::size_t>(most_part_bytes, result->size() - begin));
    Arena::copy_out(result->subspan(begin, bytes.size()), bytes.data());
    part.part_bytes = static_cast<std::uint32_t>(bytes.size());
    rebuild_.on_result_part(nowhere, part, bytes);
  }
  return true;
}

void TableCopy::add_change(CellIndex index, StateWord word) {
  const CellHeader& header = old_table_.header(index);
  // One that is parked is claimed once more, and judged again.
  const bool is_parked = WaitMark::of_parked(header.cause.load(), word) != WaitMark::Reason::none;
  const JobTable::TextPlace place = old_table_.text_place(index);
  ChangeRecord record;
  record.attempts = header.attempts.load();
  record.text_bytes =
      static_cast<std::uint16_t>(header.text_bytes.load_once().at_most(std::min(place.room(), most_staged_bytes)));
  record.state = is_parked ? JournaledState::waits : journaled_state(word.state());
  if (record.state == JournaledState::waits && record.text_bytes == 0) return;
  const bool is_completed = word.state() == CellState::completed;
  if (word.state() == CellState::burying || is_completed) record.cause = static_cast<std::uint8_t>(header.cause.load());
  record.id = job_id_of(word, index).value();
  if (const CellOptions* const options = old_table_.options(index); options != nullptr) {
    record.started = options->started.load();
    record.ended_at_ms = options->ended_at_ms.load();
  }
  const std::uint16_t flags = header.flags.load();
  if (is_completed && (flags & cell_flag::result_cut) != 0) record.due |= ChangeRecord::result_cut_bit;
  if (is_completed && (flags & cell_flag::result_in_arena) != 0 && add_result(JobId(record.id), record.started)) {
    record.due |= ChangeRecord::result_parts_bit;
    record.text_bytes = 0;
  }
  std::string text(in_words(record.text_bytes) * 8, '\0');
  JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(text.data()), record.text_bytes);
  text.resize(record.text_bytes);
  rebuild_.on_change(nowhere, record, text);
}

void TableCopy::copy_words(CellIndex index, StateWord word) noexcept {
  const CellHeader& from = old_table_.header(index);
  CellHeader& to = fresh_table_.header(index);
  set(to.enqueued_at_ns, from.enqueued_at_ns.load());
  set(to.flags, to.flags.load() | (from.flags.load() & unjournaled));
  // A job that is queued has no time, and one that was parked is.
  if (fresh_table_.word(index).state() == word.state() && word.state() != CellState::queued) {
    set(to.due_at, from.due_at.load());
  }
  const CellOptions* const old_options = old_table_.options(index);
  CellOptions* const options = fresh_table_.options(index);
  if (old_options != nullptr && options != nullptr) {
    set(options->started, old_options->started.load());
    set(options->ended_at_ms, old_options->ended_at_ms.load());
  }
  const CellLinks* const old_links = old_table_.links(index);
  CellLinks* const links = fresh_table_.links(index);
  if (old_links != nullptr && links != nullptr) {
    // While the records of its bundle are not all durable, the journal has to know which one it is.
    set(links->born_of, old_links->born_of.load());
    set(links->rule, old_links->rule.load());
  }
}

void TableCopy::copy_notes(CellIndex index, StateWord word) noexcept {
  const std::uint64_t note = old_table_.header(index).revision.load();
  set(fresh_table_.header(index).revision, note);
  const bool is_unknown = word.has_job() ? JournalNote::of(note).generation != word.generation() : note != 0;
  if (!is_unknown && !old_->marks().is_marked(index)) return;
  if (word.has_job()) {
    if ((old_table_.header(index).flags.load() & cell_flag::memory_only) != 0) return;
    fresh_->marks().mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  } else {
    fresh_->marks().mark_ended(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  }
}

void TableCopy::copy_statistics() noexcept {
  constexpr std::array counters{
      &ParticipantEntry::enqueued,  &ParticipantEntry::completed,   &ParticipantEntry::failed,
      &ParticipantEntry::retried,   &ParticipantEntry::worker_lost, &ParticipantEntry::lease_expired,
      &ParticipantEntry::cancelled, &ParticipantEntry::released,    &ParticipantEntry::dead};
  for (const auto counter : counters) {
    std::uint64_t total = 0;
    for (std::uint32_t n = 0; n < old_->participants_end(); ++n) total += (old_->participant(n).*counter).load();
    set(fresh_->participant(0).*counter, total);  // the next owner of the entry counts on
  }
  copy_pairs();
  for (std::uint32_t n = 0; n < wait_histograms; ++n) copy_durations(old_->waits(n), fresh_->waits(n));
  for (std::uint32_t n = 0; n < run_histograms; ++n) copy_durations(old_->runs(n), fresh_->runs(n));
}

void TableCopy::copy_pairs() noexcept {
  constexpr std::array events{&PairCounts::enqueued, &PairCounts::completed, &PairCounts::failed,   &PairCounts::left,
                              &PairCounts::retried,  &PairCounts::dead,      &PairCounts::cancelled};
  Tally tally(*fresh_, 0);  // as above
  const auto add = [&](const PairCounts& line) {
    const JobPair pair = JobPair::of_bits(line.pair.load());
    for (const auto event : events) {
      // The last line that all share has no pair of its own.
      if (const std::uint64_t count = (line.*event).load(); count != 0)
        tally.count(event, pair ? pair : JobPair::other(), count);
    }
  };
  for (std::uint32_t number = 0; number < old_->participants_end(); ++number) {
    for (std::uint32_t n = 0; n < own_pairs; ++n) add(old_->own_pair(number, n));
  }
  for (std::uint32_t n = 0; n < shared_pairs; ++n) add(old_->shared_pair(n));
}

}  // namespace ringmill
