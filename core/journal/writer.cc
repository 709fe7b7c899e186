#include "core/journal/writer.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/journal/segments.h"
#include "core/journal/take_over.h"
#include "ipc/clock.h"

// How a block becomes durable:
//
//   1. room()      opens a block in a free buffer; the caller appends records
//   2. submit      the head gets number, epoch, `durable` and `oldest`; the device starts to write; the next may follow
//   3. collect()   writes end in any order; a block counts when all before it have ended
//
// How room() begins the next segment; it returns NoRoom::buffers in between instead of waiting:
//
//   1. all blocks in flight become durable, so that a segment's first block never stands behind a hole of this epoch,
//      and a death leaves blocks in flight in one segment only
//   2. a free file is taken, with its fence. Making a file, where there is none yet, is the one thing that room() waits
//      for: it writes the whole file. It happens at most once for each file in the journal's life.
//   3. the head is written. A death before it is durable leaves a free file, whose head is torn or old (take_over.h).
//   4. the fence of the segment before is released, and blocks go to the new one
//
// A block that a power cut tore behind the chain's end could become whole: a second cut may tear a block that is
// written over it. So the next keeper begins another segment. If no segment is free, it first makes one unit of noise
// durable where the torn block begins, which destroys that block's head.
//
// The last unit of a segment is reserved for a block without records, so that a full journal can still retire its
// oldest segment.

namespace ringmill {

namespace {

constexpr std::size_t buffers_in_all = 8;
constexpr std::uint64_t head_token = 0;  // blocks are numbered from 1 on
constexpr std::uint64_t noise_token = ~std::uint64_t{0};
constexpr std::chrono::seconds longest_patience{10};

std::uint32_t in_units(std::uint64_t bytes) noexcept { return static_cast<std::uint32_t>(bytes / journal_unit); }

}  // namespace

struct JournalWriter::State {
  struct InFlight {
    std::uint64_t number;
    std::size_t buffer;
    std::uint64_t oldest;
    std::uint64_t end;  // in the newest segment
    bool is_done = false;
  };
  struct Beginning {
    SlotNumber slot;
    std::uint64_t segment;
    bool is_done = false;
  };

  using Buffers = std::vector<std::span<std::byte>>;

  State(std::unique_ptr<JournalDevice> opened, Buffers got, std::uint64_t id, const JournalGeometry& given,
        std::uint64_t least_epoch, FoundJournal found)
      : device(std::move(opened)),
        buffers(std::move(got)),
        engine_id(id),
        geometry(given),
        epoch(std::max(least_epoch, found.highest_epoch + 1)),
        offset(found.end_offset),
        first_block(found.first_block),
        previous_end_in_units(found.previous_end_in_units),
        next_block(found.last_block + 1),
        durable(found.last_block),
        durable_end(found.end_offset),
        said_oldest(found.oldest),
        segments(*device, geometry, std::move(found)) {
    for (std::size_t buffer = 0; buffer < buffers.size(); ++buffer) free_buffers.push_back(buffer);
  }

  Result<void> begin_first();
  Result<void> end_what_is_torn();

  std::expected<BlockBuilder*, NoRoom> room(std::uint32_t bytes, bool copying_forward);
  std::optional<NoRoom> next_segment(JournalSegments::Take how);
  std::optional<NoRoom> open_block();
  void enter_segment();
  void collect(std::chrono::nanoseconds wait);
  void take_in(const WriteOutcome& outcome);
  void submit_block();
  void announce();
  void drop_empty();
  void fail(Error failure);

  /// Return the room for blocks with records, and for one without.
  std::uint64_t room_left() const noexcept;
  std::uint64_t room_left_in_all() const noexcept { return segments.newest().bytes - offset; }
  bool has_records() const noexcept { return builder && !builder->is_empty(); }
  bool has_to_announce() const noexcept { return segments.oldest_to_say() > said_oldest; }

  std::unique_ptr<JournalDevice> device;
  Buffers buffers;
  std::uint64_t engine_id;
  JournalGeometry geometry;
  std::uint64_t epoch;
  std::uint64_t offset;                 // in the newest segment, of the open block
  std::uint64_t first_block;            // of the newest segment
  std::uint32_t previous_end_in_units;  // where the chain ends in the segment before the newest
  std::uint64_t next_block;             // the number of the open block
  std::uint64_t durable;
  std::uint64_t durable_end;  // in the newest segment, of block `durable`
  std::uint64_t said_oldest;  // by the last block that was submitted
  JournalSegments segments;

  std::vector<std::size_t> free_buffers;
  std::optional<BlockBuilder> builder;  // in buffer builder_buffer
  std::size_t builder_buffer = 0;
  std::deque<InFlight> in_flight;      // in the order of their numbers
  std::optional<Beginning> beginning;  // its head is in flight, or durable and not yet entered
  std::vector<WriteOutcome> outcomes;
  std::optional<Error> error;
  std::uint64_t bytes_written = 0;
};

std::uint64_t JournalWriter::State::room_left() const noexcept {
  const std::uint64_t left = room_left_in_all();
  return left > journal_unit ? left - journal_unit : 0;
}

void JournalWriter::State::fail(Error failure) {
  if (!error) error = std::move(failure);
}

std::expected<BlockBuilder*, JournalWriter::NoRoom> JournalWriter::State::room(std::uint32_t bytes,
                                                                               bool copying_forward) {
  const std::uint32_t needed = in_whole_units(static_cast<std::uint32_t>(sizeof(BlockHead)) + bytes);
  assert(needed <= most_block_bytes && needed + 2 * journal_unit <= geometry.segment_bytes);
  while (!error) {
    if (beginning && !beginning->is_done) collect(std::chrono::nanoseconds(0));
    if (error) break;
    if (beginning && !beginning->is_done) return std::unexpected(NoRoom::buffers);
    if (beginning) enter_segment();

    if (!has_records() && has_to_announce()) announce();
    if (!has_records() && has_to_announce() && room_left_in_all() < journal_unit) {
      if (const auto none = next_segment(JournalSegments::Take::last)) return std::unexpected(*none);
      continue;
    }
    // Once copying forward has begun the last segment, only it writes there until the oldest is free.
    if (!copying_forward && segments.free() == 0) return std::unexpected(NoRoom::segments);
    if (builder && builder->room() >= bytes) return &*builder;
    if (has_records()) {
      submit_block();
    } else if (room_left() < needed) {
      const auto how = copying_forward ? JournalSegments::Take::last : JournalSegments::Take::usual;
      if (const auto none = next_segment(how)) return std::unexpected(*none);
    } else if (const auto none = open_block()) {
      return std::unexpected(*none);
    }
  }
  return std::unexpected(NoRoom::failed);
}

std::optional<JournalWriter::NoRoom> JournalWriter::State::open_block() {
  drop_empty();
  if (free_buffers.empty()) collect(std::chrono::nanoseconds(0));
  if (error) return NoRoom::failed;
  if (free_buffers.empty()) return NoRoom::buffers;
  builder_buffer = free_buffers.back();
  free_buffers.pop_back();
  const std::uint64_t bytes = std::min<std::uint64_t>(most_block_bytes, room_left());
  builder.emplace(buffers[builder_buffer].first(bytes));
  return std::nullopt;
}

void JournalWriter::State::drop_empty() {
  if (!builder || !builder->is_empty()) return;
  free_buffers.push_back(builder_buffer);
  builder.reset();
}

/// Returns nothing if the segment is begun or being begun; else the reason why not.
std::optional<JournalWriter::NoRoom> JournalWriter::State::next_segment(JournalSegments::Take how) {
  drop_empty();
  if (!in_flight.empty()) collect(std::chrono::nanoseconds(0));
  if (error) return NoRoom::failed;
  if (!in_flight.empty()) return NoRoom::buffers;
  const auto slot = segments.take(how);
  if (!slot) fail(slot.error());
  if (error) return NoRoom::failed;
  if (!*slot) return NoRoom::segments;

  SegmentHead head{
      .segment_bytes_in_units = static_cast<std::uint32_t>(geometry.segment_bytes / journal_unit),
      .engine_id = engine_id,
      .segment = segments.is_empty() ? 1 : segments.newest().segment + 1,
      .epoch = epoch,
      .first_block = next_block,
      .oldest = segments.oldest_to_say(),
      .created_at_ns = wall_clock_ns(),
      .previous_end_in_units = in_units(offset),
  };
  head.checksum = checksum_of(head);
  const std::span<std::byte> unit = buffers[free_buffers.back()].first(journal_unit);
  std::memset(unit.data(), 0, unit.size());
  std::memcpy(unit.data(), &head, sizeof head);
  beginning = Beginning{.slot = **slot, .segment = head.segment};
  bytes_written += unit.size();
  device->submit(**slot, 0, unit, head_token);
  return std::nullopt;
}

void JournalWriter::State::enter_segment() {
  segments.begin(beginning->segment, beginning->slot);
  beginning.reset();
  // All before it is durable, so `offset` is the chain's end in the segment that is left.
  previous_end_in_units = in_units(offset);
  first_block = next_block;
  offset = durable_end = journal_unit;
}

void JournalWriter::State::submit_block() {
  const BlockHead head{
      .engine_id = engine_id,
      .segment = segments.newest().segment,
      .number = next_block,
      .durable = durable,
      .oldest = segments.oldest_to_say(),
      .epoch = epoch,
      .offset_in_units = in_units(offset),
      .durable_end_in_units = in_units(durable_end),
      .previous_end_in_units = previous_end_in_units,
      .index = static_cast<std::uint32_t>(next_block - first_block),
      .written_at_ns = wall_clock_ns(),
  };
  const std::span<const std::byte> block = builder->seal(head);
  builder.reset();
  const std::uint64_t at = offset;
  said_oldest = head.oldest;
  offset += block.size();
  in_flight.push_back({.number = next_block, .buffer = builder_buffer, .oldest = head.oldest, .end = offset});
  bytes_written += block.size();
  device->submit(segments.newest().slot, at, block, next_block++);
}

/// Writes a block that only retires the oldest segment, if no open block will do so.
void JournalWriter::State::announce() {
  if (error || beginning || has_records() || !has_to_announce() || room_left_in_all() < journal_unit) return;
  drop_empty();
  if (free_buffers.empty()) return;
  builder_buffer = free_buffers.back();
  free_buffers.pop_back();
  builder.emplace(buffers[builder_buffer].first(journal_unit));
  submit_block();
}

void JournalWriter::State::collect(std::chrono::nanoseconds wait) {
  outcomes.clear();
  device->collect(outcomes, wait);
  for (const WriteOutcome& outcome : outcomes) take_in(outcome);
  while (!error && !in_flight.empty() && in_flight.front().is_done) {
    const InFlight& block = in_flight.front();
    durable = block.number;
    durable_end = block.end;
    segments.on_durable(block.number, block.oldest);
    free_buffers.push_back(block.buffer);
    in_flight.pop_front();
  }
}

void JournalWriter::State::take_in(const WriteOutcome& outcome) {
  if (outcome.error != 0) {
    fail(Error(ErrorCode::system, "a write to the journal failed, and nothing after it is durable",
               std::generic_category().message(outcome.error), outcome.error));
  } else if (outcome.token == head_token) {
    beginning->is_done = true;
  } else {
    in_flight.at(outcome.token - in_flight.front().number).is_done = true;
  }
}

/// Begins the first segment of an engine, or one after a segment that cannot be continued. Waits for it.
Result<void> JournalWriter::State::begin_first() {
  const auto how = segments.is_empty() ? JournalSegments::Take::usual : JournalSegments::Take::in_haste;
  if (const auto none = next_segment(how)) {
    if (error) return std::unexpected(*error);
    const int number = segments.no_space_number();
    std::string why = number != 0 ? std::generic_category().message(number) : "all are in use";
    if (number == EFBIG) why += "; raise this process's limit on the size of files (ulimit -f)";
    return std::unexpected(Error(ErrorCode::no_space, "no room for a segment of the journal", std::move(why), number));
  }
  while (!error && !beginning->is_done) collect(std::chrono::seconds(1));
  if (error) return std::unexpected(*error);
  enter_segment();
  return {};
}

/// Writes noise, because a pattern might be just what a sector of the torn block lacks. Waits until it is durable.
Result<void> JournalWriter::State::end_what_is_torn() {
  if (room_left_in_all() < journal_unit) return {};  // nothing can stand there
  const std::span<std::byte> unit = buffers[free_buffers.back()].first(journal_unit);
  std::mt19937_64 random(std::random_device{}() ^ wall_clock_ns());
  for (std::size_t at = 0; at < unit.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t noise = random();
    std::memcpy(&unit[at], &noise, sizeof noise);
  }
  bytes_written += unit.size();
  device->submit(segments.newest().slot, offset, unit, noise_token);
  for (outcomes.clear(); outcomes.empty();) device->collect(outcomes, std::chrono::seconds(1));
  if (outcomes.front().error == 0) return {};
  return std::unexpected(Error(ErrorCode::system, "a write to the journal failed, and nothing after it is durable",
                               std::generic_category().message(outcomes.front().error), outcomes.front().error));
}

namespace {

/// There is no number after the highest, and the next keeper would take a block with a smaller one for torn. So nothing
/// is written, and callers that wait for durability get an error.
Result<void> check_numbers(const FoundJournal& found, std::uint64_t least_epoch) {
  const std::uint64_t segment = found.in_use.empty() ? 0 : found.in_use.back().segment;
  const std::uint64_t epoch = std::max(found.highest_epoch, least_epoch);
  const std::uint64_t highest = std::max({segment, epoch, found.last_block, found.first_block, found.oldest});
  if (highest < most_journal_number) return {};
  return std::unexpected(Error(
      ErrorCode::corrupt, "the journal's numbers are higher than any engine can reach: ringmill did not write them",
      std::to_string(highest) + " of at most " + std::to_string(most_journal_number) +
          "; what it holds can be read: `ringmill recover --from-journal`, then enqueue it in a new engine"));
}

}  // namespace

JournalWriter::JournalWriter() = default;
JournalWriter::~JournalWriter() = default;

Result<std::unique_ptr<JournalWriter>> JournalWriter::open(std::unique_ptr<JournalDevice> device,
                                                           std::uint64_t engine_id, const JournalGeometry& geometry,
                                                           std::uint64_t least_epoch) {
  assert(geometry.most_segments >= 8 && geometry.segment_bytes % journal_unit == 0);
  auto buffers = device->buffers(buffers_in_all, most_block_bytes);
  if (!buffers) return std::unexpected(buffers.error());
  auto found = take_over_journal(*device, engine_id, geometry.segment_bytes, std::chrono::nanoseconds(0));
  if (!found) return std::unexpected(found.error());
  if (auto checked = check_numbers(*found, least_epoch); !checked) return std::unexpected(checked.error());
  const bool is_new = found->in_use.empty();
  const bool has_fence = found->has_fence;
  bool has_good_end = found->has_good_end;
  const bool begins = is_new || !has_fence || !has_good_end;

  std::unique_ptr<JournalWriter> writer(new JournalWriter);
  auto& state = writer->state_;
  state = std::make_unique<State>(std::move(device), std::move(*buffers), engine_id, geometry, least_epoch,
                                  std::move(*found));
  if (!begins) return writer;
  // Begin a new segment rather than wait for the fence, or go on behind damage or a torn block: a second cut could make
  // that block whole.
  const auto begun = state->begin_first();
  if (begun) return writer;
  if (is_new || begun.error().code() != ErrorCode::no_space) return std::unexpected(begun.error());
  if (!has_fence) {
    found = take_over_journal(*state->device, engine_id, geometry.segment_bytes, longest_patience);
    if (!found) return std::unexpected(found.error());
    if (!found->has_fence) {
      return std::unexpected(Error(ErrorCode::busy, "a write of a dead keeper to the journal does not end"));
    }
    has_good_end = found->has_good_end;
    state = std::make_unique<State>(std::move(state->device), std::move(state->buffers), engine_id, geometry,
                                    least_epoch, std::move(*found));
  }
  if (has_good_end) return writer;
  if (auto ended = state->end_what_is_torn(); !ended) return std::unexpected(ended.error());
  return writer;
}

std::expected<BlockBuilder*, JournalWriter::NoRoom> JournalWriter::room(std::uint32_t bytes, bool copying_forward) {
  return state_->room(bytes, copying_forward);
}

std::uint64_t JournalWriter::open_block() const noexcept { return state_->next_block; }

std::uint64_t JournalWriter::open_segment() const noexcept { return state_->segments.newest().segment; }

std::uint64_t JournalWriter::flush() {
  if (!state_->error && state_->has_records()) state_->submit_block();
  state_->announce();
  return state_->next_block - 1;
}

void JournalWriter::collect(std::chrono::nanoseconds wait) {
  state_->collect(wait);
  state_->announce();
}

std::uint64_t JournalWriter::durable_block() const noexcept { return state_->durable; }

std::uint64_t JournalWriter::blocks_in_flight() const noexcept { return state_->in_flight.size(); }

const std::optional<Error>& JournalWriter::error() const noexcept { return state_->error; }

bool JournalWriter::no_space() const noexcept { return state_->segments.no_space(); }

int JournalWriter::no_space_number() const noexcept { return state_->segments.no_space_number(); }

std::uint64_t JournalWriter::oldest_segment() const noexcept { return state_->segments.oldest(); }

std::uint64_t JournalWriter::newest_segment() const noexcept { return state_->segments.newest().segment; }

std::uint32_t JournalWriter::free_segments() const noexcept { return state_->segments.free(); }

std::uint32_t JournalWriter::segments_in_use() const noexcept { return state_->segments.in_use(); }

std::uint64_t JournalWriter::bytes_on_disk() const noexcept { return state_->segments.bytes_on_disk(); }

std::uint64_t JournalWriter::bytes_written() const noexcept { return state_->bytes_written; }

void JournalWriter::retire_oldest() {
  const std::uint64_t survivors = state_->has_records() ? state_->next_block : state_->next_block - 1;
  state_->segments.retire_oldest(survivors, state_->durable);
}

std::uint64_t JournalWriter::epoch() const noexcept { return state_->epoch; }

JournalDevice& JournalWriter::device() noexcept { return *state_->device; }

}  // namespace ringmill
