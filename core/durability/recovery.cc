#include "core/durability/recovery.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include <fmt/format.h>

#include "core/journal/note.h"
#include "core/table/unique_jobs.h"
#include "ipc/clock.h"
#include "ipc/spill_state.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// The records' 48 bits of milliseconds reach further than the nanoseconds that clocks are shown in.
constexpr std::uint64_t most_enqueued_ms = std::numeric_limits<std::int64_t>::max() / ns_per_ms;
constexpr std::size_t most_damage = 10'000;

/// What rec.R2 notes in a cell, in words that mean nothing before rec.R3 has cleared them. No other process sees the
/// segment: ORDER relaxed: the whole segment is published by its rename. generation 40 | attempts 16, of the highest
/// generation that an ended, attempts, change or part record names: lives before it are over.
SharedWord<std::uint64_t>& life_note(CellHeader& header) noexcept { return header.extent; }

std::uint64_t value_of(const std::atomic<std::uint64_t>& word) noexcept {
  return word.load(std::memory_order_relaxed);  // ORDER relaxed: nobody else sees the segment
}

/// A note, whose parts are compared and shifted, no more.
std::uint64_t value_of(const SharedWord<std::uint64_t>& word) noexcept {
  return word.load_once(std::memory_order_relaxed).unbounded();  // ORDER relaxed: as above
}

std::uint16_t value_of16(const std::atomic<std::uint16_t>& word) noexcept {
  return word.load(std::memory_order_relaxed);  // ORDER relaxed: as above
}

template <class T, class V>
void set(std::atomic<T>& word, V value) noexcept {
  word.store(static_cast<T>(value), std::memory_order_relaxed);  // ORDER relaxed: nobody else sees the segment
}

template <class T, class V>
void set(SharedWord<T>& word, V value) noexcept {
  word.store(static_cast<T>(value), std::memory_order_relaxed);  // ORDER relaxed: as above
}

void set_at_least(SharedWord<std::uint64_t>& word, std::uint64_t value) noexcept {
  if (value_of(word) < value) set(word, value);
}

/// Of the states that records leave a job in.
bool is_over(CellState state) noexcept { return !waits_to_begin(state); }

/// Until its links record comes.
constexpr std::uint16_t no_rule = 0xffff;

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
  if (index_of(id) < table_.capacity() && generation != 0 && generation < most_generation) return true;
  note_damage(place, "an id that this engine cannot have given", id);
  return false;
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
  // Of a life that is over already, as far as is known.
  CellHeader& header = table_.header(index_of(id));
  if (generation_of(id) < std::max(StateWord(value_of(header.state)).generation(), value_of(life_note(header)) >> 16))
    return;
  set_at_least(life_note(header), generation_of(id) << 16);  // the lives before it are over, and their parts go
  parts_.add(record, part);
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
  CellHeader& header = table_.header(index_of(id));
  const std::uint64_t present = StateWord(value_of(header.state)).generation();
  if (generation < present) return;
  if (generation > present) {
    fill(header, segment, record, flags, payload);
    return;
  }
  // The same job once more. If it does not just wait, the change behind it says so.
  set_at_least(life_note(header), generation << 16 | record.attempts());
  wait_again(header, generation, record.attempts());
  const JournalNote note{generation, JournalNote::segment_tag(segment)};
  if (is_newer(note.segment, JournalNote::of(value_of(header.revision)).segment)) set(header.revision, note.bits());
}

void TableRebuild::fill(CellHeader& header, std::uint64_t segment, const JobRecord& record, std::uint16_t flags,
                        std::span<const std::byte> payload) {
  const JobId id(record.id);
  const std::uint64_t generation = generation_of(id);
  set(header.state, StateWord::make(generation, 0, CellState::queued, 0).bits());
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
  set_at_least(life_note(table_.header(index_of(id))), generation_of(id) << 16);
  if (!parts_.is_empty()) parts_.end_below(index_of(id), generation_of(id));
}

void TableRebuild::note_attempts(JobId id, std::uint16_t attempts) {
  highest_generation_ = std::max(highest_generation_, generation_of(id));
  // Attempts of one job only grow, so the most are the last.
  set_at_least(life_note(table_.header(index_of(id))), generation_of(id) << 16 | attempts);
}

void TableRebuild::wait_again(CellHeader& header, std::uint64_t generation, std::uint16_t attempts) noexcept {
  const StateWord word(value_of(header.state));
  if (word.generation() != generation || is_over(word.state()) || attempts < value_of16(header.attempts)) return;
  // Its text stays: a job that waits and has one is never written without it, unless it moved on at that moment.
  set(header.state, StateWord::make(generation, 0, CellState::queued, 0).bits());
  set(header.attempts, attempts);
  set(header.due_at, 0);
}

void TableRebuild::on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) {
  if (!accept(place, id)) return;
  note_attempts(id, attempts);
  wait_again(table_.header(index_of(id)), generation_of(id), attempts);
}

void TableRebuild::on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  note_attempts(id, record.attempts);
  const CellIndex index = index_of(id);
  CellHeader& header = table_.header(index);
  const StateWord word(value_of(header.state));
  if (word.generation() != generation_of(id)) return;  // another life, or one whose record comes, and says all
  const auto rank = [](CellState state, std::uint32_t attempts) { return std::tuple(is_over(state), attempts); };
  const CellState state = cell_state(record.state);
  const DueTime due = due_of(record);
  if (rank(state, record.attempts) < rank(word.state(), header.attempts.load())) return;
  set(header.state, StateWord::make(word.generation(), 0, state, 0).bits());
  set(header.attempts, record.attempts);
  // It stays dead, whatever it died of.
  const bool is_known_cause = record.cause <= static_cast<std::uint8_t>(DeathCause::parent_dead);
  if (!is_known_cause) note_damage(place, "a death of a cause that cannot be", id);
  set(header.cause, is_known_cause ? record.cause : static_cast<std::uint8_t>(DeathCause::failed));
  set(header.due_at, due.bits());
  if (CellOptions* const options = table_.options(index); options != nullptr) {
    set(options->started, record.started);
    set(options->ended_at_ms, record.ended_at_ms);
  }
  std::array<std::atomic<std::uint64_t>, most_staged_bytes / 8> words;
  const JobTable::TextPlace text_place = table_.text_place(index);
  const auto bytes = static_cast<std::uint32_t>(
      std::min({text.size(), std::size_t{most_staged_bytes}, std::size_t{text_place.room()}}));
  store_words(words.data(), std::as_bytes(std::span(text.substr(0, bytes))));
  JobTable::copy_text_in(text_place, words.data(), bytes);
  set(header.text_bytes, bytes);
  const std::uint16_t flags = header.flags.load() & ~cell_flag::result_cut;
  set(header.flags, flags | (record.is_result_cut() ? cell_flag::result_cut : 0));
}

void TableRebuild::on_options(const JournalPlace& place, const OptionsRecord& record) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  CellHeader& header = table_.header(index_of(id));
  if (StateWord(value_of(header.state)).generation() != generation_of(id)) return;
  const bool has_options = (record.cell_flags & cell_flag::has_options) != 0;
  const bool has_links = (record.cell_flags & cell_flag::has_links) != 0;
  // The job's record says where its payload is, a change record what is with its result.
  constexpr std::uint16_t of_others = cell_flag::in_arena | cell_flag::result_cut;
  constexpr std::uint16_t known = cell_flag::all & ~of_others;
  const std::uint16_t said_by_others = header.flags.load() & of_others;
  const bool is_large = (said_by_others & cell_flag::in_arena) != 0;
  const std::uint32_t payload_bytes = header.payload_bytes.load_once().unbounded();  // is compared only
  if ((record.cell_flags & ~known) != 0 || record.retry_policy > most_retry_policies ||
      (has_options && !is_large && payload_bytes > table_.inline_bytes_beside_options()) ||
      (has_links && (!has_options || !table_.has_room_for_links() ||
                     (!is_large && payload_bytes > table_.inline_bytes_beside_links())))) {
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
    CellLinks& links = table_.links_place(index_of(id));
    set(links.born_of, 0);
    set(links.next, 0);
    set(links.parents, 0);
    set(links.rule, no_rule);
    set(links.runs_all_the_same, 0);
  }
  // A text that stands already, which no keeper's order of records leaves there, must not reach into the options.
  set(header.text_bytes, header.text_bytes.load_once().at_most(table_.text_room(index_of(id))));
}

void TableRebuild::on_links(const JournalPlace& place, const LinksRecord& record) {
  const JobId id(record.id);
  if (!accept(place, id)) return;
  const CellIndex index = index_of(id);
  CellHeader& header = table_.header(index);
  if (StateWord(value_of(header.state)).generation() != generation_of(id)) return;
  CellLinks* const links = table_.links(index);
  const std::uint32_t room_for_ids = header.payload_bytes.load_once().at_most(table_.inline_bytes_beside_links());
  if (links == nullptr || record.rule > static_cast<std::uint8_t>(BornRule::after_it) ||
      std::uint64_t{record.parents} * 8 > room_for_ids || record.runs_all_the_same > 1) {
    note_damage(place, "links that no job of this engine can have", id);
    return;
  }
  set(links->parents, record.parents);
  set(links->runs_all_the_same, record.runs_all_the_same);
  // As in on_options(): of a job in the arena a text begins behind the ids.
  set(header.text_bytes, header.text_bytes.load_once().at_most(table_.text_room(index)));
  constexpr auto alone = static_cast<std::uint16_t>(BornRule::alone);
  if (value_of16(links->rule) == alone) return;
  set(links->rule, record.rule);
  set(links->born_of, record.born_of);
  if (record.rule != alone) linked_.push_back(index);
}

NeverWere::Bond TableRebuild::bond_of(CellIndex cell) const {
  constexpr NeverWere::Bond counts{};
  constexpr NeverWere::Bond never_was{.never_was = true};
  const CellLinks* const links = table_.links(cell);
  if (links == nullptr) return counts;  // another life has come
  const std::uint16_t rule = value_of16(links->rule);
  if (rule == static_cast<std::uint16_t>(BornRule::alone) || rule == no_rule) return counts;
  const JobId leader(value_of(links->born_of));
  const CellIndex index = index_of(leader);
  if (index >= table_.capacity()) return never_was;
  CellHeader& header = table_.header(index);
  const StateWord word(value_of(header.state));
  const std::uint64_t highest = std::max(word.generation(), value_of(life_note(header)) >> 16);
  if (highest > generation_of(leader)) return counts;  // over
  if (word.generation() != generation_of(leader)) return never_was;
  if (rule == static_cast<std::uint16_t>(BornRule::with_it) || is_over(word.state())) return {.leader = index};
  return never_was;
}

void TableRebuild::drop_what_never_was() {
  if (linked_.empty()) return;
  never_were_ = NeverWere(table_.capacity());
  for (const CellIndex index : linked_) {
    never_were_.look_at(index, [this](CellIndex cell) { return bond_of(cell); });
  }
  for (const CellIndex index : linked_) {
    const CellLinks* const links = table_.links(index);
    if (links == nullptr || !never_were_.contains(index)) continue;
    const JobId leader(value_of(links->born_of));
    if (!table_.stands(leader)) continue;
    // So that the journal writes its end behind theirs.
    CellHeader& header = table_.header(index_of(leader));
    set(header.flags, header.flags.load() | cell_flag::leads_bundle);
  }
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

std::uint64_t TableRebuild::kinds() const noexcept {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(kinds_, [](const KindName& kind) { return !kind.name.empty(); }));
}

Result<void> TableRebuild::finish() {
  note_incomplete();
  const std::uint64_t free_word =
      StateWord::make(segment_->header().first_generation.load(), 0, CellState::free, 0).bits();
  now_ = {.wall_ns = exact_wall_clock_ns(), .lease_ns = lease_clock_ns()};
  drop_what_never_was();
  FreeMap free_map = segment_->free_map();
  for (CellIndex first = 0; first < table_.capacity(); first += 64) {
    std::uint64_t free = 0;
    for (CellIndex n = 0; n < 64; ++n) {
      if (settle(first + n, free_word)) free |= std::uint64_t{1} << n;
    }
    free_map.put(first, free);
  }
  if (arena_wanted_ != 0) {
    const Geometry& geometry = segment_->geometry();
    arena_wanted_ += std::uint64_t{geometry.arena_chunk_count} * geometry.arena_chunk_bytes;
    return std::unexpected(Error(ErrorCode::no_space, "the arena is too small for the jobs that come back",
                                 fmt::format("{} bytes are enough", arena_wanted_)));
  }
  place_kinds();
  place_unique();
  place_hints();
  return {};
}

void TableRebuild::note_incomplete() {
  for (const auto& [index, incomplete] : incomplete_) {
    CellHeader& header = table_.header(index);
    const std::uint64_t generation = generation_of(incomplete.id);
    if (StateWord(value_of(header.state)).generation() >= generation) continue;  // written once more, whole
    if (value_of(life_note(header)) >> 16 > generation) continue;
    note_damage(incomplete.place, "a part of a job's payload is missing", incomplete.id);
  }
}

void TableRebuild::place_payload(CellIndex index, JobId id) {
  const std::span<const std::byte> payload = parts_.payload(id);
  const auto unit = arena_.take(id, static_cast<std::uint32_t>(payload.size()));
  if (unit) {
    arena_.fill(index, *unit, payload);
    table_.copy_in(index, payload.first(std::size_t{8} * table_.parents(index)));
  } else {
    // A chunk is enough for any of them, so with one for each there is room.
    arena_wanted_ += segment_->geometry().arena_chunk_bytes;
  }
}

bool TableRebuild::settle(CellIndex index, std::uint64_t free_word) {
  CellHeader& header = table_.header(index);
  const StateWord word(value_of(header.state));
  const std::uint64_t noted = value_of(life_note(header));
  set(life_note(header), 0);
  if (word.generation() == 0 || word.generation() < noted >> 16) {
    set(header.revision, 0);  // the journal knows that nothing lives here
    set(header.due_at, 0);
    set(header.state, free_word);
    return true;
  }
  if (never_were_.contains(index)) {
    // Its note stays: the journal writes that it is over.
    set(header.due_at, 0);
    set(header.state, free_word);
    segment_->marks().mark_ended(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    return true;
  }
  if (CellLinks* const links = table_.links(index); links != nullptr) {
    set(links->born_of, 0);
    set(links->next, 0);
    set(links->rule, static_cast<std::uint16_t>(BornRule::alone));
  }
  if (noted >> 16 == word.generation()) {
    set(header.attempts, std::max(static_cast<std::uint16_t>(noted), header.attempts.load()));
  }
  ++jobs_;
  kinds_used_.set(header.kind.load_once().at_most(most_kinds - 1));
  if ((header.flags.load() & cell_flag::in_arena) != 0) place_payload(index, job_id_of(word, index));
  const bool is_timed = word.state() != CellState::queued && word.state() != CellState::burying;
  set(header.due_at, is_timed ? on_its_clock(DueTime::of(value_of(header.due_at))).bits() : 0);
  if (const CellOptions* const options = table_.options(index); options != nullptr) {
    const UniqueKey key{.low = options->unique_low.load(), .high = options->unique_high.load()};
    if (key) unique_.push_back({key, job_id_of(word, index)});
  }
  if (word.state() != CellState::queued) return false;  // the keeper's first scan finds it
  waiting_[header.level.load_once().at_most(static_cast<std::uint32_t>(waiting_.size()) - 1)].push_back(
      {value_of(header.enqueued_at_ns) / ns_per_ms, job_id_of(word, index).value()});
  return false;
}

DueTime TableRebuild::on_its_clock(DueTime due) const noexcept {
  if (due.is_wall) return due;
  const std::uint64_t end_ns = later_by(now_.lease_ns, due.ns - std::min(due.ns, now_.wall_ns));
  return {.ns = std::min(end_ns, DueTime::wall_bit - 1), .is_wall = false};
}

void TableRebuild::place_kinds() {
  NameTable table = segment_->kinds();
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    if (kinds_[kind].name.empty() && kinds_used_.test(kind)) {
      // No other kind may get this number while these jobs wait, and their worker must be able to name it.
      kinds_[kind].name = fmt::format("lost-kind-{}", kind);
      JournalDamage damage;
      damage.reason = fmt::format("the name of kind {} was lost: its jobs are of kind {} now", kind, kinds_[kind].name);
      damage_.push_back(std::move(damage));
    }
    if (!kinds_[kind].name.empty()) table.place(kind, kinds_[kind].name);
  }
}

void TableRebuild::place_unique() {
  const std::vector<JobId> too_many = UniqueJobs(*segment_).place(std::move(unique_));
  if (too_many.empty()) return;
  JournalDamage damage;
  damage.reason =
      fmt::format("{} jobs have a unique key that others have as well: they do not hold it", too_many.size());
  damage.suspects.assign(too_many.begin(),
                         too_many.begin() + static_cast<std::ptrdiff_t>(std::min(too_many.size(), most_suspects)));
  damage_.push_back(std::move(damage));
}

void TableRebuild::place_hints() {
  const auto is_live = [](std::uint64_t) { return true; };
  for (std::uint32_t level = 0; level < waiting_.size(); ++level) {
    std::vector<Waiting>& jobs = waiting_[level];
    if (jobs.empty()) continue;
    // Cells are given from the lowest on, so that a young engine's come in this order already.
    if (!std::ranges::is_sorted(jobs)) std::ranges::sort(jobs);
    if (level >= segment_->geometry().level_count) {
      place_hints_at_run_time(level, jobs);
      std::vector<Waiting>().swap(jobs);
      continue;
    }
    Ring ring = segment_->ring(level);
    std::uint64_t position = ring.tail();
    // A ring has more slots than the table has cells.
    for (const Waiting& job : jobs)
      static_cast<void>(ring.push_at(position, JobTable::hint_of(JobId(job.id)), is_live));
    ring.raise_tail(position);
    std::vector<Waiting>().swap(jobs);
  }
}

void TableRebuild::place_hints_at_run_time(std::uint32_t level, const std::vector<Waiting>& jobs) {
  LevelEntry& entry = segment_->level(level);
  const LevelWord word = segment_->level_word(level);
  // It was removed after all, or a removal had not ended (core/levels/runtime_levels.h, level.R4): its jobs count more.
  if (!word.is_in_use()) set(entry.runtime_state, LevelWord{.state = LevelState::open, .epoch = word.epoch}.bits());
  const auto is_live = [](std::uint64_t) { return true; };
  Ring ring = segment_->ring(level);
  std::uint64_t position = ring.tail();
  for (const Waiting& job : jobs) {
    if (ring.push_at(position, JobTable::hint_of(JobId(job.id)), is_live) == Ring::Pushed::done) continue;
    entry.overflow.store(SpillState::spilled);
    break;  // the keeper's first scan finds them
  }
  ring.raise_tail(position);
}

}  // namespace ringmill
