#include "core/table/arena.h"

#include <algorithm>
#include <bit>

#include "core/table/growth.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// So often is everything looked at again because others took what we had found.
constexpr int most_passes = 8;

/// Which jobs are named by lease slots, in one walk over them, for callers that ask about many: some that are not named
/// seem to be.
class LeasedJobs {
 public:
  explicit LeasedJobs(const Segment& segment) noexcept {
    for_each_entry_in_use(segment, [&](std::uint32_t number, ParticipantState) {
      for (const LeaseSlot& slot : segment.participant(number).leases) {
        if (const std::uint64_t id = slot.job_id.load(); id != 0) word_of(id) |= bit_of(id);
      }
    });
  }
  bool may_name(std::uint64_t id) noexcept { return (word_of(id) & bit_of(id)) != 0; }

 private:
  static constexpr std::uint64_t mixed(std::uint64_t id) noexcept { return id * 0x9e3779b97f4a7c15; }
  static constexpr std::uint64_t bit_of(std::uint64_t id) noexcept { return std::uint64_t{1} << (mixed(id) >> 58); }
  std::uint64_t& word_of(std::uint64_t id) noexcept { return words_[mixed(id) >> 52 & 63]; }

  std::array<std::uint64_t, 64> words_{};
};

}  // namespace

std::uint32_t Arena::log_for(std::uint32_t bytes) const noexcept {
  const std::uint32_t units =
      (bytes + segment_->geometry().arena_unit_bytes() - 1) / segment_->geometry().arena_unit_bytes();
  return most_log - static_cast<std::uint32_t>(std::countr_zero(std::bit_ceil(std::max(units, 1U))));
}

bool Arena::is_over(JobId id, std::uint32_t unit) const noexcept {
  const CellIndex index = index_of(id);
  if (!table_.is_there(index)) return true;  // of no job
  // ORDER state: acquires the job's header, or what was done last with the cell.
  const StateWord word = table_.word(index);
  if (word.generation() != generation_of(id)) return true;
  if (!word.has_job()) return word.state() == CellState::free;
  const CellHeader& header = table_.header(index);
  // ORDER second-look: acquires, so that the look at the word comes after it.
  const std::uint16_t flags = header.flags.load(std::memory_order_acquire);
  // ORDER second-look: as above.
  const bool has_it =
      ((flags & cell_flag::in_arena) != 0 && header.extent.load_once(std::memory_order_acquire) == unit) ||
      ((flags & cell_flag::result_in_arena) != 0 && header.result_extent.load_once(std::memory_order_acquire) == unit);
  // Moved on: it is over, or has the extent; the next look will tell.
  return !has_it && table_.word(index).generation() == word.generation();
}

bool Arena::is_leased(std::uint64_t id) const noexcept {
  bool found = false;
  for_each_entry_in_use(*segment_, [&](std::uint32_t number, ParticipantState) {
    // ORDER lease: acquires settle.E7, so that what we write into the extent comes after all that its reader read.
    for (const LeaseSlot& slot : segment_->participant(number).leases) {
      found |= slot.job_id.load(std::memory_order_acquire) == id;
    }
  });
  return found;
}

std::optional<std::uint32_t> Arena::take(JobId id, std::uint32_t bytes) noexcept {
  const std::uint32_t chunks = segment_->geometry().arena_chunk_count;
  if (chunks == 0 || bytes > segment_->geometry().arena_chunk_bytes) return std::nullopt;
  const std::uint32_t wanted = log_for(bytes);
  for (int pass = 0; pass < most_passes; ++pass) {
    bool moved = false;
    std::uint32_t unit = 0;
    const auto look = [&](std::uint32_t log, auto&& attempt) {
      for (std::uint32_t n = 0; n < chunks; ++n) {
        const std::uint32_t chunk = (last_chunk_[log] + n) % chunks;
        if (!segment_->has_arena_chunk(chunk)) continue;
        const Try tried = attempt(chunk, log);
        moved |= tried == Try::moved;
        if (tried != Try::taken) continue;
        last_chunk_[log] = chunk;
        return true;
      }
      return false;
    };
    const auto take_one = [&](std::uint32_t chunk, std::uint32_t log) { return take_extent(chunk, log, id, unit); };
    if (look(wanted, take_one)) return unit;
    if (look(wanted, [&](std::uint32_t chunk, std::uint32_t log) { return cut_anew(chunk, log, id, unit); }))
      return unit;
    // Better one that is too large than none.
    for (std::uint32_t log = wanted; log-- > 0;) {
      if (look(log, take_one)) return unit;
    }
    if (!moved && !grow()) break;
  }
  return std::nullopt;
}

bool Arena::grow() noexcept {
  if (grow_not_before_ns_ != 0 && steady_clock_ns() < grow_not_before_ns_) return false;
  for (std::uint32_t chunk = 0; chunk < segment_->geometry().arena_chunk_count; ++chunk) {
    if (segment_->has_arena_chunk(chunk)) continue;
    const bool made = segment_->make_arena_chunk(chunk);
    grow_not_before_ns_ = made ? 0 : steady_clock_ns() + Growth::retry_ns;
    return made;
  }
  return false;
}

Arena::Try Arena::take_extent(std::uint32_t chunk, std::uint32_t log, JobId id, std::uint32_t& unit) noexcept {
  if (log_of(cut(chunk)) != log) return Try::none;
  const std::uint32_t begin = chunk * arena_units_per_chunk;
  Try tried = Try::none;
  for (unit = begin; unit < begin + arena_units_per_chunk; unit += step_of(log)) {
    std::uint64_t seen = at(unit);
    if (!is_free(seen, unit)) continue;
    if (!segment_->arena_unit(unit).compare_exchange_strong(seen, id.value())) {  // arena.A1
      tried = Try::moved;
      continue;
    }
    if (log_of(cut(chunk)) == log) return Try::taken;  // arena.A2
    give_back(unit, unit + 1, 1);
    return Try::moved;
  }
  return tried;
}

Arena::Try Arena::cut_anew(std::uint32_t chunk, std::uint32_t log, JobId id, std::uint32_t& unit) noexcept {
  const std::uint64_t old_cut = cut(chunk);
  if (log_of(old_cut) == log) return Try::none;
  const std::uint32_t begin = chunk * arena_units_per_chunk;
  const std::uint32_t end = begin + arena_units_per_chunk;
  const std::uint32_t step = step_of(log_of(old_cut));
  std::array<std::uint64_t, arena_units_per_chunk> seen;
  for (std::uint32_t at_unit = begin; at_unit < end; at_unit += step) {
    seen[at_unit - begin] = at(at_unit);
    if (seen[at_unit - begin] != 0 && !is_over(JobId(seen[at_unit - begin]), at_unit)) return Try::none;
  }
  LeasedJobs leased(*segment_);  // behind all looks at the table
  for (std::uint32_t at_unit = begin; at_unit < end; at_unit += step) {
    const std::uint64_t word = seen[at_unit - begin];
    if (word != 0 && leased.may_name(word) && is_leased(word)) return Try::none;
  }
  for (std::uint32_t at_unit = begin; at_unit < end; at_unit += step) {
    if (segment_->arena_unit(at_unit).compare_exchange_strong(seen[at_unit - begin], id.value())) continue;  // arena.C1
    give_back(begin, at_unit, step);
    return Try::moved;
  }
  if (cut(chunk) != old_cut) {  // arena.C2
    give_back(begin, end, step);
    return Try::moved;
  }
  // ORDER arena: arena.C3 before arena.C4: a producer that takes a word that arena.C4 gave back sees the new cut.
  segment_->arena_chunk(chunk).store(((old_cut >> 8) + 1) << 8 | log, std::memory_order_release);  // arena.C3
  give_back(begin + step, end, step);                                                              // arena.C4
  // From arena.C1 on the chunk had no room, and by the new cut there may be more extents in it.
  wake_for_extent(*segment_);
  unit = begin;
  return Try::taken;
}

void Arena::give_back(std::uint32_t first, std::uint32_t end, std::uint32_t step) noexcept {
  for (std::uint32_t unit = first; unit < end; unit += step) {
    segment_->arena_unit(unit).store(0, std::memory_order_release);  // ORDER arena
  }
  if (first < end) wake_for_extent(*segment_);  // a producer that looked meanwhile saw them taken
}

bool Arena::has_room(std::uint32_t bytes) noexcept {
  if (bytes > segment_->geometry().arena_chunk_bytes) return false;
  const std::uint32_t wanted = log_for(bytes);
  for (std::uint32_t chunk = 0; chunk < segment_->geometry().arena_chunk_count; ++chunk) {
    if (!segment_->has_arena_chunk(chunk)) continue;
    const std::uint64_t now = cut(chunk);
    const std::uint32_t begin = chunk * arena_units_per_chunk;
    const bool is_coarse = log_of(now) <= wanted;
    bool all_free = true;
    for (std::uint32_t unit = begin; unit < begin + arena_units_per_chunk; unit += step_of(log_of(now))) {
      const bool free = is_free(at(unit), unit);
      if (free && is_coarse) return true;
      all_free &= free;
      if (!all_free && !is_coarse) break;
    }
    if (all_free) return true;
  }
  return grow();
}

void Arena::fill(CellIndex index, std::uint32_t unit, std::span<const std::byte> payload) const noexcept {
  if (!is_within(unit, payload.size())) return;  // not what take() returns
  // ORDER relaxed: the cell's word publishes both in enq.N4.
  table_.header(index).extent.store(unit, std::memory_order_relaxed);
  write(unit, payload);
}

void Arena::fill_result(CellIndex index, std::uint32_t unit, std::span<const std::byte> result) const noexcept {
  if (!is_within(unit, result.size())) return;
  CellHeader& header = table_.header(index);
  // ORDER relaxed: no other process sees the segment.
  header.result_extent.store(unit, std::memory_order_relaxed);
  header.lease_ms.store(static_cast<std::uint32_t>(result.size()), std::memory_order_relaxed);
  write(unit, result);
}

void Arena::write(std::uint32_t unit, std::span<const std::byte> bytes) const noexcept {
  std::byte* const to = segment_->arena() + std::uint64_t{unit} * segment_->geometry().arena_unit_bytes();
  store_words(reinterpret_cast<std::atomic<std::uint64_t>*>(to), bytes);
}

std::optional<std::span<const std::byte>> Arena::payload_of(JobId id) const noexcept {
  const CellHeader& header = table_.header(index_of(id));
  // ORDER second-look: the caller looks at the word again.
  return extent_of(id, header.extent.load_once(std::memory_order_acquire),
                   header.payload_bytes.load_once(std::memory_order_acquire));
}

std::optional<std::span<const std::byte>> Arena::result_of(JobId id) const noexcept {
  const CellHeader& header = table_.header(index_of(id));
  // ORDER second-look: as in payload_of().
  return extent_of(id, header.result_extent.load_once(std::memory_order_acquire),
                   header.lease_ms.load_once(std::memory_order_acquire));
}

bool Arena::hand_over(std::uint32_t unit, JobId from, JobId to) noexcept {
  if (unit >= segment_->geometry().arena_unit_count() || !segment_->has_arena_chunk(unit / arena_units_per_chunk)) {
    return false;
  }
  std::uint64_t seen = from.value();
  return segment_->arena_unit(unit).compare_exchange_strong(seen, to.value()) || seen == to.value();
}

std::optional<std::span<const std::byte>> Arena::extent_of(JobId id, Untrusted<std::uint32_t> first_unit,
                                                           Untrusted<std::uint32_t> length) const noexcept {
  const Geometry& geometry = segment_->geometry();
  const auto unit = first_unit.below(geometry.arena_unit_count());
  const auto bytes = length.below(geometry.max_payload + 1);
  if (!unit || !bytes || !segment_->has_arena_chunk(*unit / arena_units_per_chunk)) return std::nullopt;
  // While a job has an extent its chunk is cut as it was when the job got it: so no two that pass share a byte.
  const std::uint32_t step = step_of(log_of(cut(*unit / arena_units_per_chunk)));
  if (*unit % step != 0 || *bytes > std::uint64_t{step} * geometry.arena_unit_bytes()) return std::nullopt;
  if (at(*unit) != id.value()) return std::nullopt;
  return std::span<const std::byte>(segment_->arena() + std::uint64_t{*unit} * geometry.arena_unit_bytes(), *bytes);
}

void Arena::copy_out(std::span<const std::byte> from, std::byte* to) noexcept {
  const auto* word = reinterpret_cast<const std::atomic<std::uint64_t>*>(from.data());
  for (std::size_t done = 0; done < from.size(); done += 8) {
    const std::uint64_t value = (word++)->load(std::memory_order_acquire);  // ORDER second-look
    std::memcpy(to + done, &value, std::min<std::size_t>(8, from.size() - done));
  }
}

std::uint64_t Arena::used_bytes() const noexcept {
  std::uint64_t units = 0;
  for (std::uint32_t chunk = 0; chunk < segment_->geometry().arena_chunk_count; ++chunk) {
    if (!segment_->has_arena_chunk(chunk)) continue;
    const std::uint32_t begin = chunk * arena_units_per_chunk;
    const std::uint32_t step = step_of(log_of(cut(chunk)));
    for (std::uint32_t unit = begin; unit < begin + arena_units_per_chunk; unit += step) {
      const std::uint64_t word = at(unit);
      if (word != 0 && !is_over(JobId(word), unit)) units += step;
    }
  }
  return units * segment_->geometry().arena_unit_bytes();
}

}  // namespace ringmill
