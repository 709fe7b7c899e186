#include "core/participant/context.h"

#include <algorithm>

#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/invariant.h"
#include "ipc/sleepers.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// What a participant evicts at a time, when it finds no room.
constexpr std::uint32_t most_cells_evicted = 16;
constexpr std::uint32_t most_extents_evicted = 16;
/// So often does it evict for one extent before it looks everywhere, or is refused.
constexpr int most_evictions = 8;

}  // namespace

ParticipantContext::ParticipantContext(std::shared_ptr<EngineCore> opened_engine, std::uint32_t registry_number,
                                       Binding binding)
    : engine(std::move(opened_engine)),
      segment(engine->segment),
      entry(segment.participant(registry_number)),
      number(registry_number),
      level_count(segment.geometry().level_count),
      handles(segment),
      most_payload(segment.geometry().max_payload),
      fork_generation(ringmill::fork_generation()),
      thread_number(binding == Binding::thread ? number_this_thread() : any_thread),
      settling(segment, number),
      free_cells(segment, number + 1),
      arena(segment),
      eviction(settling),
      lease_book(segment, entry, settling.table().inline_bytes()),
      sampler(steady_clock_ns() ^ std::uint64_t{number} << 32),
      visits(entry.visit),
      known_chunks_left(segment.signals().chunks_left.load()) {
  segment.forget_what_has_left();
}

void ParticipantContext::forget_what_has_left() noexcept {
  known_chunks_left = segment.signals().chunks_left.load();
  leases_may_be_taken = true;
  segment.forget_what_has_left();
  free_cells.forget_what_has_left();
}

bool ParticipantContext::is_of_this_process() const noexcept {
  return thread_number == any_thread && fork_generation == ringmill::fork_generation();
}

Error ParticipantContext::misuse() const noexcept {
  if (fork_generation != ringmill::fork_generation()) {
    return Error(ErrorCode::after_fork,
                 "this participant belongs to the parent process: open the engine and attach again after fork()");
  }
  return Error(ErrorCode::wrong_thread, "a participant belongs to the thread that attached it: attach one per thread");
}

void ParticipantContext::wake() noexcept {
  if (fork_generation != ringmill::fork_generation()) return;  // the parent's participant is not ours to wake
  woken.store(true);
  entry.wake_sequence.fetch_add(1);
  futex_wake(entry.wake_sequence, 1);
}

bool ParticipantContext::sleep(std::uint32_t sequence, std::uint64_t wait_ns) const noexcept {
  if (fork_generation != ringmill::fork_generation()) return true;  // so that the caller goes on, and is told
  Sleepers(segment, segment.signals().sleepers).sleep(number, sequence, std::min(wait_ns, longest_sleep_ns));
  return entry.wake_sequence.load() != sequence || segment.signals().removed.load() != 0;
}

void ParticipantContext::pass_on_wake() const noexcept {
  if (fork_generation != ringmill::fork_generation()) return;
  wake_for_jobs(segment, {.levels = entry.interest_levels.load(), .kinds = entry.interest_kinds.load()}, 1);
}

Result<void> ParticipantContext::check_wait() noexcept {
  if (segment.signals().removed.load() != 0) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
  }
  if (woken.exchange(false)) return std::unexpected(Error(ErrorCode::would_block, "woken by wake()"));
  return {};
}

void ParticipantContext::take_back(const FreeCells::Filling& filling) noexcept {
  RINGMILL_INVARIANT(filling.word.state() == CellState::filling && filling.word.owner() == settling.owner());
  std::uint64_t expected = filling.word.bits();
  const JobTable& table = settling.table();
  // Lost: another participant has freed the cell, and has not listed it.
  static_cast<void>(table.state(filling.index).compare_exchange_strong(expected, table.freed(filling.word).bits()));
  free_cells.keep_back(filling.index);
  free_cells.list_if_wanted();
}

void ParticipantContext::take_back(std::span<const FreeCells::Filling> filled) noexcept {
  for (const FreeCells::Filling& filling : filled) take_back(filling);
}

bool ParticipantContext::evict_for(std::uint32_t level) noexcept {
  if (segment.signals().results_kept.load() == 0) return false;
  ring_keeper(segment);  // it evicts more, and the oldest
  const Room& room = free_cells.room();
  const std::uint32_t missing =
      room.leases() + 1 - std::min(room.leases(), segment.free_map().count(room.common().end, room.leases()));
  if (eviction.make_room(room.common().first, room.common().end, missing + most_cells_evicted, nullptr) >= missing) {
    return true;
  }
  const CellRange own = room.own_of(level);
  return eviction.make_room(own.first, own.end, most_cells_evicted, nullptr) != 0;
}

bool ParticipantContext::evict_for_extent(std::size_t bytes) noexcept {
  if (segment.signals().results_kept.load() == 0) return false;
  const std::uint64_t in_a_chunk = segment.geometry().arena_chunk_bytes / arena.extent_bytes(bytes);
  const auto wanted = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(in_a_chunk, 1, most_extents_evicted));
  return eviction.make_room(0, segment.geometry().capacity, wanted, &arena) != 0;
}

std::optional<std::uint32_t> ParticipantContext::take_extent(JobId id, std::size_t bytes) noexcept {
  const auto wanted = static_cast<std::uint32_t>(bytes);
  for (int n = 0; n < most_evictions; ++n) {
    if (const auto unit = arena.take(id, wanted, Arena::Look::seldom)) return unit;
    // What goes may be of another size.
    if (!evict_for_extent(bytes)) break;
  }
  return arena.take(id, wanted);
}

bool ParticipantContext::list_if_free(CellIndex index, Settling::Ended ended) noexcept {
  if (ended == Settling::Ended::free) {
    free_cells.keep_back(index);
    free_cells.list_if_wanted();
  }
  return ended != Settling::Ended::lost;
}

}  // namespace ringmill
