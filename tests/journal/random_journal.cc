#include "tests/journal/random_journal.h"

#include <algorithm>
#include <span>

namespace ringmill::test {

namespace {
constexpr std::uint32_t most_text_bytes = 200;
}  // namespace

RandomJournal::RandomJournal(std::uint64_t seed, int steps) : random(seed) {
  written.segment_bytes = (10 + below(15)) * journal_unit;
  written.lag = 1 + below(5);
  begin_segment();
  for (int step = 0; step < steps; ++step) {
    const std::uint64_t what = below(20);
    if (what == 0) {
      written.take_over(written.number);  // in good order
      durable_ = written.number;
    } else if (what == 1) {
      crash(true);
    } else {
      write_block();
    }
  }
  if (below(2) == 0) crash(false);
}

std::uint64_t RandomJournal::durable_oldest() const {
  std::uint64_t oldest = 1;
  for (const Block& block : chain_) {
    if (block.number <= durable_) oldest = std::max(oldest, block.oldest);
  }
  return oldest;
}

void RandomJournal::begin_segment() {
  constexpr std::size_t most_in_use = 5;
  durable_ = written.number;
  before_newest_.clear();
  const std::uint64_t free_below = durable_oldest();
  SlotNumber slot = next_slot_;
  const auto is_free = [&](const auto& entry) { return entry.first < free_below; };
  const auto free = std::ranges::find_if(segments_, is_free);
  if (free != segments_.end() && below(4) != 0) {
    slot = free->second;
    segments_.erase(free);
  } else {
    ++next_slot_;
  }
  written.oldest_in_head = free_below;
  written.begin(slot);
  segments_[written.segment] = slot;
  std::vector<std::uint64_t> in_use;
  for (const auto& [segment, its_slot] : segments_) {
    if (segment >= written.oldest) in_use.push_back(segment);
  }
  if (in_use.size() > most_in_use) written.oldest = in_use[1];  // as if its survivors stood in the blocks so far
}

void RandomJournal::write_large_job(BlockBuilder& builder, std::uint32_t bytes) {
  const std::uint64_t id = next_id_++;
  const std::string text = HandWritten::payload_of(id, bytes);
  const auto to = builder.append_part({.part_bytes = bytes, .id = id, .payload_bytes = bytes});
  std::memcpy(to.data(), text.data(), text.size());
  written.lines.push_back(HandWritten::part_line(id, 0, text));
  LargeJobRecord large{.first_segment = written.segment};
  large.job.payload_bytes = bytes;
  large.job.id = id;
  large.job.enqueued_at_ms_and_attempts = 1764000000000 + id;
  large.job.kind = 1;
  builder.append_large_job(large);
  written.lines.push_back(HandWritten::large_line(id, bytes));
}

/// Every other one has notes behind them.
void RandomJournal::write_options(BlockBuilder& builder, std::uint64_t id) {
  const bool has_notes = id % 2 == 0;
  const auto flags = static_cast<std::uint16_t>(has_notes ? 2 + 2048 : 2);
  builder.append_options({.cell_flags = flags, .retry_policy = 2, .id = id, .keep_ms = id});
  written.lines.push_back(HandWritten::options_line(id, id));
  if (!has_notes) return;
  const std::string tag = HandWritten::payload_of(id, static_cast<std::uint32_t>(id % (most_noted_tag_bytes + 1)));
  builder.append_notes({.trace_flags = 1, .id = id, .retried_from = id - 1, .trace_id = {1, 2, 3}}, tag);
  written.lines.push_back(HandWritten::notes_line(id, tag));
}

void RandomJournal::write_block() {
  std::vector<std::uint32_t> payloads(1 + below(3));
  auto bytes =
      static_cast<std::uint32_t>(sizeof(BlockHead) + 3 * sizeof(ShortRecord) + 2 * BlockBuilder::bytes_of_kind(16) +
                                 payloads.size() * (sizeof(OptionsRecord) + BlockBuilder::most_bytes_of_notes()) +
                                 BlockBuilder::bytes_of_change(most_text_bytes));
  for (std::uint32_t& payload : payloads) {
    payload = static_cast<std::uint32_t>(below(4) == 0 ? below(9000) : below(100));
    bytes += BlockBuilder::bytes_of_job(payload);
  }
  // Now and then a large job, of one part: a segment has no room for more.
  const std::uint32_t part_bytes = below(5) == 0 ? static_cast<std::uint32_t>(1 + below(3000)) : 0;
  if (part_bytes != 0)
    bytes += BlockBuilder::bytes_of_part(part_bytes) + static_cast<std::uint32_t>(sizeof(LargeJobRecord));
  if (written.offset + in_whole_units(bytes) > written.segment_bytes) begin_segment();
  written.lines.clear();
  const std::uint64_t begin = written.offset;
  const std::uint64_t shorts = below(4);
  written.block_of([&](BlockBuilder& builder) {
    if (begin == journal_unit) {
      builder.append_kind(1, "mail");
      written.lines.emplace_back("kind 1 mail");
      builder.append_retry_policy(2, "fixed:5s");
      written.lines.emplace_back("retry policy 2 fixed:5s");
    }
    for (const std::uint32_t payload : payloads) {
      const std::uint64_t id = next_id_++;
      const std::string text = HandWritten::payload_of(id, payload);
      const auto to = builder.append_job(
          {.payload_bytes = payload, .id = id, .enqueued_at_ms_and_attempts = 1764000000000 + id, .kind = 1});
      std::memcpy(to.data(), text.data(), text.size());
      written.lines.push_back(HandWritten::job_line(id, text));
      if (id % 3 == 0) write_options(builder, id);
    }
    if (part_bytes != 0) write_large_job(builder, part_bytes);
    if (const std::uint64_t id = next_id_; id % 2 == 0) {
      const std::string text = HandWritten::payload_of(id, 1 + static_cast<std::uint32_t>(id % most_text_bytes));
      const auto to = builder.append_change({.attempts = 1,
                                             .text_bytes = static_cast<std::uint16_t>(text.size()),
                                             .state = static_cast<JournaledState>(id / 2 % 5),
                                             .id = id,
                                             .due = 1764000000000 + id});
      std::memcpy(to.data(), text.data(), text.size());
      written.lines.push_back(HandWritten::change_line(id, text));
    }
    for (std::uint64_t n = 0; n < shorts; ++n) {
      const std::uint64_t id = next_id_++;
      if (n % 2 == 0) {
        builder.append_ended(JobId(id));
        written.lines.push_back(fmt::format("ended {}", id));
      } else {
        builder.append_attempts(JobId(id), 3);
        written.lines.push_back(fmt::format("attempts {} 3", id));
      }
    }
  });
  chain_.push_back({.segment = written.segment,
                    .slot = written.slot,
                    .offset = begin,
                    .bytes = written.offset - begin,
                    .number = written.number,
                    .oldest = written.oldest,
                    .lines = written.lines});
  ever_.insert(written.lines.begin(), written.lines.end());
  durable_ = std::max(durable_, written.number - std::min(written.lag, written.number));  // as the block says
}

/// The first sector at least: it holds the checksum. Sectors are written in any order.
void RandomJournal::clear_sectors(const Block& block, bool all) {
  const auto begin = written.device.files.at(block.slot).begin() + static_cast<std::ptrdiff_t>(block.offset);
  for (std::uint64_t at = 0; at < block.bytes; at += 512) {
    if (at == 0 || all || below(2) == 0) std::fill_n(begin + static_cast<std::ptrdiff_t>(at), 512, std::byte{});
  }
}

/// `blocks`, in order, of one dead keeper: those that stand whole right behind the end of the chain.
void RandomJournal::note_left_behind(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    const std::span file(written.device.files.at(block.slot));
    BlockHead head;
    std::memcpy(&head, &file[block.offset], sizeof head);
    if (head.number != block.number || head.checksum != checksum_of_block(file.subspan(block.offset, block.bytes))) {
      return;
    }
    before_newest_.insert(before_newest_.end(), block.lines.begin(), block.lines.end());
  }
}

/// Of the blocks in flight some are lost or torn, and some come late. The next keeper goes on behind the first that is
/// not there, in the same segment or in a new one.
void RandomJournal::crash(bool is_followed) {
  const bool in_new_segment = below(2) == 0;
  std::vector<std::pair<Block, std::vector<std::byte>>> late;
  std::vector<Block> in_flight;
  std::uint64_t end = written.number;
  for (const Block& block : chain_) {
    if (block.number <= durable_) continue;
    in_flight.push_back(block);
    const std::uint64_t fate = below(4);
    if (fate == 0) continue;  // it is there
    end = std::min(end, block.number - 1);
    const auto begin = written.device.files.at(block.slot).begin() + static_cast<std::ptrdiff_t>(block.offset);
    if (fate == 1 && in_new_segment) {
      late.emplace_back(block, std::vector<std::byte>(begin, begin + static_cast<std::ptrdiff_t>(block.bytes)));
    }
    clear_sectors(block, fate == 1);
  }
  std::erase_if(chain_, [end](const Block& block) { return block.number > end; });
  std::erase_if(in_flight, [end](const Block& block) { return block.number <= end; });
  durable_ = end;
  if (!is_followed) return;
  written.take_over(end);
  written.lag = 1 + below(5);
  written.oldest = 1;
  for (const Block& block : chain_) written.oldest = std::max(written.oldest, block.oldest);
  if (!in_new_segment) return;
  begin_segment();
  for (const auto& [block, bytes] : late) {
    std::ranges::copy(bytes, written.device.files.at(block.slot).begin() + static_cast<std::ptrdiff_t>(block.offset));
    if (below(4) == 0) clear_sectors(block, false);
  }
  note_left_behind(in_flight);
}

std::vector<std::string> RandomJournal::expected() const {
  std::uint64_t oldest = 1;
  for (const Block& block : chain_) oldest = std::max(oldest, block.oldest);
  std::vector<std::string> lines;
  for (const Block& block : chain_) {
    if (block.segment >= oldest) lines.insert(lines.end(), block.lines.begin(), block.lines.end());
  }
  return lines;
}

void RandomJournal::harm() {
  for (std::uint64_t left = 1 + below(3); left > 0; --left) harm_once();
}

void RandomJournal::harm_once() {
  auto& files = written.device.files;
  auto picked = files.begin();
  std::advance(picked, static_cast<std::ptrdiff_t>(below(files.size())));
  std::vector<std::byte>& file = picked->second;
  const auto at = [&file](std::uint64_t offset) { return file.begin() + static_cast<std::ptrdiff_t>(offset); };
  const std::uint64_t units = file.size() / journal_unit;
  if (units == 0) return;
  const std::uint64_t unit = below(units) * journal_unit;
  switch (below(8)) {
    case 0:
      if (files.size() > 1) files.erase(picked);
      break;
    case 1:
      file.resize(unit);
      break;
    case 2:
      std::fill_n(file.begin(), journal_unit, std::byte{});
      break;
    case 3:
      std::fill_n(at(unit), journal_unit, std::byte{});
      break;
    case 4:
      for (std::uint64_t n = 0; n < 64; ++n) file[unit + below(journal_unit)] = static_cast<std::byte>(random());
      break;
    case 5:  // a write that went to the wrong place
      std::copy_n(at(below(units) * journal_unit), journal_unit, at(unit));
      break;
    default:
      file[unit + below(128)] ^= static_cast<std::byte>(1U << below(8));
      break;
  }
}

}  // namespace ringmill::test
