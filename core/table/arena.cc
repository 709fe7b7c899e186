#include "core/table/arena.h"

#include <algorithm>
#include <bit>

#include "ipc/clock.h"
#include "ipc/full_fence.h"
#include "ipc/registry.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// So often is everything looked at again because others took what we had found.
constexpr int most_passes = 8;
/// Words looked at before memory is taken for another chunk: about 10 us.
constexpr std::uint32_t few_looks = 1024;
constexpr std::uint32_t all_looks = ~std::uint32_t{0};
/// A chunk of another cut costs more to look at than a word, and seldom is free.
constexpr std::uint32_t looks_of_a_cut = 64;
/// After a look everywhere that was in vain: for so many times as long as it took there is no other.
constexpr std::uint64_t looks_apart = 16;
/// How far ahead of the looks the cells are fetched into the cache.
constexpr std::uint32_t look_distance = 8;

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
  return finest_log() - static_cast<std::uint32_t>(std::countr_zero(std::bit_ceil(std::max(units, 1U))));
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
  // ORDER second-look: as above. A value takes other extents as it changes.
  const bool has_it =
      (flags & cell_flag::is_value) != 0 ||
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

std::optional<std::uint32_t> Arena::take(JobId id, std::uint32_t bytes, Look look) noexcept {
  const Geometry& geometry = segment_->geometry();
  if (geometry.arena_chunk_count == 0 || bytes > geometry.arena_chunk_bytes) return std::nullopt;
  const std::uint32_t wanted = log_for(bytes);
  std::uint32_t unit = 0;
  for (int pass = 0; pass < most_passes; ++pass) {
    const Try near = take_near(wanted, few_looks, id, unit);
    if (near == Try::taken) return unit;
    if (near == Try::moved || grow(wanted)) continue;
    const std::uint64_t begin_ns = steady_clock_ns();
    if (look == Look::seldom && begin_ns < look_not_before_ns_) return std::nullopt;
    const Try anywhere = take_anywhere(wanted, id, unit);
    if (anywhere == Try::taken) return unit;
    if (anywhere == Try::moved) continue;
    const std::uint64_t end_ns = steady_clock_ns();
    look_not_before_ns_ = end_ns + looks_apart * (end_ns - begin_ns);
    break;
  }
  return std::nullopt;
}

Arena::Try Arena::take_near(std::uint32_t log, std::uint32_t most_looks, JobId id, std::uint32_t& unit) noexcept {
  Try tried = take_found(log, id, unit);
  if (tried == Try::taken) return tried;
  if (find(log, most_looks)) return take_found(log, id, unit) == Try::taken ? Try::taken : Try::moved;
  const Try anew = cut_one_anew(log, most_looks, id, unit);
  return anew == Try::none ? tried : anew;
}

Arena::Try Arena::take_anywhere(std::uint32_t log, JobId id, std::uint32_t& unit) noexcept {
  Try tried = take_near(log, all_looks, id, unit);
  // Better one that is too large than none.
  while (tried == Try::none && log-- > 0) {
    tried = take_found(log, id, unit);
    if (tried != Try::taken && find(log, all_looks)) {
      tried = take_found(log, id, unit) == Try::taken ? Try::taken : Try::moved;
    }
  }
  return tried;
}

bool Arena::grow(std::uint32_t log) noexcept {
  if (!full_.may_ask()) return false;
  for (std::uint32_t chunk = 0; chunk < segment_->geometry().arena_chunk_count; ++chunk) {
    if (segment_->has_arena_chunk(chunk) || is_leaving(chunk)) continue;
    const bool made = segment_->make_arena_chunk(chunk);
    full_.note(made);
    if (made) next_unit_[log] = chunk * chunk_units();
    return made;
  }
  return false;
}

Arena::Try Arena::take_found(std::uint32_t log, JobId id, std::uint32_t& unit) noexcept {
  Found& found = found_[log];
  Try tried = Try::none;
  while (found.count != 0) {
    auto [one, seen] = found.extents[--found.count];
    if (!is_there(one)) continue;
    tried = Try::moved;
    if (!segment_->arena_unit(one).compare_exchange_strong(seen, id.value())) continue;  // arena.A1
    unit = one;
    if (is_cut_so(cut_after_swap(chunk_of(one)), log) && one % step_of(log) == 0) return Try::taken;  // arena.A2
    give_back(one, one + 1, 1);
  }
  return tried;
}

bool Arena::find(std::uint32_t log, std::uint32_t most_looks) noexcept {
  const std::uint32_t chunks = segment_->geometry().arena_chunk_count;
  const std::uint32_t next = next_unit_[log] % segment_->geometry().arena_unit_count();
  const std::uint32_t begin = chunk_of(next);
  // The first chunk's beginning comes last.
  for (std::uint32_t n = 0; n <= chunks && most_looks != 0; ++n) {
    const std::uint32_t chunk = (begin + n) % chunks;
    std::uint32_t looks = 1;
    if (segment_->has_arena_chunk(chunk) && is_cut_so(cut(chunk), log)) {
      const std::uint32_t first = chunk * chunk_units();
      const std::uint32_t from = n == 0 ? next / step_of(log) * step_of(log) : first;
      const std::uint32_t end = find_in(log, from, first + chunk_units());
      drop_leased(found_[log]);
      if (found_[log].count != 0) {
        next_unit_[log] = end;
        return true;
      }
      looks += (end - from) / step_of(log);
    }
    most_looks -= std::min(most_looks, looks);
  }
  return false;
}

std::uint32_t Arena::find_in(std::uint32_t log, std::uint32_t first, std::uint32_t end) noexcept {
  const std::uint32_t step = step_of(log);
  Found& found = found_[log];
  for (std::uint32_t n = 0; n < look_distance; ++n) fetch(first + n * step, end);
  std::uint32_t unit = first;
  for (; unit < end && !found.is_full(); unit += step) {
    fetch(unit + look_distance * step, end);
    const std::uint64_t word = at(unit);
    if (word == 0 || is_over(JobId(word), unit)) found.add(unit, word);
  }
  // The last one found is taken first: so they are taken in order.
  std::ranges::reverse(std::span(found.extents).first(found.count));
  return unit;
}

void Arena::drop_leased(Found& found) const noexcept {
  const std::span extents = std::span(found.extents).first(found.count);
  if (std::ranges::all_of(extents, [](const Found::Extent& extent) { return extent.word == 0; })) return;
  LeasedJobs leased(*segment_);  // behind all looks at the table
  const auto left = std::ranges::remove_if(extents, [&](const Found::Extent& extent) {
    return extent.word != 0 && leased.may_name(extent.word) && is_leased(extent.word);
  });
  found.count -= static_cast<std::uint32_t>(left.size());
}

void Arena::note_free(std::uint32_t unit, JobId id) noexcept {
  if (!is_there(unit)) return;
  Found& found = found_[log_of(cut(chunk_of(unit)))];
  if (!found.is_full()) found.add(unit, id.value());
}

Arena::Try Arena::cut_one_anew(std::uint32_t log, std::uint32_t most_looks, JobId id, std::uint32_t& unit) noexcept {
  const std::uint32_t chunks = segment_->geometry().arena_chunk_count;
  const std::uint32_t begin = chunk_of(next_unit_[log]);
  Try tried = Try::none;
  for (std::uint32_t n = 0; n < chunks && most_looks != 0; ++n) {
    const std::uint32_t chunk = (begin + n) % chunks;
    if (segment_->has_arena_chunk(chunk)) {
      const Try one = cut_anew(chunk, log, id, unit);
      if (one == Try::taken) {
        next_unit_[log] = unit + step_of(log);
        return one;
      }
      if (one == Try::moved) tried = one;
    }
    most_looks -= std::min(most_looks, looks_of_a_cut);
  }
  return tried;
}

Arena::Try Arena::cut_anew(std::uint32_t chunk, std::uint32_t log, JobId id, std::uint32_t& unit) noexcept {
  const std::uint64_t old_cut = cut(chunk);
  if ((old_cut & leaving_bit) != 0 || log_of(old_cut) == log) return Try::none;
  const std::uint32_t begin = chunk * chunk_units();
  const std::uint32_t end = begin + chunk_units();
  // The words of both cuts: from arena.C3 on, others may take those of the new one.
  const std::uint32_t step = step_of(std::max(log_of(old_cut), log));
  std::array<std::uint64_t, most_arena_chunk_units> seen;
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
  if (cut_after_swap(chunk) != old_cut) {  // arena.C2
    give_back(begin, end, step);
    return Try::moved;
  }
  // ORDER arena: arena.C3 before arena.C4: a producer that takes a word that arena.C4 gave back sees the new cut. From
  // arena.C1 on the chunk had no room, and by the new cut there may be more extents in it: arena.C4 wakes.
  segment_->arena_chunk(chunk).store(cut_after(old_cut, log), std::memory_order_release);  // arena.C3
  give_back(begin + step, end, step);                                                      // arena.C4
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
    if (!segment_->has_arena_chunk(chunk) || is_leaving(chunk)) continue;
    const std::uint64_t now = cut(chunk);
    const std::uint32_t begin = chunk * chunk_units();
    const bool is_coarse = log_of(now) <= wanted;
    bool all_free = true;
    for (std::uint32_t unit = begin; unit < begin + chunk_units(); unit += step_of(log_of(now))) {
      const bool free = is_free(at(unit), unit);
      if (free && is_coarse) {
        next_unit_[log_of(now)] = unit;
        return true;
      }
      all_free &= free;
      if (!all_free && !is_coarse) break;
    }
    if (!all_free) continue;
    next_unit_[wanted] = begin;
    return true;
  }
  return grow(wanted);
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
  fence_own_writes();  // behind the swap of arena.A1 or arena.C1
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
  if (!is_there(unit)) return false;
  std::uint64_t seen = from.value();
  return segment_->arena_unit(unit).compare_exchange_strong(seen, to.value()) || seen == to.value();
}

void Arena::give_up(std::uint32_t unit, JobId id) noexcept {
  std::uint64_t seen = id.value();
  if (is_there(unit) && segment_->arena_unit(unit).compare_exchange_strong(seen, 0)) wake_for_extent(*segment_);
}

std::optional<std::span<const std::byte>> Arena::extent_of(JobId id, Untrusted<std::uint32_t> first_unit,
                                                           Untrusted<std::uint32_t> length) const noexcept {
  const Geometry& geometry = segment_->geometry();
  const auto unit = first_unit.below(geometry.arena_unit_count());
  const auto bytes = length.below(geometry.max_payload + 1);
  if (!unit || !bytes || !segment_->has_arena_chunk(chunk_of(*unit))) return std::nullopt;
  // While a job has an extent its chunk is cut as it was when the job got it: so no two that pass share a byte.
  const std::uint32_t step = step_of(log_of(cut(chunk_of(*unit))));
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

bool Arena::is_all_free(std::uint32_t chunk) const noexcept {
  const std::uint32_t step = step_of(log_of(cut(chunk)));
  const std::uint32_t begin = chunk * chunk_units();
  const std::uint32_t end = begin + chunk_units();
  for (std::uint32_t unit = begin; unit < end; unit += step) {
    fetch(unit + look_distance * step, end);
    const std::uint64_t word = at(unit);
    if (word != 0 && !is_over(JobId(word), unit)) return false;
  }
  return true;
}

bool Arena::begin_leaving(std::uint32_t chunk) noexcept {
  const std::uint64_t before = cut(chunk);
  if ((before & leaving_bit) == 0 && !segment_->arena_chunk(chunk).swap(before, before | leaving_bit)) {  // shrink.X1
    return false;
  }
  full_fence();
  if (is_all_free(chunk)) {  // shrink.X2
    LeasedJobs leased(*segment_);
    bool is_read = false;
    const std::uint32_t begin = chunk * chunk_units();
    for (std::uint32_t unit = begin; unit < begin + chunk_units(); unit += step_of(log_of(before))) {
      const std::uint64_t word = at(unit);
      is_read |= word != 0 && leased.may_name(word) && is_leased(word);
    }
    if (!is_read) return true;
  }
  stay(chunk);
  return false;
}

void Arena::stay(std::uint32_t chunk) noexcept {
  const std::uint64_t now = cut(chunk);
  // It may be cut anew already, by a producer that had all its words before shrink.X1.
  if ((now & leaving_bit) != 0) static_cast<void>(segment_->arena_chunk(chunk).swap(now, cut_after(now, log_of(now))));
  wake_for_extent(*segment_);
}

void Arena::note_absent(std::uint32_t chunk) noexcept {
  const std::uint64_t now = cut(chunk);
  static_cast<void>(segment_->arena_chunk(chunk).swap(now, cut_after(now, 0)));
}

std::uint64_t Arena::used_bytes() const noexcept {
  std::uint64_t units = 0;
  for (std::uint32_t chunk = 0; chunk < segment_->geometry().arena_chunk_count; ++chunk) {
    if (!segment_->has_arena_chunk(chunk)) continue;
    const std::uint32_t begin = chunk * chunk_units();
    const std::uint32_t step = step_of(log_of(cut(chunk)));
    for (std::uint32_t unit = begin; unit < begin + chunk_units(); unit += step) {
      const std::uint64_t word = at(unit);
      if (word != 0 && !is_over(JobId(word), unit)) units += step;
    }
  }
  return units * segment_->geometry().arena_unit_bytes();
}

}  // namespace ringmill
