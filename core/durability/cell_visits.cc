#include "core/durability/cell_visits.h"

#include "core/journal/note.h"

namespace ringmill {

namespace {

/// At a cell that changes while it is read.
constexpr int most_tries = 4;

}  // namespace

Visit CellVisits::visit(CellIndex index, bool believe_note, Turn turn) {
  const Purpose purpose = turn == Turn::copies ? Purpose::compaction : Purpose::flush;
  if (!table_.is_there(index)) return Visit::done;  // a bit that no participant of ours has set
  CellHeader& header = table_.header(index);
  // ORDER relaxed: written by journal threads alone, of which there is one; the last one's death came in between.
  const JournalNote note = JournalNote::of(header.revision.load(std::memory_order_relaxed));
  StateWord word = table_.word(index);
  const std::uint64_t first_life = word.generation();
  // Each turn but the first means that the cell changed meanwhile.
  for (int n = 0; n < most_tries; ++n, word = table_.word(index)) {
    // ORDER second-look: acquires, so that the second look at the word comes after it.
    const std::uint16_t flags = header.flags.load(std::memory_order_acquire);
    const bool memory_only = (flags & cell_flag::memory_only) != 0;
    if (!word.has_job() || memory_only) {
      if (table_.word(index).generation() != word.generation()) continue;
      if (note.generation != 0 || !believe_note) return records_->write_ended(index, word, purpose);
      ++elided_;
      return Visit::done;
    }
    const bool is_known = believe_note && note.generation == word.generation();
    if ((flags & cell_flag::leads_bundle) != 0) {
      const Visit leader = order_->visit_leader(index, word, is_known, turn);
      if (leader == Visit::changed) continue;
      if (leader != Visit::done) return leader;
    }
    Visit written = is_known ? records_->write_change(index, word, purpose)
                             : records_->write_job(index, word, purpose, CellRecords::Told::all);
    const bool is_begun_only = written == Visit::moves && !is_known && turn == Turn::others;
    if (is_begun_only) written = order_->put_off_as_begun(index, word, written);
    if (written != Visit::changed) return written;
  }
  // Too quick for us. What it is now was marked after we began to read; what it was is over, if this is another life.
  if (word.generation() == first_life) {
    const bool is_known = believe_note && note.generation == first_life;
    if (is_known || turn != Turn::others) return Visit::moves;
    if (const Visit begun = order_->put_off_as_begun(index, word, Visit::moves); begun != Visit::changed) return begun;
    word = table_.word(index);
  }
  return records_->write_ended(index, word, purpose);
}

}  // namespace ringmill
