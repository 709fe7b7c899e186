#include "core/durability/rounds.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string>
#include <utility>

#include "ipc/clock.h"
#include "ipc/wait_mark.h"

namespace ringmill {

namespace {

/// Copying begins when no more segments than this are free.
constexpr std::uint32_t free_segments_wanted = 3;
/// How far ahead of the look the headers are fetched.
constexpr std::uint32_t look_ahead = 12;
/// At a cell that changes while it is read.
constexpr int most_looks = 4;
/// At a job that is to be copied and moves on: one that is stopped in its last step must not hold up its segment.
constexpr std::uint32_t most_copy_tries = 64;
constexpr std::uint64_t ns_per_ms = 1'000'000;

std::uint64_t journaled_due(DueTime due) noexcept {
  const std::uint64_t wall_ns =
      due.is_wall ? due.ns : later_by(exact_wall_clock_ns(), due.ns - std::min(due.ns, lease_clock_ns()));
  return ((wall_ns + ns_per_ms - 1) / ns_per_ms & (ChangeRecord::wall_bit - 1)) |
         (due.is_wall ? ChangeRecord::wall_bit : 0);
}

}  // namespace

JournalRounds::JournalRounds(const Segment& segment, JournalWriter& writer)
    : segment_(&segment),
      writer_(&writer),
      table_(segment),
      arena_(segment),
      marks_(segment.marks()),
      words_(&segment.journal()),
      waiting_(marks_.words(), 0),
      disbelief_(marks_.words(), 0),
      put_off_(marks_.words(), 0),
      round_(std::min(words_->round_started.load(), most_rounds)),
      durable_round_(std::min(words_->round_durable.load(), round_)),
      last_block_(segment.geometry().capacity, 0),
      kind_named_in_(most_kinds, 0),
      policy_named_in_(most_retry_policies, 0) {
  for (std::uint32_t word = 0; word < marks_.words(); ++word) {
    disbelief_[word] = marks_.pending(word);
    if (disbelief_[word] != 0) take(word, disbelief_[word]);
  }
}

void JournalRounds::take(std::uint32_t word, std::uint64_t bits) {
  if ((waiting_[word] & ~put_off_[word]) == 0) words_of_round_.push_back(word);
  waiting_[word] |= bits;
}

bool JournalRounds::begin(std::uint64_t now_ns) {
  if (under_way_) return true;
  std::uint64_t wanted_round = words_->round_wanted.load();
  const bool wanted = wanted_round > round_;
  // Nobody has a ticket for a later one than the next: taken back, or one scribbled word begins rounds for ever.
  if (wanted_round > round_ + 1) words_->round_wanted.compare_exchange_strong(wanted_round, round_ + 1);
  if (!wanted && words_of_round_.empty() && !marks_.any()) return false;
  words_->round_started.store(++round_);  // marks.J1
  for (std::uint32_t word = 0; word < marks_.words(); ++word) {
    if (const std::uint64_t bits = marks_.take(word); bits != 0) take(word, bits);  // marks.J2, marks.J3
  }
  under_way_ = true;
  begun_ns_ = now_ns;
  return true;
}

JournalRounds::Step JournalRounds::go_on() {
  do {
    for (; next_word_ < words_of_round_.size(); ++next_word_) {
      if (const Look look = go_on_with(words_of_round_[next_word_]); look != Look::fine) return step_of(look);
    }
    words_of_round_.clear();
    next_word_ = 0;
    if (const Look look = go_on_with_put_off(); look != Look::fine) return step_of(look);
  } while (looks_again());
  under_way_ = false;
  rounds_.push_back({.number = round_, .block = writer_->flush(), .begun_ns = begun_ns_});  // marks.J4 is done
  return Step::done;
}

JournalRounds::Step JournalRounds::step_of(Look look) noexcept {
  switch (look) {
    case Look::buffers:
      return Step::buffers;
    case Look::segments:
      return Step::segments;
    default:
      return Step::failed;
  }
}

JournalRounds::Look JournalRounds::go_on_with(std::uint32_t word) {
  const CellIndex first = word * 64;
  std::uint64_t ahead = waiting_[word] & ~put_off_[word];
  for (std::uint32_t n = 0; ahead != 0 && n < look_ahead; ++n, ahead &= ahead - 1) {
    prefetch_to_read(&table_.header(first + static_cast<CellIndex>(std::countr_zero(ahead))));
  }
  std::uint64_t settled = 0;
  Look look = Look::fine;
  while (look == Look::fine) {
    const std::uint64_t left = waiting_[word] & ~put_off_[word];
    if (left == 0) break;
    if (ahead != 0) {
      prefetch_to_read(&table_.header(first + static_cast<CellIndex>(std::countr_zero(ahead))));
      ahead &= ahead - 1;
    }
    const CellIndex index = first + static_cast<CellIndex>(std::countr_zero(left));
    const std::uint64_t behind_it = left & (left - 1);
    if (const std::uint64_t soon = behind_it & (behind_it - 1); soon != 0) {
      table_.prefetch_to_journal(first + static_cast<CellIndex>(std::countr_zero(soon)));
    }
    look = look_at_taken(index, Turn::others);
    if (look == Look::leads || look == Look::moves) {
      put_off(index);
      look = Look::fine;
    } else if (look == Look::fine && last_block_[index] <= writer_->durable_block()) {
      settled |= JournalMarks::bit_of(index);  // else its block settles it
    }
  }
  if (settled != 0) marks_.settle(word, settled);
  return look;
}

JournalRounds::Look JournalRounds::look_at_taken(CellIndex index, Turn turn) {
  const std::uint32_t word = JournalMarks::word_of(index);
  const std::uint64_t bit = JournalMarks::bit_of(index);
  const Look look = look_at(index, (disbelief_[word] & bit) == 0, turn);
  if (look != Look::fine) return look;
  waiting_[word] &= ~bit;
  put_off_[word] &= ~bit;
  disbelief_[word] &= ~bit;
  if (turn != Turn::others && last_block_[index] <= writer_->durable_block()) marks_.settle(word, bit);
  return Look::fine;
}

JournalRounds::Look JournalRounds::look_at(CellIndex index, bool believe_note, Turn turn) {
  const bool copying_forward = turn == Turn::copies;
  CellHeader& header = table_.header(index);
  // ORDER relaxed: written by journal threads alone, of which there is one; the last one's death came in between.
  const JournalNote note = JournalNote::of(header.revision.load(std::memory_order_relaxed));
  StateWord word = table_.word(index);
  const std::uint64_t first_life = word.generation();
  // Each turn but the first means that the cell changed meanwhile.
  for (int look = 0; look < most_looks; ++look, word = table_.word(index)) {
    // ORDER second-look: acquires, so that the second look at the word comes after it.
    const std::uint16_t flags = header.flags.load(std::memory_order_acquire);
    const bool memory_only = (flags & cell_flag::memory_only) != 0;
    if (!word.has_job() || memory_only) {
      if (table_.word(index).generation() != word.generation()) continue;
      if (note.generation != 0 || !believe_note) return write_ended(index, word, copying_forward);
      ++elided_;
      return Look::fine;
    }
    const bool is_known = believe_note && note.generation == word.generation();
    if ((flags & cell_flag::leads_bundle) != 0) {
      const Look look_at_it = look_at_leader(index, word, is_known, turn);
      if (look_at_it == Look::changed) continue;
      if (look_at_it != Look::fine) return look_at_it;
    }
    Look written =
        is_known ? write_change(index, word, copying_forward) : write_job(index, word, copying_forward, Told::all);
    if (written == Look::moves && !is_known && turn == Turn::others) written = put_off_as_begun(index, word, written);
    if (written != Look::changed) return written;
  }
  // Too quick for us. What it is now was marked after we began to look; what it was is over, if this is another life.
  if (word.generation() == first_life) {
    const bool is_known = believe_note && note.generation == first_life;
    if (is_known || turn != Turn::others) return Look::moves;
    if (const Look begun = put_off_as_begun(index, word, Look::moves); begun != Look::changed) return begun;
    word = table_.word(index);
  }
  return write_ended(index, word, copying_forward);
}

/// All lives before that of `word` are over. True whatever the cell does meanwhile.
JournalRounds::Look JournalRounds::write_ended(CellIndex index, StateWord word, bool copying_forward) {
  const auto block = room(sizeof(ShortRecord), copying_forward);
  if (!block) return block.error();
  (*block)->append_ended(job_id_of(word, index));
  // ORDER relaxed: as in look_at()
  table_.header(index).revision.store(0, std::memory_order_relaxed);
  remember(index);
  return Look::fine;
}

JournalRounds::Look JournalRounds::write_parts(CellIndex index, StateWord word, Parting& parting,
                                               bool copying_forward) {
  const JobId id = job_id_of(word, index);
  // The segment with the first part is about to be retired, and whether this job has to be copied was looked at before
  // its note was there: from the beginning, further on.
  const std::uint64_t too_old = copying_ ? *copying_ + 1 : writer_->oldest_segment();
  if (parting.id != id.value() || (parting.parts != 0 && parting.first_segment < too_old)) {
    parting = {.id = id.value(), .parts = 0, .first_segment = 0};
  }
  while (true) {
    const auto payload = arena_.payload_of(id);
    const std::uint64_t begin = std::uint64_t{parting.parts} * most_part_bytes;
    if (payload && begin >= payload->size()) return Look::fine;
    // Scribbled over, if it has not just ended: what is left of it is nothing, and its worker is told.
    if (!payload) return table_.word(index).generation() == word.generation() ? Look::fine : Look::changed;
    const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_part_bytes, payload->size() - begin));
    const auto block = room(BlockBuilder::bytes_of_part(bytes), copying_forward);
    if (!block) return block.error();
    if (parting.parts == 0) parting.first_segment = writer_->open_segment();
    const BlockBuilder::Mark before = (*block)->mark();
    const std::span<std::byte> to = (*block)->append_part({.number = static_cast<std::uint16_t>(parting.parts),
                                                           .part_bytes = bytes,
                                                           .id = id.value(),
                                                           .payload_bytes = payload->size()});
    Arena::copy_out(payload->subspan(begin, bytes), to.data());
    const StateWord after = table_.word(index);  // ORDER second-look
    if (after.generation() != word.generation() || !after.has_job()) {
      (*block)->rewind(before);
      parting = {};
      return Look::changed;
    }
    ++records_;
    ++parting.parts;
  }
}

void JournalRounds::append_job(BlockBuilder& block, CellIndex index, const JobRecord& record,
                               const Parting* parting) noexcept {
  if (parting == nullptr) {
    const std::span<std::byte> payload = block.append_job(record);
    table_.copy_words_out(index, payload.data(), payload.size());
    return;
  }
  LargeJobRecord large{.job = record, .first_segment = parting->first_segment};
  large.job.type = RecordType::large_job;
  block.append_large_job(large);
}

JournalRounds::Look JournalRounds::write_job(CellIndex index, StateWord word, bool copying_forward, Told told) {
  CellHeader& header = table_.header(index);
  const std::uint16_t flags = header.flags.load();
  Parting* parting = nullptr;
  if ((flags & cell_flag::in_arena) != 0) {
    parting = copying_forward ? &parting_copy_ : &parting_;
    if (const Look written = write_parts(index, word, *parting, copying_forward); written != Look::fine) return written;
  }
  const Untrusted payload_bytes = header.payload_bytes.load_once();
  const std::uint32_t kind = header.kind.load_once().unbounded();  // room_for_job() takes any
  const std::uint64_t enqueued_at_ms = header.enqueued_at_ns.load() / ns_per_ms;
  const std::uint64_t attempts = told == Told::all ? header.attempts.load() : 0;
  const std::uint32_t policy = header.retry_policy.load_once().unbounded();
  JobRecord record;
  record.level = header.level.load_once().unbounded();
  record.payload_bytes =
      payload_bytes.at_most(parting != nullptr ? segment_->geometry().max_payload : table_.inline_bytes());
  record.id = job_id_of(word, index).value();
  record.enqueued_at_ms_and_attempts = (enqueued_at_ms & 0xffffffffffff) | attempts << 48;
  record.kind = static_cast<std::uint16_t>(kind);
  record.most_attempts = header.most_attempts.load();
  record.lease_ms = header.lease_ms.load();
  const bool is_plain = (flags & cell_flag::journaled) == 0 && policy == 0 && !needs_change(index, word);
  const std::uint32_t own_bytes = parting != nullptr ? static_cast<std::uint32_t>(sizeof(LargeJobRecord))
                                                     : BlockBuilder::bytes_of_job(record.payload_bytes);
  const auto block = room_for_job(kind, policy, own_bytes + (is_plain ? 0 : most_bytes_beside_job()), copying_forward);
  if (!block) return block.error();
  const BlockBuilder::Mark before = (*block)->mark();
  append_job(**block, index, record, parting);
  const Change change = is_plain ? Change::none : append_beside_job(**block, index, word, told);
  const StateWord after = table_.word(index);
  if (after.generation() != word.generation() || !after.has_job()) {
    (*block)->rewind(before);
    return Look::changed;
  }
  const bool is_torn = is_plain ? !is_as_it_was(index, word) : change == Change::moves;
  if (told == Told::all && is_torn && may_look_again(index)) {
    (*block)->rewind(before);
    return is_plain && word.state() != CellState::completing ? Look::changed : Look::moves;
  }
  // A job is copied forward when the segment is the oldest in which its first bytes stand.
  const std::uint64_t segment =
      parting != nullptr && parting->parts != 0 ? parting->first_segment : writer_->open_segment();
  header.revision.store(JournalNote{word.generation(), JournalNote::segment_tag(segment)}.bits(),
                        std::memory_order_relaxed);  // ORDER relaxed: as in look_at()
  if (parting != nullptr) *parting = {};
  remember(index);
  return Look::fine;
}

bool JournalRounds::is_parked(CellIndex index, StateWord word) const noexcept {
  return WaitMark::of_parked(table_.header(index).cause.load(), word) != WaitMark::Reason::none;
}

bool JournalRounds::had_to_wait(CellIndex index) const noexcept {
  const CellHeader& header = table_.header(index);
  return header.due_at.load() != 0 || (header.flags.load() & cell_flag::has_links) != 0;
}

bool JournalRounds::needs_change(CellIndex index, StateWord word) const noexcept {
  const CellState state = word.state();
  // A parked job waits: why is a matter of memory (core/flow_control/admission.h).
  const bool goes_on = state == CellState::queued || state == CellState::running || state == CellState::completing ||
                       is_parked(index, word);
  return !goes_on || !(table_.header(index).text_bytes.load_once() == 0U);
}

bool JournalRounds::is_as_it_was(CellIndex index, StateWord word) const noexcept {
  // While it is completing its owner writes what we have read.
  return word.state() != CellState::completing && table_.word(index) == word;
}

JournalRounds::Change JournalRounds::append_beside_job(BlockBuilder& block, CellIndex index, StateWord word,
                                                       Told told) noexcept {
  const CellHeader& header = table_.header(index);
  const CellOptions* const options = table_.options(index);
  OptionsRecord record;
  record.cell_flags = header.flags.load() & cell_flag::journaled;
  record.retry_policy = header.retry_policy.load_once().unbounded();
  record.id = job_id_of(word, index).value();
  if (options != nullptr) {
    record.expires_at_ms = options->expires_at_ms.load();
    record.keep_ms = options->keep_ms.load();
    record.unique_low = options->unique_low.load();
    record.unique_high = options->unique_high.load();
  }
  block.append_options(record);
  ++records_;
  if (const CellLinks* const links = table_.links(index); links != nullptr) {
    append_links(block, index, word, *links);
  }
  if (told == Told::its_beginning || !needs_change(index, word)) return Change::none;
  const Change change = append_change(block, index, word);
  if (change == Change::written) ++records_;
  return change;
}

/// While the leader's cell stands its record may not be there yet: the job counts only with it. Afterwards that is
/// durable, and need not be known any more.
void JournalRounds::append_links(BlockBuilder& block, CellIndex index, StateWord word,
                                 const CellLinks& links) noexcept {
  LinksRecord record;
  record.id = job_id_of(word, index).value();
  record.parents = table_.parents(index);
  record.runs_all_the_same = links.runs_all_the_same.load() != 0 ? 1 : 0;
  const JobId born_of(links.born_of.load());
  const std::uint16_t rule = links.rule.load();
  if (rule != 0 && rule <= static_cast<std::uint16_t>(BornRule::after_it) && table_.stands(born_of)) {
    record.rule = static_cast<std::uint8_t>(rule);
    record.born_of = born_of.value();
  }
  block.append_links(record);
  ++records_;
}

JournalRounds::Change JournalRounds::append_change(BlockBuilder& block, CellIndex index, StateWord word) noexcept {
  // A claim, or an extension, changes the word and nothing else, and does not mark the cell: what the last end of a run
  // has left there is looked at again, or the journal would never have it.
  for (int look = 0; look < most_looks; ++look) {
    const BlockBuilder::Mark mark = block.mark();
    append_change_as_read(block, index, word);
    // Whatever changes it later marks it again.
    if (is_as_it_was(index, word)) return Change::written;
    block.rewind(mark);
    const StateWord after = table_.word(index);
    if (after.generation() != word.generation()) return Change::none;
    if (after.state() != CellState::completing && !needs_change(index, after)) return Change::none;
    // It was completed just now, and what came with that stands behind it, or nowhere yet.
    if (may_have_follow_ups(after) && (table_.header(index).flags.load() & cell_flag::leads_bundle) != 0) break;
    word = after;
  }
  return Change::moves;
}

void JournalRounds::append_change_as_read(BlockBuilder& block, CellIndex index, StateWord word) noexcept {
  const CellHeader& header = table_.header(index);
  ChangeRecord record;
  record.state = is_parked(index, word) ? JournaledState::waits : journaled_state(word.state());
  record.attempts = header.attempts.load();
  if (word.state() == CellState::burying) record.cause = static_cast<std::uint8_t>(header.cause.load());
  record.id = job_id_of(word, index).value();
  const JobTable::TextPlace place = table_.text_place(index);
  record.text_bytes =
      static_cast<std::uint16_t>(header.text_bytes.load_once().at_most(std::min(place.room(), most_staged_bytes)));
  if (record.state != JournaledState::waits) record.due = journaled_due(DueTime::of(header.due_at.load()));
  const bool is_cut = (header.flags.load() & cell_flag::result_cut) != 0;
  if (record.state == JournaledState::completed && is_cut) record.due |= ChangeRecord::result_cut_bit;
  if (const CellOptions* const options = table_.options(index); options != nullptr) {
    record.started = options->started.load();
    record.ended_at_ms = options->ended_at_ms.load();
  }
  const std::span<std::byte> text = block.append_change(record);
  JobTable::copy_text_out(place, text.data(), static_cast<std::uint32_t>(text.size()));
}

JournalRounds::Look JournalRounds::write_change(CellIndex index, StateWord word, bool copying_forward) {
  const CellHeader& header = table_.header(index);
  const std::uint16_t attempts = header.attempts.load(std::memory_order_acquire);  // ORDER second-look
  const bool is_plain = !needs_change(index, word);
  if (table_.word(index).generation() != word.generation()) return Look::changed;
  if (is_plain && !is_as_it_was(index, word) && may_look_again(index)) {
    return word.state() == CellState::completing ? Look::moves : Look::changed;
  }
  if (is_plain && attempts == 0 && !had_to_wait(index)) return Look::fine;
  const auto block = room(is_plain ? sizeof(ShortRecord) : most_bytes_beside_job(), copying_forward);
  if (!block) return block.error();
  const Change change = is_plain ? Change::none : append_change(**block, index, word);
  if (change == Change::moves && may_look_again(index)) return Look::moves;
  if (change != Change::written) {
    if (table_.word(index).generation() != word.generation()) return Look::changed;
    (*block)->append_attempts(job_id_of(word, index), attempts);
  }
  remember(index);
  return Look::fine;
}

bool JournalRounds::is_unnamed(std::uint64_t& named_in) const noexcept {
  return std::exchange(named_in, writer_->open_segment()) != writer_->open_segment();
}

std::uint32_t JournalRounds::most_bytes_beside_job() const noexcept {
  return static_cast<std::uint32_t>(sizeof(OptionsRecord) + sizeof(LinksRecord)) +
         BlockBuilder::bytes_of_change(std::min<std::uint32_t>(most_staged_bytes, table_.inline_bytes()));
}

std::expected<BlockBuilder*, JournalRounds::Look> JournalRounds::room_for_job(std::uint32_t kind, std::uint32_t policy,
                                                                              std::uint32_t bytes,
                                                                              bool copying_forward) {
  // For all, because a segment that ends in between would separate them.
  const auto block = room(bytes + 2 * BlockBuilder::bytes_of_kind(name_bytes), copying_forward);
  if (!block) return block;
  if (kind < most_kinds && is_unnamed(kind_named_in_[kind])) {
    if (const auto name = segment_->kinds().name_of(kind)) {
      (*block)->append_kind(kind, *name);
      ++records_;
    }
  }
  if (policy != 0 && policy <= most_retry_policies && is_unnamed(policy_named_in_[policy - 1])) {
    if (const auto name = segment_->retry_policies().name_of(policy - 1)) {
      (*block)->append_retry_policy(policy, *name);
      ++records_;
    }
  }
  return block;
}

std::expected<BlockBuilder*, JournalRounds::Look> JournalRounds::room(std::uint32_t bytes, bool copying_forward) {
  auto block = writer_->room(bytes, copying_forward);
  if (block) return *block;
  switch (block.error()) {
    case JournalWriter::NoRoom::buffers:
      return std::unexpected(Look::buffers);
    case JournalWriter::NoRoom::segments:
      return std::unexpected(Look::segments);
    case JournalWriter::NoRoom::failed:
      break;
  }
  return std::unexpected(Look::failed);
}

std::vector<CellIndex>& JournalRounds::cells_of_open_block() {
  const std::uint64_t open = writer_->open_block();
  if (blocks_.empty() || blocks_.back().number != open) {
    SentBlock block{.number = open, .cells = {}};
    if (!spare_lists_.empty()) {
      block.cells = std::move(spare_lists_.back());
      spare_lists_.pop_back();
    }
    blocks_.push_back(std::move(block));
  }
  return blocks_.back().cells;
}

void JournalRounds::remember(CellIndex index) {
  cells_of_open_block().push_back(index);
  last_block_[index] = writer_->open_block();
  ++records_;
}

bool JournalRounds::publish() {
  const std::uint64_t durable = writer_->durable_block();
  while (!blocks_.empty() && blocks_.front().number <= durable) {
    for (const CellIndex index : blocks_.front().cells) {
      // A newer record of the cell may be on its way, or its next look: they settle it.
      const bool waits = (waiting_[JournalMarks::word_of(index)] & JournalMarks::bit_of(index)) != 0;
      if (last_block_[index] == blocks_.front().number && !waits) {
        marks_.settle(JournalMarks::word_of(index), JournalMarks::bit_of(index));
      }
    }
    blocks_.front().cells.clear();
    spare_lists_.push_back(std::move(blocks_.front().cells));
    blocks_.pop_front();
  }
  const std::uint64_t before = durable_round_;
  while (!rounds_.empty() && rounds_.front().block <= durable) {
    durable_round_ = rounds_.front().number;
    rounds_.pop_front();
  }
  assert(durable_round_ >= before && durable_round_ <= round_);
  if (durable_round_ == before) return false;
  words_->round_durable.store(durable_round_);
  return true;
}

bool JournalRounds::needs_copying() const noexcept {
  return writer_->free_segments() <= free_segments_wanted && writer_->oldest_segment() < writer_->newest_segment();
}

bool JournalRounds::copy_forward(std::uint32_t cells) {
  if (!copying_) {
    if (!needs_copying()) return false;
    copying_ = writer_->oldest_segment();
    copy_next_ = 0;
  }
  const std::uint32_t tag = JournalNote::segment_tag(*copying_);
  const CellIndex end = std::min(table_.capacity(), copy_next_ + cells);
  for (; copy_next_ < end; ++copy_next_) {
    if (copy_next_ + look_ahead < end) prefetch_to_read(&table_.header(copy_next_ + look_ahead));
    const CellHeader& header = table_.header(copy_next_);
    // ORDER relaxed: written by this thread.
    const JournalNote note = JournalNote::of(header.revision.load(std::memory_order_relaxed));
    // A note that the dead have left may name a block that never came: the record may stand in any segment, this one
    // too.
    const bool believe_note = (disbelief_[JournalMarks::word_of(copy_next_)] & JournalMarks::bit_of(copy_next_)) == 0;
    if (believe_note && (note.generation == 0 || note.segment != tag)) continue;
    const StateWord word = table_.word(copy_next_);
    const bool is_over = !word.has_job() || (believe_note && word.generation() != note.generation);
    // Until the copy is durable the cell is pending: whoever takes over looks at it again.
    marks_.hold(JournalMarks::word_of(copy_next_), JournalMarks::bit_of(copy_next_));
    takes_what_is_there_ = copy_tries_ >= most_copy_tries;
    const Look look = is_over ? write_ended(copy_next_, word, true) : look_at(copy_next_, false, Turn::copies);
    takes_what_is_there_ = false;
    if (look == Look::moves) ++copy_tries_;
    if (look != Look::fine) return true;  // buffers: collect first; the rest the caller sees for itself
    copy_tries_ = 0;
  }
  if (copy_next_ < table_.capacity()) return true;
  writer_->retire_oldest();
  copying_.reset();
  return needs_copying();
}

}  // namespace ringmill
