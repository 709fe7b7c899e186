// Rounds of the journal (rounds.h): what is put off in them, leaders above all, and when its turn comes.
#include <utility>

#include "core/durability/rounds.h"

namespace ringmill {

namespace {

/// Follow-ups of follow-ups, in front of a copy. Only a corrupted cell leads further.
constexpr std::uint32_t most_depth = 64;
/// After so many further looks of a round at the marks a job that moves on all the time is taken as it is.
constexpr std::uint32_t most_further_looks = 2;

}  // namespace

void JournalRounds::put_off(CellIndex index) {
  put_off_[JournalMarks::word_of(index)] |= JournalMarks::bit_of(index);
  // Later than the first look: its mark came after this round had begun.
  (further_looks_ == 0 ? put_off_in_order_ : next_rounds_).push_back({.index = index});
}

/// True: there are cells that were put off, and all marks are taken now that are set before their turn.
bool JournalRounds::looks_again() {
  if (!put_off_in_order_.empty()) {
    ++further_looks_;
    // In front of the marks: those of what came with a completion are set before it shows.
    for (PutOff& one : put_off_in_order_) one.is_complete = may_have_follow_ups(table_.word(one.index));
    for (std::uint32_t word = 0; word < marks_.words(); ++word) {
      if (const std::uint64_t bits = marks_.take(word); bits != 0) take(word, bits);
    }
    return true;
  }
  further_looks_ = 0;
  for (const PutOff& one : next_rounds_) {
    const std::uint32_t word = JournalMarks::word_of(one.index);
    put_off_[word] &= ~JournalMarks::bit_of(one.index);
    words_of_round_.push_back(word);
  }
  next_rounds_.clear();
  return false;
}

/// The turn of what was put off at the first look. What is still not to be written stays for a further one.
JournalRounds::Look JournalRounds::go_on_with_put_off() {
  if (further_looks_ == 0) return Look::fine;
  takes_what_is_there_ = further_looks_ >= most_further_looks;
  Look look = Look::fine;
  for (; next_put_off_ < put_off_in_order_.size(); ++next_put_off_) {
    const PutOff one = put_off_in_order_[next_put_off_];
    look = look_at_taken(one.index, one.is_complete ? Turn::leaders : Turn::leaders_without_end);
    const bool stays = look == Look::leads || look == Look::moves;
    if (!stays && look != Look::fine) break;
    if (stays) put_off_in_order_[stay_put_off_++] = one;
    look = Look::fine;
  }
  takes_what_is_there_ = false;
  if (look != Look::fine) return look;
  put_off_in_order_.resize(stay_put_off_);
  next_put_off_ = stay_put_off_ = 0;
  return Look::fine;
}

JournalRounds::Look JournalRounds::look_at_leader(CellIndex index, StateWord word, bool is_known, Turn turn) {
  switch (turn) {
    case Turn::copies:
      return copy_bundle_of(index, word, 0);
    case Turn::leaders:
      return Look::fine;
    case Turn::leaders_without_end:
      return may_have_follow_ups(word) ? Look::leads : Look::fine;
    case Turn::others:
      break;
  }
  if (is_known) return waits_to_begin(word.state()) || word.state() == CellState::running ? Look::fine : Look::leads;
  return put_off_as_begun(index, word, Look::leads);
}

JournalRounds::Look JournalRounds::put_off_as_begun(CellIndex index, StateWord word, Look why) {
  const CellLinks* const links = table_.links(index);
  const bool came_with_others =
      links != nullptr && links->rule.load() != 0 && table_.stands(JobId(links->born_of.load()));
  const Look written = came_with_others ? write_job(index, word, false, Told::its_beginning) : Look::fine;
  return written == Look::fine ? why : written;
}

bool JournalRounds::may_look_again(CellIndex index) const noexcept {
  // An end with which others may have come stays, so that one more look is enough, and does not take it in.
  return !takes_what_is_there_ || ((table_.header(index).flags.load() & cell_flag::leads_bundle) != 0 &&
                                   may_have_follow_ups(table_.word(index)));
}

JournalRounds::Look JournalRounds::copy_bundle_of(CellIndex index, StateWord word, std::uint32_t depth) {
  const auto to_be_looked_at = [this](std::uint32_t n) { return waiting_[n] | marks_.marked(n); };
  // Its mark is set behind those of all that came with it, and one look at it comes behind one at each of them.
  if ((to_be_looked_at(JournalMarks::word_of(index)) & JournalMarks::bit_of(index)) == 0) return Look::fine;
  const std::uint64_t leader = job_id_of(word, index).value();
  for (std::uint32_t n = 0; n < marks_.words(); ++n) {
    for (std::uint64_t bits = to_be_looked_at(n); bits != 0; bits &= bits - 1) {
      const CellIndex other = n * 64 + static_cast<CellIndex>(std::countr_zero(bits));
      const StateWord other_word = table_.word(other);
      // ORDER relaxed: as in look_at()
      const JournalNote note = JournalNote::of(table_.header(other).revision.load(std::memory_order_relaxed));
      const bool believe_note = (disbelief_[n] & JournalMarks::bit_of(other)) == 0;
      if (other == index || (believe_note && note.generation == other_word.generation())) continue;  // it is there
      const CellLinks* const links = table_.links(other);
      const bool came_with_it =
          other_word.has_job() && links != nullptr && links->rule.load() != 0 && links->born_of.load() == leader;
      const bool has_ended = believe_note ? note.generation != 0 : !other_word.has_job();  // a life that it knows
      if (!came_with_it && !has_ended) continue;
      marks_.hold(n, JournalMarks::bit_of(other));
      const bool leads = (table_.header(other).flags.load() & cell_flag::leads_bundle) != 0;
      const bool came_with_follow_ups = came_with_it && leads && may_have_follow_ups(other_word);
      if (came_with_follow_ups && depth < most_depth) {
        if (const Look look = copy_bundle_of(other, other_word, depth + 1); look != Look::fine) return look;
      }
      const bool is_deep = came_with_follow_ups && depth == most_depth;
      // An end: of one that never was, perhaps, and would be if its leader were over.
      const Look written = came_with_it ? write_job(other, other_word, true, is_deep ? Told::its_beginning : Told::all)
                                        : write_ended(other, other_word, true);
      if (written == Look::changed && table_.word(other).generation() != other_word.generation()) {
        continue;  // it is over, and its end is marked
      }
      if (written != Look::fine) return written;
      disbelief_[n] &= ~JournalMarks::bit_of(other);  // so that this goes on, and ends, however often there is no room
    }
  }
  return Look::fine;
}

}  // namespace ringmill
