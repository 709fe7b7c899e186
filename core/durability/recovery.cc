#include "core/durability/recovery.h"

#include <algorithm>
#include <limits>

#include "core/durability/journaled_notes.h"
#include "core/durability/recovery_rules.h"
#include "core/durability/scratch_cell.h"
#include "core/journal/note.h"

namespace ringmill {

using fresh::ScratchCell, fresh::is_over, fresh::no_rule, fresh::set, fresh::value_of, fresh::value_of16;

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// The records' 48 bits of milliseconds reach further than the nanoseconds that clocks are shown in.
constexpr std::uint64_t most_enqueued_ms = std::numeric_limits<std::int64_t>::max() / ns_per_ms;
constexpr std::size_t most_damage = 10'000;

/// No later than a DueTime can say: the record's 48 bits of milliseconds reach further.
DueTime due_of(const ChangeRecord& record) noexcept {
  constexpr std::uint64_t latest_ms = (DueTime::wall_bit - 1) / ns_per_ms;
  return {.ns = std::min(record.due_ms(), latest_ms) * ns_per_ms, .is_wall = record.is_wall()};
}

/// The tag of a note is the low part of a segment's number; those that count at a time are few.
bool is_newer(std::uint32_t tag, std::uint32_t than) noexcept {
  return ((tag - than) & JournalNote::segment_mask) < JournalNote::segment_mask / 2;
}

}  // namespace

TableRebuild::TableRebuild(Segment& fresh)
    : segment_(&fresh), table_(fresh), waiting_(fresh.geometry().level_numbers()), arena_(fresh) {}

bool TableRebuild::knows_level(std::uint32_t level) const noexcept {
  if (level < segment_->geometry().level_count) return true;
  return level < segment_->geometry().level_numbers() && segment_->level_word(level).state != LevelState::unused;
}

void TableRebuild::note_damage(const JournalPlace& place, const char* reason, JobId id) {
  const bool is_new = damage_.empty() || damage_.back().segment != place.segment ||
                      damage_.back().offset != place.offset || damage_.back().reason != reason;
  if (is_new) {
    if (damage_.size() == most_damage) return;
    damage_.push_back(
        {.segment = place.segment, .slot = 0, .offset = place.offset, .bytes = 0, .reason = reason, .suspects = {}});
  }
  if (id && damage_.back().suspects.size() < most_suspects) damage_.back().suspects.push_back(id);
}

bool TableRebuild::accept(const JournalPlace& place, JobId id) {
  const std::uint64_t generation = generation_of(id);
  const bool is_generation = generation != 0 && generation < most_generation;
  if (index_of(id) < table_.capacity() && is_generation)
    return table_.is_there(index_of(id)) || make_cells(index_of(id));
  if (index_of(id) < most_cells_ && is_generation) return false;
  note_damage(place, "an id that this engine cannot have given", id);
  return false;
}

bool TableRebuild::make_cells(CellIndex index) {
  if (lacks_memory_) return false;
  CellChunks chunks = segment_->chunks();
  const std::uint32_t chunk = chunks.chunk_of(index);
  lacks_memory_ = segment_->allocate_chunk(chunk) != 0;
  if (lacks_memory_) return false;
  // No other process sees the segment: its cells are zero until finish() settles them.
  chunks.swap(chunk, {}, {.state = ChunkState::present});
  chunks.set_bit(chunk);
  segment_->signals().common_end.raise_to(chunks.end_cell(chunk));
  return true;
}

void TableRebuild::on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  if (record.flags != 0 || !knows_level(record.level) || record.kind >= most_kinds ||
      record.payload_bytes > table_.inline_bytes() || payload.size() != record.payload_bytes) {
    note_damage(place, "a job that does not fit this engine", id);
    return;
  }
  take_job(place.segment, record, 0, payload);
}

void TableRebuild::on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  if (segment_->geometry().arena_chunk_count == 0 || record.payload_bytes > segment_->geometry().max_payload) {
    note_damage(place, "a payload that does not fit this engine", id);
    return;
  }
  highest_generation_ = std::max(highest_generation_, generation_of(id));
  ScratchCell cell(table_.header(index_of(id)));
  const NamedLife life = named_life(generation_of(id), cell.latest_generation());
  if (effect_of(RecordType::part, life) != RecordEffect::keeps) return;
  cell.raise_note({.generation = generation_of(id)});  // earlier jobs are over, and their parts go
  parts_.add(record, part);
}

void TableRebuild::on_result_part(const JournalPlace& place, const ResultPartRecord& record,
                                  std::span<const std::byte> part) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  if (segment_->geometry().arena_chunk_count == 0 || record.result_bytes > segment_->geometry().max_payload) {
    note_damage(place, "a result that does not fit this engine", id);
    return;
  }
  const ScratchCell cell(table_.header(index_of(id)));
  const NamedLife life = named_life(generation_of(id), cell.latest_generation());
  if (effect_of(RecordType::result_part, life) == RecordEffect::holds) result_parts_.add(record, part);
}

void TableRebuild::on_large_job(const JournalPlace& place, const LargeJobRecord& record) {
  const JobId id(record.job.id);
  if (!accept(place, id)) return;
  if (!knows_level(record.job.level) || record.job.kind >= most_kinds || segment_->geometry().arena_chunk_count == 0 ||
      record.job.payload_bytes > segment_->geometry().max_payload || record.first_segment > place.segment) {
    note_damage(place, "a job that does not fit this engine", id);
    return;
  }
  highest_generation_ = std::max(highest_generation_, generation_of(id));
  if (parts_.is_whole(id, record.job.payload_bytes)) {
    take_job(record.first_segment, record.job, cell_flag::in_arena, {});
    return;
  }
  // Its parts were in a segment that is retired, and it is copied forward, or over; if not, a part was lost.
  Incomplete& incomplete = incomplete_[index_of(id)];
  if (incomplete.id.value() <= id.value()) incomplete = {id, place};
}

void TableRebuild::take_job(std::uint64_t segment, const JobRecord& record, std::uint16_t flags,
                            std::span<const std::byte> payload) {
  const JobId id(record.id);
  const std::uint64_t generation = generation_of(id);
  highest_generation_ = std::max(highest_generation_, generation);
  if (!parts_.is_empty()) parts_.end_below(index_of(id), generation);
  if (!result_parts_.is_empty()) result_parts_.end_below(index_of(id), generation);
  CellHeader& header = table_.header(index_of(id));
  const RecordEffect effect = effect_of(record.type, ScratchCell(header).life_of(id));
  if (effect == RecordEffect::stands) fill(header, segment, record, flags, payload);
  if (effect != RecordEffect::again) return;
  // If it does not just wait, the change behind it says so.
  note_attempts(id, record.attempts());
  wait_again(header, record.attempts());
  const JournalNote note{generation, JournalNote::segment_tag(segment)};
  if (is_newer(note.segment, JournalNote::of(value_of(header.revision)).segment)) set(header.revision, note.bits());
}

void TableRebuild::fill(CellHeader& header, std::uint64_t segment, const JobRecord& record, std::uint16_t flags,
                        std::span<const std::byte> payload) {
  const JobId id(record.id);
  const std::uint64_t generation = generation_of(id);
  ScratchCell(header).set_word(generation, CellState::queued);
  set(header.kind, record.kind);
  set(header.payload_bytes, record.payload_bytes);
  set(header.level, record.level);
  set(header.attempts, record.attempts());
  set(header.most_attempts, record.most_attempts);
  set(header.cause, 0);
  set(header.due_at, 0);
  set(header.retry_policy, 0);
  set(header.text_bytes, 0);
  set(header.flags, flags);
  set(header.enqueued_at_ns, std::min(record.enqueued_at_ms(), most_enqueued_ms) * ns_per_ms);
  set(header.lease_ms, record.lease_ms);
  set(header.revision, JournalNote{generation, JournalNote::segment_tag(segment)}.bits());
  table_.copy_in(index_of(id), payload);
}

void TableRebuild::on_ended(const JournalPlace& place, JobId id) {
  if (!accept(place, id)) return;
  highest_generation_ = std::max(highest_generation_, generation_of(id) - 1);
  ScratchCell(table_.header(index_of(id))).raise_note({.generation = generation_of(id)});
  if (!parts_.is_empty()) parts_.end_below(index_of(id), generation_of(id));
  if (!result_parts_.is_empty()) result_parts_.end_below(index_of(id), generation_of(id));
}

void TableRebuild::note_attempts(JobId id, std::uint16_t attempts) {
  highest_generation_ = std::max(highest_generation_, generation_of(id));
  ScratchCell(table_.header(index_of(id))).raise_note({.generation = generation_of(id), .attempts = attempts});
}

void TableRebuild::wait_again(CellHeader& header, std::uint16_t attempts) noexcept {
  ScratchCell cell(header);
  if (JobProgress{.is_over = false, .attempts = attempts} < cell.progress()) return;
  // Its text stays: a job that waits and has one is never written without it, unless it moved on at that moment.
  cell.set_word(cell.word().generation(), CellState::queued);
  set(header.attempts, attempts);
  set(header.due_at, 0);
}

void TableRebuild::on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) {
  if (!accept(place, id)) return;
  note_attempts(id, attempts);
  CellHeader& header = table_.header(index_of(id));
  if (effect_of(RecordType::attempts, ScratchCell(header).life_of(id)) != RecordEffect::waits) return;
  wait_again(header, attempts);
}

void TableRebuild::on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  note_attempts(id, record.attempts);
  const CellIndex index = index_of(id);
  CellHeader& header = table_.header(index);
  ScratchCell cell(header);
  if (effect_of(RecordType::change, cell.life_of(id)) != RecordEffect::changes) return;
  const CellState state = cell_state(record.state);
  const DueTime due = due_of(record);
  if (JobProgress{.is_over = is_over(state), .attempts = record.attempts} < cell.progress()) return;
  cell.set_word(generation_of(id), state);
  set(header.attempts, record.attempts);
  // It stays dead, whatever it died of.
  const bool is_known_cause =
      state != CellState::burying || record.cause <= static_cast<std::uint8_t>(DeathCause::parent_dead);
  if (!is_known_cause) note_damage(place, "a death of a cause that cannot be", id);
  set(header.cause, is_known_cause ? record.cause : static_cast<std::uint8_t>(DeathCause::failed));
  set(header.due_at, due.bits());
  if (CellOptions* const options = table_.options(index); options != nullptr) {
    set(options->started, record.started);
    set(options->ended_at_ms, record.ended_at_ms);
  }
  take_result(place, record, text);
}

void TableRebuild::take_result(const JournalPlace& place, const ChangeRecord& record, std::string_view text) {
  const JobId id(record.id);
  const CellIndex index = index_of(id);
  CellHeader& header = table_.header(index);
  constexpr std::uint16_t of_results = cell_flag::result_cut | cell_flag::result_in_arena;
  std::uint16_t flags = header.flags.load() & ~of_results;
  if (record.is_result_cut()) flags |= cell_flag::result_cut;
  if (record.is_result_in_parts()) {
    KeptResult& kept = results_[index];
    if (auto bytes = result_parts_.take(id, record.started)) {
      kept = {.id = id, .change = record.started, .bytes = *std::move(bytes)};
    }
    // A copy of the record need not have all parts behind the first one.
    if (kept.id == id && kept.change == record.started && !kept.bytes.empty()) {
      flags |= cell_flag::result_in_arena;
      set(header.lease_ms, kept.bytes.size());
      lost_results_.erase(index);
    } else {
      lost_results_[index] = {id, place};  // unless it is over, or written once more
      flags |= cell_flag::result_cut;
      set(header.cause, static_cast<std::uint16_t>(ResultRefusal::lost));
    }
  } else {
    results_.erase(index);
  }
  set(header.flags, flags);
  std::array<std::atomic<std::uint64_t>, most_staged_bytes / 8> words;
  const JobTable::TextPlace text_place = table_.text_place(index);
  const auto bytes = static_cast<std::uint32_t>(
      std::min({text.size(), std::size_t{most_staged_bytes}, std::size_t{text_place.room()}}));
  store_words(words.data(), std::as_bytes(std::span(text.substr(0, bytes))));
  JobTable::copy_text_in(text_place, words.data(), bytes);
  set(header.text_bytes, bytes);
}

void TableRebuild::on_options(const JournalPlace& place, const OptionsRecord& record) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  CellHeader& header = table_.header(index_of(id));
  if (effect_of(RecordType::options, ScratchCell(header).life_of(id)) != RecordEffect::adds) return;
  const bool has_options = (record.cell_flags & cell_flag::has_options) != 0;
  const bool has_links = (record.cell_flags & cell_flag::has_links) != 0;
  const bool has_notes = (record.cell_flags & cell_flag::has_notes) != 0;
  // The job's record says where its payload is, a change record what is with its result.
  constexpr std::uint16_t of_others = cell_flag::in_arena | cell_flag::result_cut | cell_flag::result_in_arena;
  constexpr std::uint16_t known = cell_flag::all & ~of_others;
  const std::uint16_t said_by_others = header.flags.load() & of_others;
  const bool is_large = (said_by_others & cell_flag::in_arena) != 0;
  const std::uint32_t payload_bytes = header.payload_bytes.load_once().unbounded();  // is compared only
  if ((record.cell_flags & ~known) != 0 || record.retry_policy > most_retry_policies ||
      (!is_large && payload_bytes > table_.inline_bytes_beside(record.cell_flags)) ||
      (has_links && (!has_options || !table_.has_room_for_links())) ||
      (has_notes && (!has_options || !table_.has_room_for_notes()))) {
    note_damage(place, "options that no job of this engine can have", id);
    return;
  }
  if ((header.flags.load() & cell_flag::has_options) == (record.cell_flags & cell_flag::has_options) &&
      (header.flags.load() & ~of_others) != 0) {
    return;  // copied forward
  }
  set(header.flags, (record.cell_flags & cell_flag::journaled) | said_by_others);
  set(header.retry_policy, record.retry_policy);
  if (!has_options) return;
  CellOptions& options = table_.options_place(index_of(id));
  set(options.expires_at_ms, record.expires_at_ms);
  set(options.keep_ms, record.keep_ms);
  set(options.started, 0);
  set(options.ended_at_ms, 0);
  set(options.unique_low, record.unique_low);
  set(options.unique_high, record.unique_high);
  if (has_links) {
    CellLinks& links = table_.links_place(index_of(id), record.cell_flags);
    set(links.born_of, 0);
    set(links.next, 0);
    set(links.parents, 0);
    set(links.rule, no_rule);
    set(links.runs_all_the_same, 0);
  }
  if (has_notes) Notes().write(table_.notes_place(index_of(id)));
  // A text that stands already, which no keeper's order of records leaves there, must not reach into the options.
  set(header.text_bytes, header.text_bytes.load_once().at_most(table_.text_room(index_of(id))));
}

void TableRebuild::on_links(const JournalPlace& place, const LinksRecord& record) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  const CellIndex index = index_of(id);
  CellHeader& header = table_.header(index);
  if (effect_of(RecordType::links, ScratchCell(header).life_of(id)) != RecordEffect::adds) return;
  CellLinks* const links = table_.links(index);
  const bool is_large = (header.flags.load() & cell_flag::in_arena) != 0;
  const std::uint32_t room_for_ids = header.payload_bytes.load_once().at_most(
      is_large ? segment_->geometry().max_payload : table_.inline_bytes_beside(header.flags.load()));
  if (links == nullptr || record.rule > static_cast<std::uint8_t>(BornRule::after_it) ||
      std::uint64_t{record.parents} * 8 > room_for_ids || record.runs_all_the_same > 1) {
    note_damage(place, "links that no job of this engine can have", id);
    return;
  }
  set(links->parents, record.parents);
  set(links->runs_all_the_same, record.runs_all_the_same);
  constexpr auto alone = static_cast<std::uint16_t>(BornRule::alone);
  if (value_of16(links->rule) == alone) return;
  set(links->rule, record.rule);
  set(links->born_of, record.born_of);
  if (record.rule != alone) linked_.push_back(index);
}

void TableRebuild::on_notes(const JournalPlace& place, const NotesRecord& record, std::string_view tag) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  CellHeader& header = table_.header(index_of(id));
  if (effect_of(RecordType::notes, ScratchCell(header).life_of(id)) != RecordEffect::adds) return;
  CellNotes* const cell = table_.notes(index_of(id));
  if (cell == nullptr || (!tag.empty() && fault_of_tag(tag) != nullptr)) {
    note_damage(place, "notes that no job of this engine can have", id);
    return;
  }
  notes_of(record, tag).write(*cell);
}

void TableRebuild::on_retry_policy(const JournalPlace& place, std::uint32_t policy, std::string_view text) {
  if (policy == 0 || policy > most_retry_policies || !is_valid_name(text)) {
    note_damage(place, "a retry policy that cannot be", JobId());
    return;
  }
  segment_->retry_policies().place(policy - 1, text);
}

void TableRebuild::on_kind(const JournalPlace& place, std::uint32_t kind, std::string_view name) {
  if (kind >= most_kinds || !is_valid_name(name)) {
    note_damage(place, "a name of a kind that cannot be", JobId());
    return;
  }
  if (place.block < kinds_[kind].block) return;
  kinds_[kind].block = place.block;
  kinds_[kind].name = name;
}

}  // namespace ringmill
