#include "core/durability/compaction.h"

#include <algorithm>

#include "core/journal/note.h"
#include "ipc/prefetch.h"

namespace ringmill {

namespace {

/// Compaction begins when no more segments than this are free.
constexpr std::uint32_t free_segments_wanted = 3;
/// At a job that is to be copied and moves on: one that is stopped in its last step must not hold up its segment.
constexpr std::uint32_t most_tries = 64;

}  // namespace

bool Compaction::is_needed() const noexcept {
  return writer_->free_segments() <= free_segments_wanted && writer_->oldest_segment() < writer_->newest_segment();
}

Visit Compaction::copy(CellIndex index, std::uint32_t tag) {
  // ORDER relaxed: written by this thread.
  const JournalNote note = JournalNote::of(visits_->table().header(index).revision.load(std::memory_order_relaxed));
  // A note that the dead have left may name a block that never came: the record may stand in any segment, this one too.
  const bool believe_note = cells_->believes_note(index);
  if (believe_note && (note.generation == 0 || note.segment != tag)) return Visit::done;
  const StateWord word = visits_->table().word(index);
  const bool is_over = !word.has_job() || (believe_note && word.generation() != note.generation);
  // Until the copy is durable the cell is pending: the next journal thread visits it again.
  marks_.hold(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  if (is_over) return records_->write_ended(index, word, Purpose::compaction);  // comp.C3
  records_->set_patience(tries_ < most_tries ? CellRecords::Patience::waits
                                             : CellRecords::Patience::takes_what_is_there);
  const Visit visited = visits_->visit(index, false, Turn::copies);  // comp.C2
  records_->set_patience(CellRecords::Patience::waits);
  return visited;
}

Compaction::Progress Compaction::go_on(std::uint32_t count) {
  if (!segment_) {
    if (!is_needed()) return Progress::done;
    segment_ = writer_->oldest_segment();  // comp.C1
    records_->set_compacted(segment_);
    next_ = 0;
  }
  const JobTable& table = visits_->table();
  const std::uint32_t tag = JournalNote::segment_tag(*segment_);
  const CellIndex end = std::min(table.capacity(), next_ + count);
  for (next_ = table.chunks().next_there(next_); next_ < end; next_ = table.chunks().next_there(next_ + 1)) {
    if (next_ + visits_ahead < end) prefetch_to_read(&table.header(next_ + visits_ahead));
    const Visit copied = copy(next_, tag);
    if (copied == Visit::moves) ++tries_;
    if (copied != Visit::done) return Progress::more;  // buffers: collect first; the rest the caller sees for itself
    tries_ = 0;
  }
  if (next_ < table.capacity()) return Progress::more;
  writer_->retire_oldest();  // comp.C4
  segment_.reset();
  records_->set_compacted(segment_);
  return is_needed() ? Progress::more : Progress::done;
}

}  // namespace ringmill
