#include "core/inspect/job_view.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "core/levels/level_names.h"
#include "core/table/arena.h"
#include "core/table/lease_slots.h"
#include "core/table/notes.h"
#include "core/table/parents.h"
#include "core/table/results.h"
#include "ipc/clock.h"

namespace ringmill {

const LeaseSlot* lease_of(const Segment& segment, JobId id, StateWord word) noexcept {
  const ParticipantEntry* const entry = segment.participant_of(word.owner());
  if (entry == nullptr) return nullptr;
  const auto slot = lease_slot_of(*entry, id, word);
  return slot ? &entry->leases[*slot] : nullptr;
}

std::optional<JobState> shown_state(CellState state) noexcept {
  switch (state) {
    case CellState::queued:
      return JobState::queued;
    case CellState::delayed:
      return JobState::delayed;
    case CellState::blocked:
      return JobState::blocked;
    case CellState::running:
    case CellState::completing:
      return JobState::running;
    case CellState::completed:
      return JobState::completed;
    case CellState::cancelled:
      return JobState::cancelled;
    case CellState::burying:
      return JobState::dead;
    case CellState::free:
    case CellState::filling:
      break;
  }
  return std::nullopt;
}

bool is_over(JobState state) noexcept {
  return state == JobState::completed || state == JobState::cancelled || state == JobState::dead ||
         state == JobState::ended;
}

namespace {

/// A busy cell may change under us for ever; so many looks are enough for a moment's picture.
constexpr int most_looks = 4;

/// A result that is not in the cell, or not whole. The caller looks at the word again.
void view_result(const Segment& segment, CellIndex index, JobInfo& info) {
  const CellHeader& header = JobTable(segment).header(index);
  const std::uint16_t flags = header.flags.load();
  info.result_cut = (flags & cell_flag::result_cut) != 0;
  if (info.result_cut) info.result_refused = ResultNote::refusal_of(header.cause.load());
  if ((flags & cell_flag::result_in_arena) == 0) return;
  const auto result = Arena(segment).result_of(info.id);
  if (!result) {  // corrupted, if it has not just gone
    info.result_cut = true;
    info.result_refused = ResultRefusal::lost;
    return;
  }
  info.result.resize(result->size());
  Arena::copy_out(*result, reinterpret_cast<std::byte*>(info.result.data()));
}

/// Text and times that the cell keeps. The caller looks at the word again.
void view_history(const Segment& segment, CellIndex index, JobView& view) {
  const JobTable table(segment);
  const CellHeader& header = table.header(index);
  const JobTable::TextPlace place = table.text_place(index);
  const std::uint32_t bytes = header.text_bytes.load_once().at_most(place.room());
  std::string text(in_words(bytes) * 8, '\0');
  JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(text.data()), bytes);
  text.resize(bytes);
  const bool is_result = view.word.state() == CellState::completed;
  (is_result ? view.info.result : view.info.last_error) = std::move(text);
  if (is_result) view_result(segment, index, view.info);
  if (view.word.state() == CellState::delayed && view.parked == WaitMark::Reason::none) {
    const DueTime due = DueTime::of(header.due_at.load());
    const std::uint64_t left_ns = due.ns - std::min(due.ns, lease_clock_ns());
    view.info.due_at = wall_time(due.is_wall ? due.ns : later_by(exact_wall_clock_ns(), left_ns));
  }
  const CellOptions* const options = table.options(index);
  const bool is_value = (header.flags.load() & cell_flag::is_value) != 0;  // then it is a count
  if (options == nullptr || options->started.load() == 0 || is_value) return;
  const AttemptStart started = AttemptStart::of(options->started.load());
  view.info.started_at = wall_time(started.at_ms * 1'000'000);
  view.info.ended_at = wall_time(std::min(options->ended_at_ms.load(), AttemptStart::ms_mask) * 1'000'000);
  view.info.worker = static_cast<int>(started.owner) - 1;
}

void view_progress(const ParticipantEntry& entry, JobInfo& info) {
  if (entry.progress.job_id.load() != info.id.value()) return;
  const std::uint64_t number = entry.progress.number.load();
  std::array<std::uint64_t, 8> words{};
  for (std::size_t n = 0; n < words.size(); ++n) words[n] = entry.progress.text[n].load();
  if (entry.progress.job_id.load() != info.id.value()) return;
  info.progress = number;
  const auto bytes = std::bit_cast<std::array<char, sizeof words>>(words);
  info.progress_text.assign(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
}

/// What the header says. The caller compares the word afterwards.
void view_header(const Segment& segment, CellIndex index, JobView& view) {
  const JobTable table(segment);
  const CellHeader& header = table.header(index);
  view.level_number = header.level.load_once().unbounded();  // level_name() and name_of() take any
  view.kind_number = header.kind.load_once().unbounded();
  view.parked = WaitMark::of_parked(header.cause.load(), view.word);
  view.is_put_off = WaitMark::was_put_off(header.cause.load(), view.word);
  if (view.parked != WaitMark::Reason::none) view.info.state = JobState::queued;
  view.info.attempts = header.attempts.load();
  view.info.parent_count = table.parents(index);
  view.info.parents =
      parents_of(table, Arena(segment), view.info.id, JobInfo::most_parents).value_or(std::vector<JobId>());
  view.payload_begins_at = view.info.parent_count * 8;
  const bool in_arena = (header.flags.load() & cell_flag::in_arena) != 0;
  const std::uint32_t bytes =
      header.payload_bytes.load_once().at_most(in_arena ? segment.geometry().max_payload : table.inline_bytes());
  view.info.payload_size = bytes - std::min(bytes, view.payload_begins_at);
  view.info.max_attempts = header.most_attempts.load();
  view.info.enqueued_at = wall_time(header.enqueued_at_ns.load());
  if (const CellNotes* const cell = table.notes(index); cell != nullptr) {
    const Notes notes = Notes::read(*cell);
    view.info.retried_from = notes.retried_from;
    view.info.tag = notes.tag();
    view.info.trace_parent = notes.trace.text();
  }
  if (view.info.state == JobState::dead) {
    const auto cause = header.cause.load();
    const bool is_known = cause <= static_cast<std::uint16_t>(DeathCause::parent_dead);
    view.info.cause = is_known ? static_cast<DeathCause>(cause) : DeathCause::failed;
  }
}

/// What the participant that runs the job says of this run. The caller as above.
void view_run(const Segment& segment, JobView& view) {
  const std::uint32_t owner = view.word.owner();
  const ParticipantEntry* const entry = segment.participant_of(owner);
  if (view.word.state() != CellState::running || entry == nullptr) return;
  view.info.worker = static_cast<int>(owner) - 1;
  const LeaseSlot* slot = lease_of(segment, view.info.id, view.word);
  if (slot != nullptr && slot->started_at_ns.load() != 0) {
    view.info.started_at = wall_time(slot->started_at_ns.load());
    view.info.ended_at = {};
    ++view.info.attempts;
  }
  view_progress(*entry, view.info);
}

/// What the cell of an evicted job still says of it.
void view_evicted(const Segment& segment, JobInfo& info) {
  const JobTable table(segment);
  const CellIndex index = index_of(info.id);
  const StateWord word = table.word(index);
  if (!JobTable::was_evicted(info.id, word)) return;
  const CellOptions* const options = table.options(index);
  const std::uint64_t ended_at_ms = options != nullptr ? options->ended_at_ms.load() : 0;
  info.evicted = true;
  if (table.word(index) != word) return;  // the loads above are seq_cst: they come before this one
  info.ended_at = wall_time(std::min(ended_at_ms, AttemptStart::ms_mask) * 1'000'000);
}

}  // namespace

std::optional<JobView> view_job(const Segment& segment, CellIndex index) {
  const auto look = segment.look();
  const JobTable table(segment);
  for (int tries = 0; tries < most_looks; ++tries) {
    JobView view;
    view.word = table.word(index);
    const auto state = shown_state(view.word.state());
    if (!state) return std::nullopt;
    view.info.id = job_id_of(view.word, index);
    view.info.state = *state;
    view_header(segment, index, view);
    view_history(segment, index, view);
    view_run(segment, view);
    if (table.word(index) != view.word) continue;  // the loads above are seq_cst: they come before this one
    view.info.level = level_name(segment, view.level_number);
    view.info.kind = segment.kinds().name_of(view.kind_number).value_or("?");
    return view;
  }
  return std::nullopt;
}

std::optional<std::vector<std::byte>> copy_payload(const Segment& segment, const JobView& view) {
  const auto look = segment.look();
  const JobTable table(segment);
  const CellIndex index = index_of(view.info.id);
  const std::size_t end = std::size_t{view.payload_begins_at} + view.info.payload_size;
  std::vector<std::byte> copy(in_words(end) * 8);
  if ((table.header(index).flags.load() & cell_flag::in_arena) == 0) {
    if (copy.size() > in_words(table.inline_bytes()) * 8) return std::nullopt;  // another job's, by now
    table.copy_words_out(index, copy.data(), copy.size());
  } else {
    const auto large = Arena(segment).payload_of(view.info.id);
    if (large && large->size() <= copy.size()) Arena::copy_out(*large, copy.data());
    if (!large) copy.clear();  // it is corrupted
  }
  if (table.word(index) != view.word) return std::nullopt;  // ORDER second-look
  copy.resize(std::min(copy.size(), end));
  const std::size_t begin = std::min<std::size_t>(copy.size(), view.payload_begins_at);
  copy.erase(copy.begin(), copy.begin() + static_cast<std::ptrdiff_t>(begin));
  return copy;
}

Result<JobInfo> find_job(const Segment& segment, JobId id) {
  const auto look = segment.look();
  const JobTable table(segment);
  const CellIndex index = index_of(id);
  const auto unknown = [id] { return std::unexpected(Error(ErrorCode::not_found, "no such job", id.to_string())); };
  if (!table.can_have_given(id)) return unknown();
  const StateWord word = table.word(index);
  if (!JobTable::was_enqueued(id, word)) return unknown();
  if (generation_of(id) == word.generation()) {
    const auto view = view_job(segment, index);
    if (view && view->info.id == id) return view->info;
  }
  JobInfo info;
  info.id = id;
  info.state = JobState::ended;
  view_evicted(segment, info);
  return info;
}

}  // namespace ringmill
