#include "core/durability/table_copy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "core/durability/scratch_cell.h"
#include "core/journal/note.h"
#include "core/table/damage.h"
#include "core/table/tally.h"

namespace ringmill {

using fresh::set;

namespace {

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
    : old_(&old), fresh_(&fresh), old_table_(old), fresh_table_(fresh), records_(old), rebuild_(fresh) {}

Result<void> TableCopy::run() {
  for (CellIndex index = 0; index < old_table_.capacity(); ++index) {
    if (auto checked = check(index, old_table_.word(index)); !checked) return checked;
  }
  records_.give_names(rebuild_);
  for (CellIndex index = 0; index < old_table_.capacity(); ++index) {
    const StateWord word = old_table_.word(index);
    if (!word.has_job()) continue;
    records_.give_job(index, word, rebuild_);
    ++jobs_;
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
