#include "core/table/settling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>

#include "core/base/kept_text.h"
#include "core/table/bundles.h"
#include "core/table/expiry.h"
#include "core/table/level_bound.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "ipc/wait_mark.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
/// So long a completed leader of follow-ups is left alone before the keeper asks whether they are durable.
constexpr std::uint64_t least_round_ms = 2;
constexpr int everybody = std::numeric_limits<int>::max();

/// Completing: by the reaper of the participant that had won the end.
[[maybe_unused]] constexpr bool can_end(CellState state) noexcept {
  return waits_to_begin(state) || state == CellState::running || state == CellState::completing;
}

}  // namespace

void Settling::stage(JobId id, const Ending& ending) noexcept {
  Staging& staging = me_->staging;
  const std::size_t room = std::min(most_staged_bytes, table_.text_room(index_of(id)));
  const bool is_result = ending.outcome == Outcome::complete;
  std::optional<KeptText> error;
  const std::string_view text =
      is_result ? beginning_of(ending.text, room) : error.emplace(ending.text, ending.said, room).text();
  // ORDER relaxed: released by the winning swap, read only after our death.
  staging.job_id.store(id.value(), std::memory_order_relaxed);
  const bool is_value = ending.change != 0;
  staging.due_at.store(is_value ? ending.ttl_ms : ending.due.bits(), std::memory_order_relaxed);
  staging.started.store(is_value ? ending.change : ending.started.bits(), std::memory_order_relaxed);
  staging.text_bytes.store(static_cast<std::uint32_t>(text.size()), std::memory_order_relaxed);
  staging.result_note.store(ending.result.bits(), std::memory_order_relaxed);
  store_words(staging.text, std::as_bytes(std::span(text)));
  // ORDER relaxed: as above. A carried result has no text.
  if (ending.result.is_carried) staging.text[0].store(ending.carrier.value(), std::memory_order_relaxed);
}

Settling::Ended Settling::end(CellIndex index, StateWord from, LeaseSlot& slot, const Ending& ending) noexcept {
  const bool staged = !ending.is_plain();
  if (staged) stage(job_id_of(from, index), ending);
  return end_as_noted(index, from, slot,
                      {.outcome = ending.outcome,
                       .attempts = ending.attempts,
                       .cause = ending.outcome == Outcome::park || ending.outcome == Outcome::delay
                                    ? ending.wait_note
                                    : static_cast<std::uint8_t>(ending.cause),
                       .staged = staged,
                       .leads = ending.leads});
}

Settling::Ended Settling::end_for(const ParticipantEntry& other, CellIndex index, StateWord from, LeaseSlot& slot,
                                  LeaseNote note) noexcept {
  const JobId id = job_id_of(from, index);
  note.staged = note.staged && other.staging.job_id.load() == id.value();
  if (note.staged) {
    Staging& staging = me_->staging;
    staging.job_id.store(id.value());
    staging.due_at.store(other.staging.due_at.load());
    staging.started.store(other.staging.started.load());
    const std::uint32_t bytes = other.staging.text_bytes.load_once().at_most(most_staged_bytes);
    staging.text_bytes.store(bytes);
    staging.result_note.store(other.staging.result_note.load());
    for (std::size_t n = 0; n < std::max<std::size_t>(in_words(bytes), 1); ++n) {
      staging.text[n].store(other.staging.text[n].load());
    }
  }
  return end_as_noted(index, from, slot, note);
}

Settling::Ended Settling::end_as_noted(CellIndex index, StateWord from, LeaseSlot& slot, LeaseNote note) noexcept {
  note.version = static_cast<std::uint16_t>(from.version());
  // ORDER relaxed: released by the winning swap, read only after our death.
  slot.note.store(note.bits(), std::memory_order_relaxed);       // settle.E1
  RINGMILL_INVARIANT(can_end(from.state()) || is_value(index));  // no job ends twice; a value changes many times
  if (!swap_to_completing(index, from)) return Ended::lost;
  count_end(index, note.outcome);
  return finish(index, from.next(CellState::completing, owner_), note) ? Ended::free : Ended::kept;
}

JobPair Settling::pair_of(CellIndex index) const noexcept {
  const CellHeader& header = table_.header(index);
  const auto level = header.level.load_once().below(segment_->geometry().level_numbers());
  const auto kind = header.kind.load_once().below(most_kinds);
  if (!level || !kind) return JobPair::other();
  if (*level < rings_.size()) return {*level, *kind};
  return {level_value(*level, segment_->level_word(*level).epoch), *kind};
}

void Settling::count_end(CellIndex index, Outcome outcome) noexcept {
  if (is_value(index)) return;
  switch (outcome) {
    case Outcome::complete:
      count_one(me_->completed);
      tally_.count(&PairCounts::completed, pair_of(index));
      break;
    case Outcome::cancel:
      count_one(me_->cancelled);
      tally_.count(&PairCounts::cancelled, pair_of(index));
      break;
    case Outcome::bury:
      count_one(me_->dead);
      tally_.count(&PairCounts::dead, pair_of(index));
      break;
    case Outcome::requeue:
    case Outcome::delay:
    case Outcome::park:
      break;
  }
}

void Settling::write_text(CellIndex index, JobId id, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  // ORDER relaxed: the cell is ours; its next word publishes it.
  const Staging& staging = me_->staging;
  const bool is_there = note.staged && staging.job_id.load(std::memory_order_relaxed) == id.value();
  if (!is_there) return;
  const JobTable::TextPlace place = table_.text_place(index);
  const std::uint32_t bytes =
      staging.text_bytes.load_once(std::memory_order_relaxed).at_most(std::min(most_staged_bytes, place.room()));
  // An end without a text (a snooze, a release) leaves that of the last failure. A job that waits is journaled without
  // its text if it has none, so a text that was wiped out would come back with a recovery.
  if (bytes == 0) return;
  JobTable::copy_text_in(place, staging.text, bytes);
  header.text_bytes.store(static_cast<std::uint16_t>(bytes), std::memory_order_relaxed);
}

void Settling::write_result(CellIndex index, JobId id, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  const Staging& staging = me_->staging;
  // ORDER relaxed: the cell is ours; its next word publishes it.
  header.cause.store(0, std::memory_order_relaxed);
  const bool is_there = note.staged && staging.job_id.load(std::memory_order_relaxed) == id.value();
  if (!is_there) return;
  ResultNote result = ResultNote::of(staging.result_note.load(std::memory_order_relaxed));
  if (!result.is_carried) {
    write_text(index, id, note);
  } else if (!results_.hand_over(index, id, JobId(staging.text[0].load(std::memory_order_relaxed)))) {
    result.refusal = ResultRefusal::lost;
  }
  if (result.refusal == ResultRefusal::none) return;
  header.cause.store(static_cast<std::uint16_t>(result.refusal), std::memory_order_relaxed);
  // In one step: the keeper may set has_children meanwhile.
  header.flags.fetch_or(cell_flag::result_cut);
}

void Settling::note_attempt(CellIndex index, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  // ORDER relaxed: as above.
  header.attempts.store(note.attempts, std::memory_order_relaxed);
  CellOptions* const options = table_.options(index);
  const std::uint64_t started = note.staged ? me_->staging.started.load(std::memory_order_relaxed) : 0;
  if (options == nullptr || started == 0) return;
  options->started.store(started, std::memory_order_relaxed);
  options->ended_at_ms.store(exact_wall_clock_ns() / ns_per_ms, std::memory_order_relaxed);
}

void Settling::settle_in(CellIndex index, StateWord completing, CellState state, DueTime due,
                         bool to_journal) noexcept {
  RINGMILL_INVARIANT(completing.state() == CellState::completing && table_.word(index) == completing);
  RINGMILL_INVARIANT(me_->placing_count.load_once().below(1U).has_value());  // one list at a time
  CellHeader& header = table_.header(index);
  // ORDER relaxed: the cell is ours; its next word publishes it.
  header.due_at.store(due.bits(), std::memory_order_relaxed);
  // ORDER relaxed: as above. place() takes any.
  const std::uint32_t level = header.level.load_once(std::memory_order_relaxed).unbounded();
  const std::uint32_t kind = header.kind.load_once(std::memory_order_relaxed).unbounded();
  const bool journaled = to_journal && is_journaled(index);
  const DueTime expiry = state == CellState::queued ? expiry_due(table_, index) : DueTime{};
  const JobId id = job_id_of(completing, index);
  // ORDER placing: the list is released by the next word, and read only after our death.
  me_->placing[0].store(id.value(), std::memory_order_relaxed);
  me_->placing_count.store(1, std::memory_order_release);                                  // settle.E4
  table_.state(index).store(completing.next(state, 0).bits(), std::memory_order_release);  // settle.E5, ORDER state
  if (journaled) mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));  // settle.M
  if (state == CellState::queued) {
    place(id, level, kind);  // settle.E6
    // Its time to begin may have passed while it ran: the keeper has looked then, and looks no more.
    if (expiry.ns != 0) mark_for_keeper(index, expiry);
  } else {
    mark_for_keeper(index, due);  // settle.E6
    auto& kept = segment_->signals().results_kept;
    if (state == CellState::completed && kept.load() == 0) kept.store(1);  // the keeper counts it at its next turn
  }
  // Behind the hint: a ring is a system call, which the next worker need not wait for.
  if (journaled) wake_journal_if_asleep(*segment_);
  me_->placing_count.store(0, std::memory_order_release);  // ORDER placing
}

bool Settling::finish(CellIndex index, StateWord completing, LeaseNote note) noexcept {
  RINGMILL_INVARIANT(table_.word(index) == completing);  // settle.E2 was won: the cell stays ours
  switch (note.outcome) {
    case Outcome::park:
    case Outcome::requeue:
    case Outcome::delay:
      finish_open(index, completing, note);
      return false;
    case Outcome::bury:
    case Outcome::complete:
    case Outcome::cancel:
      break;
  }
  const bool is_free = finish_final(index, completing, note);
  wake_waiters(wait_group_bit(index));  // settle.W
  return is_free;
}

void Settling::finish_open(CellIndex index, StateWord completing, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  const JobId id = job_id_of(completing, index);
  const DueTime due = DueTime::of(note.staged ? me_->staging.due_at.load() : 0);
  const bool has_mark = note.outcome == Outcome::park || (note.outcome == Outcome::delay && note.cause != 0);
  // What the cell will say next has the version after this one. Without a mark none of before stays.
  // ORDER relaxed: the cell is ours
  header.cause.store(has_mark ? WaitMark::of_note(note.cause, completing.version() + 1).bits() : std::uint16_t{0},
                     std::memory_order_relaxed);
  if (note.outcome == Outcome::park) {  // nothing of it is for the journal
    settle_in(index, completing, CellState::delayed, due, false);
    return;
  }
  note_attempt(index, note);
  write_text(index, id, note);  // settle.E3
  if (note.outcome == Outcome::delay) {
    settle_in(index, completing, CellState::delayed, due, true);
    return;
  }
  // A job given back before its first attempt has nothing to tell. Not "if it changed": a death after settle.E3 has
  // changed it for us.
  settle_in(index, completing, CellState::queued, {}, note.attempts != 0);
}

void Settling::finish_value(CellIndex index, StateWord completing, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  const JobId id = job_id_of(completing, index);
  const Staging& staging = me_->staging;
  CellOptions* const options = table_.options(index);
  has_changed_value_ = note.staged && staging.job_id.load() == id.value() && options != nullptr &&
                       staging.started.load() == options->started.load();
  DueTime due = DueTime::of(header.due_at.load());
  if (has_changed_value_) {
    const bool is_carried = ResultNote::of(staging.result_note.load()).is_carried;
    header.text_bytes.store(0);
    header.flags.fetch_and(static_cast<std::uint16_t>(~cell_flag::result_cut));
    if (!is_carried) {
      results_.give_up_extent(index, id);
      header.flags.fetch_and(static_cast<std::uint16_t>(~cell_flag::result_in_arena));
    }
    write_result(index, id, note);
    if (const std::uint64_t ttl_ms = std::min(staging.due_at.load(), most_wait_ms); ttl_ms != 0) {
      due = due_in(ttl_ms);
      options->keep_ms.store(ttl_ms);
      header.due_at.store(due.bits());  // a reaper that comes later finds it
    }
    options->started.store(staging.started.load() + 1);  // value.V4: the last of it
  }
  settle_in(index, completing, CellState::completed, due, true);  // value.V5
  wake_waiters(std::uint64_t{1} << value_group(options != nullptr ? options->unique_low.load() : 0));
}

bool Settling::finish_final(CellIndex index, StateWord completing, LeaseNote note) noexcept {
  CellHeader& header = table_.header(index);
  const JobId id = job_id_of(completing, index);
  if (is_value(index)) {
    finish_value(index, completing, note);
    return false;
  }
  if (note.outcome == Outcome::bury) {
    note_attempt(index, note);
    write_text(index, id, note);
    header.cause.store(note.cause, std::memory_order_relaxed);  // settle.E3, ORDER relaxed: the cell is ours
    settle_in(index, completing, CellState::burying, {}, true);
    return false;
  }
  if (note.leads) {
    publish_bundle(*this, *me_, owner_);  // lead.L3. Our reaper has done it already when it does this for us
    if (is_journaled(index)) {
      header.flags.fetch_or(cell_flag::leads_bundle);
      // Before settle.E5 as well: a complete leader without a mark is one whose follow-ups the journal has.
      mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    }
  }
  const CellOptions* const options = table_.options(index);
  const std::uint64_t keep_ms = options != nullptr ? options->keep_ms.load() : 0;
  // Looked at after settle.E2: the keeper that sets has_children after this looks at our word again.
  const std::uint16_t flags = header.flags.load();
  if (keep_ms != 0 || table_.is_end_seen(index, flags)) {
    const bool completed = note.outcome != Outcome::cancel;
    if (note.attempts != 0) note_attempt(index, note);
    // What a failed attempt left there is no result.
    header.text_bytes.store(0, std::memory_order_relaxed);  // ORDER relaxed: the cell is ours
    if (completed) {
      write_result(index, id, note);  // settle.E3
    } else {
      write_text(index, id, note);
    }
    // The cell of a job that only leads goes when the journal has its follow-ups, which takes a round at least.
    const bool only_leads = keep_ms == 0 && (flags & cell_flag::end_is_seen) == cell_flag::leads_bundle;
    const DueTime due = due_in(only_leads ? least_round_ms : keep_ms);
    settle_in(index, completing, completed ? CellState::completed : CellState::cancelled, due, true);
    return false;
  }
  const bool journaled = is_journaled(index);
  if ((flags & cell_flag::counted) != 0) {
    free_counted(index, completing);
  } else {
    free_cell(index, completing);
  }
  if (journaled) mark_ended(index);  // settle.M
  return true;
}

bool Settling::promote(CellIndex index, StateWord waiting) noexcept {
  const CellHeader& header = table_.header(index);
  const std::uint32_t level = header.level.load_once().unbounded();  // place() takes any
  const std::uint32_t kind = header.kind.load_once().unbounded();
  RINGMILL_INVARIANT(me_->placing_count.load_once().below(1U).has_value());
  const JobId id = job_id_of(waiting, index);
  // ORDER placing: as in settle_in().
  me_->placing[0].store(id.value(), std::memory_order_relaxed);
  me_->placing_count.store(1, std::memory_order_release);  // settle.P1
  std::uint64_t expected = waiting.bits();
  const bool promoted =
      table_.state(index).compare_exchange_strong(expected, waiting.next(CellState::queued, 0).bits());  // settle.P2
  if (promoted) place(id, level, kind);                                                                  // settle.P3
  me_->placing_count.store(0, std::memory_order_release);  // ORDER placing
  return promoted;
}

bool Settling::put_off(CellIndex index, StateWord blocked) noexcept {
  std::uint64_t expected = blocked.bits();
  return table_.state(index).compare_exchange_strong(expected, blocked.next(CellState::delayed, 0).bits());
}

void Settling::free_counted(CellIndex index, StateWord completing) noexcept {
  const std::uint32_t level = table_.header(index).level.load_once().unbounded();
  const BetweenSteps between(*me_);  // bound.B5
  free_cell(index, completing);
  count_out(level);
}

void Settling::count_out(std::uint32_t level) noexcept {
  if (level < segment_->geometry().level_numbers()) LevelCount(*segment_, level).leave(1);  // bound.B6
}

bool Settling::drop(CellIndex index, StateWord from, StateWord to) noexcept {
  const bool journaled = is_journaled(index);
  const CellHeader& header = table_.header(index);
  // Of the job that `from` speaks of, or the swap fails.
  const std::uint32_t level = header.level.load_once().unbounded();
  std::optional<BetweenSteps> between;
  if ((header.flags.load() & cell_flag::counted) != 0) between.emplace(*me_);  // bound.B5
  std::uint64_t expected = from.bits();
  if (!table_.state(index).compare_exchange_strong(expected, to.bits())) return false;
  if (between) count_out(level);
  if (journaled) mark_ended(index);
  return true;
}

void Settling::place_again(JobId id) noexcept {
  const CellIndex index = index_of(id);
  if (!id || index >= table_.capacity()) return;
  const StateWord word = table_.word(index);
  if (!JobTable::was_enqueued(id, word)) return;
  // Even if it was claimed and ended meanwhile: its producer may have died before its mark.
  mark_changed(index);
  if (word.generation() != generation_of(id)) return;
  const CellHeader& header = table_.header(index);
  switch (word.state()) {
    case CellState::queued:
      place(id, header.level.load_once().unbounded(), header.kind.load_once().unbounded());
      if (const DueTime expiry = expiry_due(table_, index); expiry.ns != 0) mark_for_keeper(index, expiry);
      return;
    case CellState::delayed:
    case CellState::blocked:
    case CellState::completed:
    case CellState::cancelled:
    case CellState::burying:
      mark_for_keeper(index, {});
      return;
    default:
      return;
  }
}

void Settling::place(JobId id, std::uint32_t level, std::uint32_t kind) noexcept {
  // The cell is corrupted.
  if (!segment_->has_level(level)) level = static_cast<std::uint32_t>(rings_.size()) - 1;
  place_in_level(index_of(id), id, level);
  Arrival arrival;
  arrival.add(level, kind);
  wake_for_jobs(*segment_, arrival, 1);
}

Settling::Spill::Spill(Settling& settling, std::uint32_t level) noexcept
    : settling_(settling),
      level_(level),
      before_(settling.segment_->level(level).overflow.load()),
      marks_(Mark{settling.segment_->keeper_marks()}) {
  auto& overflow = settling_.segment_->level(level_).overflow;
  while (SpillState::is_direct(before_)) {
    if (!overflow.compare_exchange_strong(before_, SpillState::to_spilled(before_))) continue;
    before_ = SpillState::to_spilled(before_);
    is_first_ = true;
  }
}

bool Settling::Spill::end() noexcept {
  marks_.flush();
  const bool rings = settling_.segment_->keeper_marks().call();
  return settling_.end_spill(level_, before_, rings, is_first_);
}

bool Settling::end_spill(std::uint32_t level, std::uint32_t before, bool rings, bool is_first) noexcept {
  auto& overflow = segment_->level(level).overflow;
  std::uint32_t after = overflow.load();
  if (SpillState::is_draining(after) && overflow.compare_exchange_strong(after, SpillState::to_spilled(after))) {
    after = SpillState::to_spilled(after);
  }
  if (!SpillState::has_not_drained_between(before, after)) return false;  // settle.O4
  const Ring& ring = this->ring(level);
  if (rings && (is_first || ring.tail() - ring.head() <= ring.slot_count() / 2)) ring_keeper(*segment_);
  return true;
}

void Settling::place_in_level(CellIndex index, JobId id, std::uint32_t level) noexcept {
  LevelEntry& entry = segment_->level(level);
  Ring& ring = this->ring(level);
  const auto is_live = [this](std::uint64_t hint) { return table_.is_live(hint); };
  // The ring may drain again and again meanwhile; the scan finds a job that is not placed in 16 attempts.
  for (int attempt = 0; attempt < 16; ++attempt) {
    std::uint32_t before = entry.overflow.load();
    const bool is_first = SpillState::is_direct(before);
    if (is_first) {                                                                 // settle.O1
      if (ring.push(JobTable::hint_of(id), is_live) == Ring::Pushed::done) return;  // settle.O2
      if (!entry.overflow.compare_exchange_strong(before, SpillState::to_spilled(before))) continue;
    }
    const bool rings = segment_->keeper_marks().call(index);  // settle.O3
    if (end_spill(level, before, rings, is_first)) return;
  }
}

void Settling::wake_groups(std::uint64_t groups) noexcept {
  Signals& signals = segment_->signals();
  for (std::uint64_t bits = signals.waited_for.fetch_and(~groups) & groups; bits != 0; bits &= bits - 1) {
    auto& sequence = signals.ended_sequence[std::countr_zero(bits)];
    sequence.fetch_add(1);
    futex_wake(sequence, everybody);
  }
}

}  // namespace ringmill
