#include "core/durability/batch_order.h"

#include <bit>

#include "core/journal/note.h"

namespace ringmill {

namespace {

/// Follow-ups of follow-ups, in front of a copy. Only a corrupted cell leads further.
constexpr std::uint32_t most_depth = 64;

}  // namespace

void BatchOrder::put_off(CellIndex index) {
  cells_->put_off(index);
  if (further_passes_ == 0) {
    put_off_.push_back({.index = index});
  } else {
    next_round_.push_back(index);  // its mark came after this round had begun
  }
}

BatchOrder::Next BatchOrder::end_pass() {
  if (!put_off_.empty()) {
    ++further_passes_;
    // In front of the marks: those of what came with a completion are set before it shows.
    for (PutOff& one : put_off_) one.is_complete = may_have_follow_ups(table_.word(one.index));
    cells_->take_marks();
    return Next::further_pass;
  }
  further_passes_ = 0;
  for (const CellIndex index : next_round_) cells_->take_up(index);
  next_round_.clear();
  return Next::round_ends;
}

Visit BatchOrder::visit_leader(CellIndex index, StateWord word, bool is_known, Turn turn) {
  switch (turn) {
    case Turn::copies:
      return copy_batch_of(index, word, 0);
    case Turn::leaders:
      return Visit::done;
    case Turn::leaders_without_end:
      return may_have_follow_ups(word) ? Visit::leads : Visit::done;
    case Turn::others:
      break;
  }
  if (is_known) return waits_to_begin(word.state()) || word.state() == CellState::running ? Visit::done : Visit::leads;
  return put_off_as_begun(index, word, Visit::leads);
}

Visit BatchOrder::put_off_as_begun(CellIndex index, StateWord word, Visit why) {
  const CellLinks* const links = table_.links(index);
  const bool came_with_others =
      links != nullptr && links->rule.load() != 0 && table_.stands(JobId(links->born_of.load()));
  if (!came_with_others) return why;
  const Visit written = records_->write_job(index, word, Purpose::flush, CellRecords::Told::its_beginning);
  return written == Visit::done ? why : written;
}

Visit BatchOrder::copy_batch_of(CellIndex index, StateWord word, std::uint32_t depth) {
  // Its mark is set behind those of all that came with it, and one visit to it comes behind one to each of them.
  if ((cells_->waiting_or_marked(JournalMarks::word_of(index)) & JournalMarks::bit_of(index)) == 0) return Visit::done;
  const JobId leader = job_id_of(word, index);
  Visit copied = Visit::done;
  marks_.for_each_word([&](std::uint32_t n) {
    if (copied != Visit::done) return;
    for (std::uint64_t bits = cells_->waiting_or_marked(n); bits != 0 && copied == Visit::done; bits &= bits - 1) {
      const CellIndex other = n * 64 + static_cast<CellIndex>(std::countr_zero(bits));
      if (other != index) copied = copy_if_member(other, leader, depth);
    }
  });
  return copied;
}

Visit BatchOrder::copy_if_member(CellIndex index, JobId leader, std::uint32_t depth) {
  const StateWord word = table_.word(index);
  const CellHeader& header = table_.header(index);
  // ORDER relaxed: written by journal threads alone, of which there is one; the last one's death came in between.
  const JournalNote note = JournalNote::of(header.revision.load(std::memory_order_relaxed));
  const bool believe_note = cells_->believes_note(index);
  if (believe_note && note.generation == word.generation()) return Visit::done;  // it is there
  const CellLinks* const links = table_.links(index);
  const bool came_with_it =
      word.has_job() && links != nullptr && links->rule.load() != 0 && JobId(links->born_of.load()) == leader;
  const bool has_ended = believe_note ? note.generation != 0 : !word.has_job();  // a life that the journal knows
  if (!came_with_it && !has_ended) return Visit::done;
  marks_.hold(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  const bool leads = (header.flags.load() & cell_flag::leads_bundle) != 0;
  const bool came_with_follow_ups = came_with_it && leads && may_have_follow_ups(word);
  if (came_with_follow_ups && depth < most_depth) {
    if (const Visit copied = copy_batch_of(index, word, depth + 1); copied != Visit::done) return copied;
  }
  const bool is_deep = came_with_follow_ups && depth == most_depth;
  const auto told = is_deep ? CellRecords::Told::its_beginning : CellRecords::Told::all;
  // An end: of one that never was, perhaps, and would be if its leader were over.
  const Visit written = came_with_it ? records_->write_job(index, word, Purpose::compaction, told)
                                     : records_->write_ended(index, word, Purpose::compaction);
  if (written == Visit::changed && table_.word(index).generation() != word.generation()) {
    return Visit::done;  // it is over, and its end is marked
  }
  if (written == Visit::done) cells_->believe_note(index);  // so that this ends, however often there is no room
  return written;
}

}  // namespace ringmill
