#include "core/journal/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>

#include "core/journal/file_names.h"
#include "core/journal/records.h"

namespace ringmill {

namespace {

/// How many segments of a gap are named one by one.
constexpr std::size_t most_named_missing = 1000;

Error newer_journal(SlotNumber slot, std::uint32_t version) {
  return Error(ErrorCode::incompatible, "this journal was written by a newer ringmill, which must read it",
               fmt::format("{} has format {}, this program knows {}", file_name_of(slot), version, journal_version));
}

Error foreign_journal(SlotNumber slot, std::uint64_t owner, std::uint64_t engine_id) {
  return Error(ErrorCode::incompatible, "the journal's directory has a file of another engine; move it away",
               fmt::format("{} belongs to engine {:016x}, this one is {:016x}", file_name_of(slot), owner, engine_id));
}

}  // namespace

Result<JournalChain> JournalChain::open(JournalDevice& device, std::uint64_t engine_id) {
  JournalChain chain(device, engine_id);
  auto numbers = device.slots();
  if (!numbers) return std::unexpected(std::move(numbers.error()));
  for (const SlotNumber number : *numbers) {
    const auto bytes = device.bytes_of(number);
    if (!bytes) return std::unexpected(bytes.error());
    chain.slots_.push_back({.number = number, .bytes = *bytes, .head = std::nullopt});
  }
  // All heads first: a foreign or newer file ends it before anything is read for long.
  for (Slot& slot : chain.slots_) {
    if (auto read = chain.read_head(slot); !read) return std::unexpected(std::move(read.error()));
  }
  for (const Slot& slot : chain.slots_) {
    if (auto added = chain.add_candidate(slot); !added) return std::unexpected(std::move(added.error()));
  }
  chain.keep_one_of_each();
  return chain;
}

Result<void> JournalChain::read_head(Slot& slot) {
  if (slot.bytes < journal_unit) return {};
  alignas(journal_unit) std::array<std::byte, journal_unit> unit;
  if (auto read = device_->read(slot.number, 0, unit); !read) return read;
  const auto head = whole_head_in(unit);
  if (!head) return {};
  if (head->version != journal_version) return std::unexpected(newer_journal(slot.number, head->version));
  if (head->engine_id != engine_id_) {
    return std::unexpected(foreign_journal(slot.number, head->engine_id, engine_id_));
  }
  if (head->segment == 0 || head->first_block == 0 || head->oldest > head->segment) return {};
  slot.head = head;
  oldest_ = std::max(oldest_, head->oldest);
  most_epoch_ = std::max(most_epoch_, head->epoch);
  return {};
}

Result<void> JournalChain::add_candidate(const Slot& slot) {
  SegmentCandidate segment;
  segment.slot = slot.number;
  segment.bytes = slot.bytes;
  if (slot.head) {
    segment.head = *slot.head;
    segment.bytes = std::min(slot.bytes, std::uint64_t{slot.head->segment_bytes_in_units} * journal_unit);
    candidates_.push_back(std::move(segment));
    return {};
  }
  auto blocks = right_blocks(slot.number, slot.bytes, 0);
  if (!blocks) return std::unexpected(std::move(blocks.error()));
  if (blocks->empty()) return {};  // never used, or torn when it was about to be
  const std::uint64_t newest = std::ranges::max(*blocks, {}, &BlockNote::segment).segment;
  std::erase_if(*blocks, [newest](const BlockNote& note) { return note.segment != newest; });
  const BlockNote& first = blocks->front();
  segment.has_head = false;
  segment.begin = first.offset;
  segment.head.engine_id = engine_id_;
  segment.head.segment = newest;
  segment.head.epoch = first.epoch;
  segment.head.first_block = first.number;
  candidates_.push_back(std::move(segment));
  return {};
}

void JournalChain::keep_one_of_each() {
  // Two of one number: a head that a dead keeper wrote arrived after the next keeper had taken the same number.
  std::ranges::sort(candidates_, [](const SegmentCandidate& one, const SegmentCandidate& other) {
    if (one.head.segment != other.head.segment) return one.head.segment < other.head.segment;
    if (one.has_head != other.has_head) return one.has_head;
    if (one.head.epoch != other.head.epoch) return one.head.epoch > other.head.epoch;
    return one.slot < other.slot;
  });
  const auto doubles = std::ranges::unique(candidates_, {}, [](const auto& segment) { return segment.head.segment; });
  candidates_.erase(doubles.begin(), doubles.end());
}

std::optional<BlockNote> JournalChain::note_of(const BlockHead& head, std::uint64_t offset,
                                               std::uint64_t end) const noexcept {
  if (head.magic != block_magic || head.engine_id != engine_id_) return std::nullopt;
  if (std::uint64_t{head.offset_in_units} * journal_unit != offset) return std::nullopt;
  if (head.bytes == 0 || head.bytes % journal_unit != 0 || head.bytes > most_block_bytes) return std::nullopt;
  if (head.bytes > end - offset || head.record_bytes > head.bytes - sizeof(BlockHead)) return std::nullopt;
  // What no writer says: then these bytes are none of ours, whatever their checksum.
  if (head.segment == 0 || head.number <= head.durable || head.oldest > head.segment) return std::nullopt;
  return BlockNote{.offset = offset,
                   .number = head.number,
                   .epoch = head.epoch,
                   .segment = head.segment,
                   .durable = head.durable,
                   .oldest = head.oldest,
                   .bytes = head.bytes};
}

/// All right blocks in a slot, in the order of their offsets; of one segment, or (0) of any.
Result<std::vector<BlockNote>> JournalChain::right_blocks(SlotNumber slot, std::uint64_t bytes, std::uint64_t segment) {
  std::vector<BlockNote> blocks;
  bytes_.use(slot, bytes);
  const std::uint64_t end = bytes / journal_unit * journal_unit;
  for (std::uint64_t offset = journal_unit; offset + journal_unit <= end;) {
    const auto unit = bytes_.view(offset, journal_unit);
    if (!unit) return std::unexpected(unit.error());
    const auto head = value_at<BlockHead>(*unit);
    const auto note = note_of(head, offset, end);
    offset += journal_unit;
    if (!note || (segment != 0 && note->segment != segment)) continue;
    const auto block = bytes_.view(note->offset, note->bytes);
    if (!block) return std::unexpected(block.error());
    if (checksum_of_block(*block) != head.checksum) continue;
    blocks.push_back(*note);
    most_epoch_ = std::max(most_epoch_, note->epoch);
    offset = note->offset + note->bytes;
  }
  return blocks;
}

namespace {

/// Rule 4: a newer keeper has given the number of a block, or one before it, to a block of its own. Found without the
/// block that stands between them, which may be damaged.
void drop_overtaken(std::vector<BlockNote>& blocks) {
  std::map<std::uint64_t, std::uint64_t, std::greater<>> least_by_epoch;  // the newest epoch first
  for (const BlockNote& note : blocks) {
    auto& least = least_by_epoch.try_emplace(note.epoch, note.number).first->second;
    least = std::min(least, note.number);
  }
  if (least_by_epoch.size() < 2) return;
  // Per epoch now the least number of all newer ones: from there on it is overtaken.
  std::uint64_t newer = ~std::uint64_t{0};
  for (auto& [epoch, bound] : least_by_epoch) bound = std::exchange(newer, std::min(newer, bound));
  std::erase_if(blocks, [&](const BlockNote& note) { return note.number >= least_by_epoch.at(note.epoch); });
}

}  // namespace

Result<void> JournalChain::survey(SegmentCandidate& segment) {
  if (segment.has_blocks) return {};
  auto blocks = right_blocks(segment.slot, segment.bytes, segment.head.segment);
  if (!blocks) return std::unexpected(std::move(blocks.error()));
  segment.blocks = *std::move(blocks);
  segment.has_blocks = true;
  segment.is_surveyed = true;
  for (const BlockNote& note : segment.blocks) segment.most_durable = std::max(segment.most_durable, note.durable);
  drop_overtaken(segment.blocks);
  return {};
}

/// Rule 3's evidence. A block that was composed when `number` was durable stands behind it: in this segment or in a
/// later one.
Result<bool> JournalChain::was_durable(std::size_t at, std::uint64_t number) {
  if (number == 0) return false;
  for (std::size_t n = at; n < candidates_.size(); ++n) {
    if (candidates_[n].is_surveyed && candidates_[n].most_durable >= number) return true;
  }
  for (std::size_t n = candidates_.size(); n-- > at;) {  // the newest says most
    SegmentCandidate& segment = candidates_[n];
    if (segment.is_surveyed) continue;
    if (auto surveyed = survey(segment); !surveyed) return std::unexpected(std::move(surveyed.error()));
    segment.forget();
    if (segment.most_durable >= number) return true;
  }
  return false;
}

/// Something that was meant to be this block stands there: all but one of its marks are right.
Result<bool> JournalChain::looks_like_block(const SegmentCandidate& segment, std::uint64_t offset,
                                            std::uint64_t number) {
  if (offset + journal_unit > segment.bytes) return false;
  bytes_.use(segment.slot, segment.bytes);
  const auto unit = bytes_.view(offset, journal_unit);
  if (!unit) return std::unexpected(unit.error());
  const auto head = value_at<BlockHead>(*unit);
  const int marks = (head.magic == block_magic ? 1 : 0) + (head.engine_id == engine_id_ ? 1 : 0) +
                    (head.segment == segment.head.segment ? 1 : 0) + (head.number == number ? 1 : 0) +
                    (std::uint64_t{head.offset_in_units} * journal_unit == offset ? 1 : 0);
  return marks >= 4;
}

Result<DamagedBytes> JournalChain::damaged(const SegmentCandidate& segment, std::uint64_t from, std::uint64_t to,
                                           std::uint64_t number) {
  const auto is_there = looks_like_block(segment, from, number);
  if (!is_there) return std::unexpected(is_there.error());
  return DamagedBytes{.segment = segment.head.segment,
                      .slot = segment.slot,
                      .offset = from,
                      .bytes = std::max(from, to) - from,
                      .reason = *is_there ? "checksum" : "lost",
                      .number = number};
}

Result<ChainLink> JournalChain::walk(std::size_t at, std::uint64_t last_number, std::uint64_t last_epoch) {
  SegmentCandidate& segment = candidates_[at];
  if (auto surveyed = survey(segment); !surveyed) return std::unexpected(std::move(surveyed.error()));
  ChainLink link{.segment = &segment,
                 .blocks = {},
                 .damage = {},
                 .last_number = last_number,
                 .last_epoch = last_epoch,
                 .end = segment.begin};
  if (!segment.has_head) {
    link.damage.push_back({.segment = segment.head.segment,
                           .slot = segment.slot,
                           .offset = 0,
                           .bytes = segment.begin,
                           .reason = "head",
                           .number = last_number});
  }
  for (const BlockNote& note : segment.blocks) {
    if (note.number <= link.last_number || note.epoch < link.last_epoch) continue;  // stale
    if (note.offset != link.end || note.number != link.last_number + 1) {
      const auto durable = was_durable(at, link.last_number + 1);
      if (!durable) return std::unexpected(durable.error());
      link.is_torn = !*durable;
      if (link.is_torn) break;
      auto damage = damaged(segment, link.end, note.offset, link.last_number + 1);
      if (!damage) return std::unexpected(std::move(damage.error()));
      link.damage.push_back(*damage);
      // Some blocks before this one were durable; it counts only if all were.
      const auto all_durable = was_durable(at, note.number - 1);
      if (!all_durable) return std::unexpected(all_durable.error());
      link.is_torn = !*all_durable;
      if (link.is_torn) break;
    }
    link.blocks.push_back(note);
    link.last_number = note.number;
    link.last_epoch = note.epoch;
    link.end = note.offset + note.bytes;
  }
  return link;
}

/// Rule 5.
void JournalChain::cut(std::size_t at, ChainLink& link) const noexcept {
  std::uint64_t from = ~std::uint64_t{0};
  for (std::size_t n = at + 1; n < candidates_.size(); ++n) {
    const SegmentHead& head = candidates_[n].head;
    if (head.epoch >= link.last_epoch) from = std::min(from, head.first_block);
  }
  if (from > link.last_number + 1) return;
  std::erase_if(link.blocks, [from](const BlockNote& note) { return note.number >= from; });
  std::erase_if(link.damage, [from](const DamagedBytes& damage) { return damage.number >= from; });
  link.is_torn = false;
  if (from > link.last_number) return;
  link.last_number = from - 1;
  link.end = link.segment->begin;
  if (link.blocks.empty()) return;
  const BlockNote& last = link.blocks.back();
  link.last_epoch = last.epoch;
  link.end = last.offset + last.bytes;
}

/// Rule 6.
Result<std::optional<std::size_t>> JournalChain::next_of(std::size_t at, ChainLink& link) {
  cut(at, link);
  std::optional<std::size_t> behind_a_gap;
  for (std::size_t n = at + 1; n < candidates_.size(); ++n) {
    const SegmentHead& head = candidates_[n].head;
    if (head.epoch < link.last_epoch) continue;
    if (head.first_block == link.last_number + 1) return n;
    if (head.first_block > link.last_number && !behind_a_gap) behind_a_gap = n;
  }
  if (!behind_a_gap) return std::nullopt;
  const auto durable = was_durable(at, link.last_number + 1);
  if (!durable) return std::unexpected(durable.error());
  if (!*durable) return std::nullopt;
  if (auto added = add_gap(at, *behind_a_gap, link); !added) return std::unexpected(std::move(added.error()));
  return behind_a_gap;
}

Result<void> JournalChain::add_gap(std::size_t at, std::size_t next, ChainLink& link) {
  const SegmentCandidate& segment = candidates_[at];
  const SegmentCandidate& after = candidates_[next];
  const std::size_t known = link.damage.size();
  std::size_t between = at + 1;
  for (std::uint64_t number = segment.head.segment + 1;
       number < after.head.segment && link.damage.size() - known < most_named_missing; ++number) {
    if (between < next && candidates_[between].head.segment == number) {
      ++between;
      continue;
    }
    link.damage.push_back({.segment = number,
                           .slot = 0,
                           .offset = 0,
                           .bytes = segment.bytes,
                           .reason = "missing",
                           .number = link.last_number + 1});
  }
  if (link.damage.size() > known) return {};                     // whole files are gone
  if (!after.has_head && after.begin > journal_unit) return {};  // its head's damage reaches up to there
  auto damage = damaged(segment, link.end, segment.bytes, link.last_number + 1);
  if (!damage) return std::unexpected(std::move(damage.error()));
  link.damage.push_back(*damage);
  return {};
}

/// The end of the chain: nothing, something torn, or damage that reaches to the end.
Result<void> JournalChain::finish(std::size_t at, ChainLink& link) {
  const SegmentCandidate& segment = candidates_[at];
  for (std::size_t n = at + 1; n < candidates_.size(); ++n) {
    if (candidates_[n].is_surveyed) continue;
    if (auto surveyed = survey(candidates_[n]); !surveyed) return surveyed;
    candidates_[n].forget();
  }
  const auto durable = was_durable(at, link.last_number + 1);
  if (!durable) return std::unexpected(durable.error());
  if (*durable) {
    auto damage = damaged(segment, link.end, segment.bytes, link.last_number + 1);
    if (!damage) return std::unexpected(std::move(damage.error()));
    link.damage.push_back(*damage);
    link.is_torn = false;
    return {};
  }
  if (link.is_torn) return {};
  const auto begun = looks_like_block(segment, link.end, link.last_number + 1);
  if (!begun) return std::unexpected(begun.error());
  link.is_torn = *begun;
  return {};
}

Result<ChainEnd> JournalChain::follow(std::size_t start, const Visit& visit) {
  ChainEnd end;
  std::size_t at = start;
  std::uint64_t last_number = candidates_[at].head.first_block - 1;
  std::uint64_t last_epoch = candidates_[at].head.epoch;
  std::uint64_t run_begin = last_number + 1;  // from there on no block is missing
  std::uint64_t durable = 0;                  // the highest that the chain has shown so far
  for (;;) {
    auto link = walk(at, last_number, last_epoch);
    if (!link) return std::unexpected(std::move(link.error()));
    const auto next = next_of(at, *link);
    if (!next) return std::unexpected(next.error());
    if (!*next) {
      if (auto finished = finish(at, *link); !finished) return std::unexpected(std::move(finished.error()));
    }
    for (const BlockNote& note : link->blocks) {
      if (note.number != last_number + 1) run_begin = note.number;
      last_number = note.number;
      durable = std::max(durable, note.durable);
      if (durable + 1 < run_begin) continue;
      end.is_anchored = true;
      end.oldest = std::max(end.oldest, note.oldest);
    }
    end.is_damaged = end.is_damaged || !link->damage.empty();
    if (visit) {
      if (auto visited = visit(*link); !visited) return std::unexpected(std::move(visited.error()));
    }
    if (!*next) {
      end.candidate = at;
      end.last_number = link->last_number;
      end.last_epoch = link->last_epoch;
      end.end = link->end;
      end.is_torn = link->is_torn;
      return end;
    }
    at = **next;
    // Blocks that are missing between the two end the run: the next number is not the one behind `last_number`.
    last_number = link->last_number;
    if (candidates_[at].head.first_block != last_number + 1) {
      last_number = candidates_[at].head.first_block - 1;
      run_begin = last_number + 1;
    }
    last_epoch = std::max(link->last_epoch, candidates_[at].head.epoch);
  }
}

Result<std::optional<ChainEnd>> JournalChain::find_end() {
  if (candidates_.empty()) return std::nullopt;
  constexpr int most_tries = 4;  // with one more segment each time; then the whole
  std::size_t start = candidates_.size() - 1;
  for (int tries = 1;; ++tries) {
    auto end = follow(start);
    if (!end) return std::unexpected(std::move(end.error()));
    if (end->is_anchored || start <= first()) {
      oldest_ = std::max(oldest_, end->oldest);
      return *end;
    }
    start = tries < most_tries ? start - 1 : first();
  }
}

std::size_t JournalChain::first() const noexcept {
  const auto counts = [this](const SegmentCandidate& segment) { return segment.head.segment >= oldest_; };
  const auto found = std::ranges::find_if(candidates_, counts);
  return static_cast<std::size_t>(found - candidates_.begin());
}

Result<std::optional<std::span<const std::byte>>> JournalChain::block(const SegmentCandidate& segment,
                                                                      const BlockNote& note) {
  bytes_.use(segment.slot, segment.bytes);
  const auto block = bytes_.view(note.offset, note.bytes);
  if (!block) return std::unexpected(block.error());
  const auto head = value_at<BlockHead>(*block);
  const auto again = note_of(head, note.offset, segment.bytes);
  const bool same = again && again->bytes == note.bytes && again->number == note.number &&
                    again->segment == note.segment && head.checksum == checksum_of_block(*block);
  if (!same) return std::nullopt;
  return *block;
}

}  // namespace ringmill
