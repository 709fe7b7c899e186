#include "core/durability/rounds.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "ipc/prefetch.h"

namespace ringmill {

JournalRounds::JournalRounds(const Segment& segment, JournalWriter& writer)
    : writer_(&writer),
      table_(segment),
      marks_(segment.marks()),
      words_(&segment.journal()),
      cells_(marks_),
      in_flight_(writer, segment.geometry().capacity),
      records_(segment, writer, in_flight_),
      order_(segment, cells_, records_),
      visits_(segment, records_, order_),
      compaction_(segment, writer, cells_, records_, visits_),
      round_(std::min(words_->round_started.load(), most_rounds)),
      durable_round_(std::min(words_->round_durable.load(), round_)) {}

JournalRounds::Begin JournalRounds::begin(std::uint64_t now_ns) {
  if (under_way_) return Begin::under_way;
  std::uint64_t wanted_round = words_->round_wanted.load();
  const bool wanted = wanted_round > round_;
  // No ticket names a later one than the next: taken back, or one corrupted word begins rounds for ever.
  if (wanted_round > round_ + 1) words_->round_wanted.compare_exchange_strong(wanted_round, round_ + 1);
  if (!wanted && cells_.is_empty() && !marks_.any()) return Begin::nothing;
  words_->round_started.store(++round_);  // marks.J1
  cells_.take_marks();                    // marks.J2, marks.J3
  under_way_ = true;
  begun_ns_ = now_ns;
  return Begin::under_way;
}

JournalRounds::Step JournalRounds::go_on() {
  do {
    while (const auto word = cells_.word()) {
      if (const Visit visited = visit_word(*word); visited != Visit::done) return step_of(visited);
      cells_.end_word();
    }
    const auto visit = [this](CellIndex index, Turn turn) { return visit_taken(index, turn); };
    if (const Visit visited = order_.visit_put_off(visit); visited != Visit::done) return step_of(visited);
  } while (order_.end_pass() == BatchOrder::Next::further_pass);
  under_way_ = false;
  rounds_.push_back({.number = round_, .block = writer_->flush(), .begun_ns = begun_ns_});  // marks.J4 is done
  return Step::done;
}

JournalRounds::Step JournalRounds::step_of(Visit visit) noexcept {
  switch (visit) {
    case Visit::buffers:
      return Step::buffers;
    case Visit::segments:
      return Step::segments;
    default:
      return Step::failed;
  }
}

Visit JournalRounds::visit_word(std::uint32_t word) {
  const CellIndex first = word * 64;
  std::uint64_t ahead = cells_.to_visit(word);
  for (std::uint32_t n = 0; ahead != 0 && n < visits_ahead; ++n, ahead &= ahead - 1) {
    prefetch_to_read(&table_.header(first + static_cast<CellIndex>(std::countr_zero(ahead))));
  }
  std::uint64_t settled = 0;
  Visit visited = Visit::done;
  while (visited == Visit::done) {
    const std::uint64_t left = cells_.to_visit(word);
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
    visited = visit_taken(index, Turn::others);
    if (visited == Visit::leads || visited == Visit::moves) {
      order_.put_off(index);
      visited = Visit::done;
    } else if (visited == Visit::done && in_flight_.is_durable(index)) {
      settled |= JournalMarks::bit_of(index);  // else its block settles it
    }
  }
  if (settled != 0) marks_.settle(word, settled);
  return visited;
}

Visit JournalRounds::visit_taken(CellIndex index, Turn turn) {
  const Visit visited = visits_.visit(index, cells_.believes_note(index), turn);
  if (visited != Visit::done) return visited;
  cells_.end_visit(index);
  if (turn != Turn::others && in_flight_.is_durable(index)) {
    marks_.settle(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  }
  return Visit::done;
}

JournalRounds::Published JournalRounds::publish() {
  in_flight_.take_durable([this](CellIndex index) {
    // It may wait for another visit: that settles it.
    if (!cells_.is_waiting(index)) marks_.settle(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  });
  const std::uint64_t durable = writer_->durable_block();
  const std::uint64_t before = durable_round_;
  while (!rounds_.empty() && rounds_.front().block <= durable) {
    durable_round_ = rounds_.front().number;
    rounds_.pop_front();
  }
  assert(durable_round_ >= before && durable_round_ <= round_);
  if (durable_round_ == before) return Published::nothing;
  words_->round_durable.store(durable_round_);
  return Published::rounds;
}

}  // namespace ringmill
