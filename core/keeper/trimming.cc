#include "core/keeper/trimming.h"

#include <algorithm>

#include "core/base/log.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/sleepers.h"
#include "ipc/visits.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

constexpr std::size_t most_in_a_group = 64;
/// A thousand swaps of cold words each: about 60 us.
constexpr int most_begun_in_a_turn = 8;
/// About 15 us each.
constexpr int most_freed_in_a_turn = 32;
constexpr std::uint64_t most_between_looks_ns = 1'000'000'000;
/// Calls take less, but for the largest; a longer one costs a group that is begun again.
constexpr std::uint64_t longest_wait_ns = 50'000'000;
/// Until the next group, after one that was taken back.
constexpr std::uint64_t rest_ns = 1'000'000'000;

}  // namespace

Trimming::Trimming(const Segment& segment, std::uint32_t number)
    : segment_(&segment),
      table_(segment),
      chunks_(segment.chunks()),
      map_(segment.free_map()),
      growth_(segment),
      owner_(number + 1),
      keep_ns_(std::min(segment.header().keep_memory_ms.load(), most_wait_ms) * 1'000'000),
      arena_(segment, keep_ns_),
      free_since_ns_(chunks_.count(), 0) {
  for (std::uint32_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    if (chunks_.word(chunk).state != ChunkState::leaving) continue;
    chunks_.clear_bit(chunk);
    leaving_.push_back(chunk);
  }
  is_inherited_ = !leaving_.empty();
  if (!leaving_.empty()) phase_ = ask_for_quiet() ? Phase::waiting : Phase::collecting;
}

void Trimming::turn(std::uint64_t now_ns) {
  if (!can_wait_) return;
  switch (phase_) {
    case Phase::collecting:
      if (chosen_.empty() && leaving_.empty() && now_ns >= look_at_ns_) look(now_ns);
      arena_.look(now_ns);
      if (!has_begun() || !is_busy()) return;
      wait_ends_ns_ = now_ns + longest_wait_ns;
      if (ask_for_quiet()) phase_ = Phase::waiting;
      return;
    case Phase::waiting:
      if (is_quiet()) {
        phase_ = Phase::freeing;
      } else if (must_take_back(now_ns)) {
        take_back(now_ns);
      }
      return;
    case Phase::freeing:
      if (!has_finished()) return;
      is_inherited_ = false;
      phase_ = Phase::collecting;
      return;
  }
}

bool Trimming::has_begun() {
  for (int n = 0; n < most_begun_in_a_turn && !chosen_.empty() && leaving_.size() < most_in_a_group; ++n) {
    if (begin(chosen_.back())) leaving_.push_back(chosen_.back());
    chosen_.pop_back();
  }
  const bool more_cells = !chosen_.empty() && leaving_.size() < most_in_a_group;
  return !arena_.begin_some() && !more_cells;
}

bool Trimming::has_finished() noexcept {
  for (int n = 0; n < most_freed_in_a_turn && !leaving_.empty(); ++n) {
    finish(leaving_.back());
    leaving_.pop_back();
  }
  const bool more_extents = arena_.finish_some();
  if (more_extents || !leaving_.empty()) return false;
  lower_common_end();
  return true;
}

void Trimming::look(std::uint64_t now_ns) {
  look_at_ns_ = now_ns + std::clamp<std::uint64_t>(keep_ns_ / 4, 1'000'000, most_between_looks_ns);
  for (std::uint32_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    if (!chunks_.has(chunk) || !is_all_free(chunk)) {
      free_since_ns_[chunk] = 0;
    } else if (free_since_ns_[chunk] == 0) {
      free_since_ns_[chunk] = now_ns;
    }
  }
  const std::uint32_t common = growth_.common_chunks(chunks_);
  const std::uint32_t there = chunks_.count_there(0, common);
  std::uint32_t in_use = 0;
  for (std::uint32_t chunk = 0; chunk < common; ++chunk) {
    if (chunks_.has(chunk) && free_since_ns_[chunk] == 0) ++in_use;
  }
  choose(0, common, std::max(Growth::common_first(*segment_), in_use + in_use / 8 + 1), now_ns);
  const auto left = there - static_cast<std::uint32_t>(std::min<std::size_t>(there, chosen_.size()));
  for (std::uint32_t place = 0; place <= most_fixed_levels; ++place) {
    const CellRange own = growth_.room().own_by_place(place);
    if (own.size() == 0) continue;
    // A chunk may hold cells of two ranges: the first one of a range stays.
    const std::uint32_t first = chunks_.chunk_of(own.first);
    choose(first, chunks_.chunk_of(own.end - 1) + 1, Growth::share_of(chunks_, own, left, common) + 1, now_ns);
  }
}

void Trimming::choose(std::uint32_t first, std::uint32_t end, std::uint32_t to_keep, std::uint64_t now_ns) {
  std::uint32_t there = chunks_.count_there(first, end);
  std::vector<std::uint32_t> go;
  for (std::uint32_t chunk = end; chunk-- > first && there > to_keep;) {
    const std::uint64_t since_ns = free_since_ns_[chunk];
    if (since_ns == 0 || now_ns - since_ns < keep_ns_) continue;
    go.push_back(chunk);
    --there;
  }
  // The last one is begun first.
  chosen_.insert(chosen_.begin(), go.rbegin(), go.rend());
}

bool Trimming::is_all_free(std::uint32_t chunk) const noexcept {
  for (CellIndex cell = chunks_.first_cell(chunk); cell < chunks_.end_cell(chunk); cell += 64) {
    if (map_.word(cell / 64) != ~std::uint64_t{0}) return false;
  }
  return true;
}

bool Trimming::begin(std::uint32_t chunk) noexcept {
  const CellChunks::Word before = chunks_.word(chunk);
  if (before.state != ChunkState::present || !chunks_.has(chunk) || has_marks(chunk)) return false;
  free_since_ns_[chunk] = 0;
  std::uint64_t base = before.base;
  for (CellIndex first = chunks_.first_cell(chunk); first < chunks_.end_cell(chunk); first += 64) {
    FreeMap::Taken listed = map_.take(first, first + 64);
    std::uint64_t ours = 0;
    for (CellIndex index = first; index < first + 64; ++index) {
      if ((listed.bits >> (index - first) & 1) == 0) break;
      const StateWord word = table_.word(index);
      std::uint64_t expected = word.bits();
      if (word.state() != CellState::free ||
          !table_.state(index).compare_exchange_strong(expected, word.next(CellState::filling, owner_).bits())) {
        break;  // give.B1
      }
      ours |= std::uint64_t{1} << (index - first);
      base = std::max(base, word.generation());
    }
    if (ours == ~std::uint64_t{0}) continue;
    map_.put(first, listed.bits & ~ours);
    free_cells(chunk, first);
    for (CellIndex index = first; index < first + 64; ++index) {
      if ((ours >> (index - first) & 1) == 0) continue;
      table_.state(index).store(table_.freed(table_.word(index)).bits());
      map_.put_cell(index);
    }
    wake_for_space(*segment_);
    return false;
  }
  if (!chunks_.swap(chunk, before, {.state = ChunkState::leaving, .base = base})) {  // give.B2
    free_cells(chunk, chunks_.end_cell(chunk));
    return false;
  }
  chunks_.clear_bit(chunk);  // give.B3
  return true;
}

void Trimming::free_cells(std::uint32_t chunk, CellIndex end) noexcept {
  for (CellIndex index = chunks_.first_cell(chunk); index < end; ++index) {
    const StateWord word = table_.word(index);
    // Of a keeper that was killed on the way as well: no other participant has a cell of a chunk that leaves.
    if (word.state() != CellState::filling) continue;
    std::uint64_t expected = word.bits();
    if (table_.state(index).compare_exchange_strong(expected, table_.freed(word).bits())) map_.put_cell(index);
  }
  wake_for_space(*segment_);
}

bool Trimming::ask_for_quiet() {
  segment_->signals().chunks_left.fetch_add(1);
  open_.clear();
  can_wait_ = make_barrier_everywhere();
  if (!can_wait_) {
    log().info("this kernel refuses membarrier(): the memory of cells is taken as needed, and not given back");
    for (const std::uint32_t chunk : leaving_) keep(chunk);
    leaving_.clear();
    arena_.keep_all();
    return false;
  }
  const auto note = [this](const std::atomic<std::uint64_t>& visit, std::uint32_t number) {
    if (const std::uint64_t value = visit.load(); value % 2 != 0) open_.push_back({&visit, value, number});
  };
  for_each_entry_in_use(
      *segment_, [&](std::uint32_t number, ParticipantState) { note(segment_->participant(number).visit, number); });
  note(segment_->journal().visit, most_participants);
  note(segment_->signals().burial_visit, most_participants);
  return true;
}

bool Trimming::is_quiet() noexcept {
  std::erase_if(open_, [this](const Open& open) {
    if (open.visit->load() != open.value) return true;
    // A dead one's visit ends when it is reaped: what it had begun is done, or undone, then.
    return open.number < most_participants &&
           EntryState::of(segment_->participant(open.number)).state == ParticipantState::free;
  });
  return open_.empty() && segment_->has_no_looks();  // give.B4
}

bool Trimming::must_take_back(std::uint64_t now_ns) const noexcept {
  if (is_inherited_) return false;
  return now_ns >= wait_ends_ns_ || Sleepers(*segment_, segment_->signals().space_waiters).any();
}

void Trimming::take_back(std::uint64_t now_ns) noexcept {
  for (const std::uint32_t chunk : leaving_) keep(chunk);
  leaving_.clear();
  chosen_.clear();
  arena_.take_back(now_ns + rest_ns);
  open_.clear();
  look_at_ns_ = now_ns + rest_ns;
  phase_ = Phase::collecting;
}

void Trimming::finish(std::uint32_t chunk) noexcept {
  const CellChunks::Word word = chunks_.word(chunk);
  if (has_marks(chunk) || chunks_.has(chunk) || segment_->free_chunk(chunk) != 0) {  // give.B6
    keep(chunk);
    return;
  }
  chunks_.swap(chunk, word, {.state = ChunkState::absent, .base = word.base});  // give.B7
}

void Trimming::keep(std::uint32_t chunk) noexcept {
  const CellChunks::Word word = chunks_.word(chunk);
  chunks_.swap(chunk, word, {.state = ChunkState::present, .base = word.base});
  chunks_.set_bit_again(chunk);
  free_cells(chunk, chunks_.end_cell(chunk));  // give.B5
  // Marks of its cells were passed over meanwhile.
  static_cast<void>(segment_->keeper_marks().call());
  ring_journal(*segment_);
}

bool Trimming::has_marks(std::uint32_t chunk) const noexcept {
  const JournalMarks marks = segment_->marks();
  const KeeperMarks keeper_marks = segment_->keeper_marks();
  for (CellIndex cell = chunks_.first_cell(chunk); cell < chunks_.end_cell(chunk); cell += 64) {
    if ((marks.marked(cell / 64) | marks.pending(cell / 64) | keeper_marks.word(cell / 64)) != 0) return true;
  }
  return false;
}

void Trimming::lower_common_end() noexcept {
  SharedWord<std::uint64_t>& common_end = segment_->signals().common_end;
  const std::uint64_t before = common_end.load_once().unbounded();
  std::uint32_t chunk = growth_.common_chunks(chunks_);
  while (chunk > 0 && !chunks_.has(chunk - 1)) --chunk;
  const std::uint64_t end = chunk == 0 ? 0 : chunks_.end_cell(chunk - 1);
  // A hint. Where a grower raises it meanwhile the swap fails, or its chunk is counted in the slower way.
  if (end < before) static_cast<void>(common_end.swap(before, end));
}

}  // namespace ringmill
