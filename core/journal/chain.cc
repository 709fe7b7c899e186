#include "core/journal/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/journal/file_names.h"
#include "core/journal/records.h"

namespace ringmill {

namespace {

/// The most segments of a gap that are named one by one.
constexpr std::size_t most_named_missing = 1000;

Error newer_journal(SlotNumber slot, std::uint32_t version) {
  return Error(ErrorCode::incompatible, "this journal was written by a newer ringmill: use that version",
               fmt::format("{} has format {}, this program knows {}", file_name_of(slot), version, journal_version));
}

Error foreign_journal(SlotNumber slot, std::uint64_t owner, std::uint64_t engine_id) {
  return Error(ErrorCode::incompatible, "the journal's directory has a file of another engine; move it away",
               fmt::format("{} belongs to engine {:016x}, this one is {:016x}", file_name_of(slot), owner, engine_id));
}

}  // namespace

Result<JournalChain> JournalChain::open(JournalDevice& device, std::uint64_t engine_id, std::uint64_t most_bytes) {
  JournalChain chain(device, engine_id, most_bytes);
  auto numbers = device.slots();
  if (!numbers) return std::unexpected(std::move(numbers.error()));
  for (const SlotNumber number : *numbers) {
    const auto bytes = device.bytes_of(number);
    if (!bytes) return std::unexpected(bytes.error());
    chain.slots_.push_back({.number = number,
                            .bytes = std::min(*bytes, most_bytes),
                            .is_longer = *bytes > most_bytes,
                            .head = std::nullopt});
  }
  // Read all heads first: a foreign or newer file ends the reading before it takes long.
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
    const std::uint64_t said = std::uint64_t{slot.head->segment_bytes_in_units} * journal_unit;
    segment.bytes = std::min(slot.bytes, said);
    segment.is_cut = slot.is_longer && said > slot.bytes;
    candidates_.push_back(std::move(segment));
    return {};
  }
  const auto blocks = right_blocks(slot.number, slot.bytes, 0);
  if (!blocks) return std::unexpected(blocks.error());
  if (blocks->empty()) return {};  // never used, or torn when it was about to be
  const std::uint64_t newest = std::ranges::max(*blocks, {}, &BlockNote::segment).segment;
  const BlockNote& first = *std::ranges::find(*blocks, newest, &BlockNote::segment);
  segment.has_head = false;
  segment.head.engine_id = engine_id_;
  segment.head.segment = newest;
  segment.head.epoch = first.epoch;
  segment.head.first_block = first.number - first.index;
  segment.head.previous_end_in_units = first.previous_end_in_units;
  candidates_.push_back(std::move(segment));
  return {};
}

void JournalChain::keep_one_of_each() {
  // Two segments with one number: the head of a dead keeper arrived after the next keeper had taken the number.
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
  // No writer writes this: the bytes are not ours, whatever their checksum.
  if (head.segment == 0 || head.number <= head.durable || head.oldest > head.segment) return std::nullopt;
  if (head.index >= head.number || head.number - head.index > head.durable + 1) return std::nullopt;
  const std::uint64_t durable_end = std::uint64_t{head.durable_end_in_units} * journal_unit;
  if (durable_end < journal_unit || durable_end > offset) return std::nullopt;
  return BlockNote{.offset = offset,
                   .number = head.number,
                   .epoch = head.epoch,
                   .segment = head.segment,
                   .durable = head.durable,
                   .durable_end = durable_end,
                   .oldest = head.oldest,
                   .bytes = head.bytes,
                   .index = head.index,
                   .previous_end_in_units = head.previous_end_in_units};
}

/// Returns all right blocks of a slot in the order of their offsets: of one segment, or of any (0).
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

/// Returns whether the bytes were meant to be this block: all but one of its marks are right.
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

/// Reports as damage what is missing from the present end of the link up to `to`.
Result<void> JournalChain::add_damage(std::uint64_t to, ChainLink& link) {
  const SegmentCandidate& segment = *link.segment;
  const auto is_there = looks_like_block(segment, link.end, link.last_number + 1);
  if (!is_there) return std::unexpected(is_there.error());
  link.damage.push_back({.segment = segment.head.segment,
                         .slot = segment.slot,
                         .offset = link.end,
                         .bytes = to - link.end,
                         .reason = *is_there ? "checksum" : "lost"});
  return {};
}

/// Rule 2.
JournalChain::Reach JournalChain::reach_of(std::size_t at, std::span<const BlockNote> blocks) const noexcept {
  const SegmentCandidate& segment = candidates_[at];
  if (at + 1 < candidates_.size() && candidates_[at + 1].head.segment == segment.head.segment + 1) {
    const SegmentHead& next = candidates_[at + 1].head;
    const std::uint64_t end = std::min(std::uint64_t{next.previous_end_in_units} * journal_unit, most_bytes_);
    return {.end = std::max<std::uint64_t>(end, journal_unit), .last_number = next.first_block - 1, .is_all = true};
  }
  Reach reach{.last_number = segment.head.first_block - 1, .epoch = segment.has_head ? segment.head.epoch : 0};
  for (const BlockNote& note : blocks) {
    if (std::pair(note.epoch, note.durable) <= std::pair(reach.epoch, reach.last_number)) continue;
    reach = {.end = note.durable_end, .last_number = note.durable, .epoch = note.epoch};
  }
  return reach;
}

namespace {

void count(const BlockNote& note, ChainLink& link) {
  link.blocks.push_back(note);
  link.last_number = note.number;
  link.end = note.offset + note.bytes;
}

}  // namespace

/// Rule 3, for `blocks` in front of reach.end.
Result<void> JournalChain::add_known(const Reach& reach, std::span<const BlockNote> blocks, ChainLink& link) {
  std::uint64_t epoch = link.segment->has_head ? link.segment->head.epoch : 0;
  for (const BlockNote& note : blocks) {
    const bool is_in_order = note.number > link.last_number && note.number <= reach.last_number && note.epoch >= epoch;
    if (!is_in_order) continue;
    if (note.offset > link.end) {
      if (auto added = add_damage(note.offset, link); !added) return added;
    }
    count(note, link);
    epoch = note.epoch;
  }
  if (link.end < reach.end) {
    if (auto added = add_damage(reach.end, link); !added) return added;
    link.end = reach.end;
  }
  link.last_number = reach.last_number;
  return {};
}

/// Rule 4, for `blocks` behind reach.end.
Result<void> JournalChain::add_run(std::size_t at, const Reach& reach, std::span<const BlockNote> blocks,
                                   ChainLink& link) {
  const bool is_newest = at + 1 == candidates_.size();
  // Segments are missing behind this one. Their first blocks are unknown; that of the next existing one is known.
  const std::uint64_t bound = is_newest ? ~std::uint64_t{0} : candidates_[at + 1].head.first_block;
  std::uint64_t epoch = link.blocks.empty() ? reach.epoch : std::max(reach.epoch, link.blocks.back().epoch);
  for (const BlockNote& note : blocks) {
    const bool is_next =
        note.offset == link.end && note.number == link.last_number + 1 && note.number < bound && note.epoch >= epoch;
    if (!is_next) break;
    count(note, link);
    epoch = note.epoch;
  }
  if (!is_newest) return {};
  const auto begun = is_begun_behind(link, epoch);
  if (!begun) return std::unexpected(begun.error());
  link.is_torn = *begun;
  return {};
}

/// Returns whether a block was begun behind the end of the newest segment, in the same or a later epoch than the block
/// that recorded the end.
Result<bool> JournalChain::is_begun_behind(const ChainLink& link, std::uint64_t epoch) {
  const SegmentCandidate& segment = *link.segment;
  auto begun = looks_like_block(segment, link.end, link.last_number + 1);
  if (!begun || *begun) return begun;
  bytes_.use(segment.slot, segment.bytes);
  for (std::uint64_t offset = link.end; offset + journal_unit <= segment.bytes; offset += journal_unit) {
    const auto unit = bytes_.view(offset, journal_unit);
    if (!unit) return std::unexpected(unit.error());
    const auto head = value_at<BlockHead>(*unit);
    const bool is_ours = head.magic == block_magic && head.engine_id == engine_id_ &&
                         head.segment == segment.head.segment && head.offset_in_units == offset / journal_unit;
    if (is_ours && head.number > link.last_number && head.epoch >= epoch) return true;
  }
  return false;
}

/// Segments between this one and the next whose files are gone.
void JournalChain::add_missing(std::size_t at, ChainLink& link) const {
  if (at + 1 == candidates_.size()) return;
  const std::uint64_t first = link.segment->head.segment + 1;
  const std::uint64_t end = std::min(candidates_[at + 1].head.segment, first + most_named_missing);
  for (std::uint64_t number = first; number < end; ++number) {
    link.damage.push_back(
        {.segment = number, .slot = 0, .offset = 0, .bytes = link.segment->bytes, .reason = "missing"});
  }
}

Result<ChainLink> JournalChain::link(std::size_t at) {
  const SegmentCandidate& segment = candidates_[at];
  const auto blocks = right_blocks(segment.slot, segment.bytes, segment.head.segment);
  if (!blocks) return std::unexpected(blocks.error());
  ChainLink link{.segment = &segment,
                 .blocks = {},
                 .damage = {},
                 .last_number = segment.head.first_block - 1,
                 .end = journal_unit};
  if (!segment.has_head) {
    link.damage.push_back(
        {.segment = segment.head.segment, .slot = segment.slot, .offset = 0, .bytes = journal_unit, .reason = "head"});
  }
  const Reach reach = reach_of(at, *blocks);
  const auto behind = std::ranges::lower_bound(*blocks, reach.end, {}, &BlockNote::offset);
  if (auto added = add_known(reach, {blocks->begin(), behind}, link); !added) {
    return std::unexpected(std::move(added.error()));
  }
  if (!reach.is_all) {
    if (auto added = add_run(at, reach, {behind, blocks->end()}, link); !added) {
      return std::unexpected(std::move(added.error()));
    }
  }
  if (segment.is_cut) {
    link.damage.push_back({.segment = segment.head.segment,
                           .slot = segment.slot,
                           .offset = segment.bytes,
                           .bytes = 0,
                           .reason = "longer than this engine's segments: what is behind this place was not read"});
  }
  add_missing(at, link);
  return link;
}

Result<std::optional<ChainLink>> JournalChain::find_end() {
  std::optional<ChainLink> newest;
  for (std::size_t at = candidates_.size(); at-- > 0;) {
    auto link = this->link(at);
    if (!link) return std::unexpected(std::move(link.error()));
    for (const BlockNote& note : link->blocks) oldest_ = std::max(oldest_, note.oldest);  // rule 5
    const bool has_blocks = !link->blocks.empty();
    if (!newest) newest = *std::move(link);
    if (has_blocks) break;
  }
  return newest;
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
