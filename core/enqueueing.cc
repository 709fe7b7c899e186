// Enqueueing: from a request to a hint in a ring.
//
//                                                              killed just after the step
//   N1  CAS a free cell to filling(me)                         the scan after our death frees it
//   N2  write payload and header                               as N1
//   N3  ids into the own placing list, then its length         the list names cells that are not queued: ignored
//   N4  store the cell's word: queued                          the reaper marks, and pushes the hints of, those that
//   M   mark the cell for the journal                          got here
//   N5  push the hint, wake sleepers; what finds no room in    pushed again by the reaper, which wakes everybody: a
//       the ring is left to the keeper                         doubled hint is harmless
//   N6  clear the placing list                                 nothing is left
//
// A job is marked before it can be claimed, so its end is marked after it: the journal never misses a life that it
// should know.
#include <algorithm>

#include "core/participant_implementation.h"

namespace ringmill {

namespace {

constexpr std::uint64_t most_lease_ms = 24ULL * 24 * 3600 * 1000;
/// How far ahead of a push the ring's slots are fetched: a few lines of eight.
constexpr std::uint64_t push_prefetch_distance = 24;
/// A durable enqueue waits this long for the device, however short its wait for room may be: the job is in already.
constexpr std::uint64_t least_durable_wait_ns = 10'000'000'000;

}  // namespace

inline bool Participant::Implementation::accepts(const JobRequest& request) const noexcept {
  return request.payload.size() <= settling_.table().inline_bytes() &&
         static_cast<std::uint32_t>(request.level) < level_count_ &&
         static_cast<std::uint32_t>(request.kind) < most_kinds &&
         static_cast<std::uint64_t>(request.lease.count()) <= most_lease_ms;
}

Error Participant::Implementation::refusal_of(const JobRequest& request) const {
  if (request.payload.size() > settling_.table().inline_bytes()) {
    return Error(ErrorCode::too_large, "the payload does not fit a cell",
                 std::to_string(request.payload.size()) + " bytes, at most " +
                     std::to_string(settling_.table().inline_bytes()) + "; make the engine with a larger --cell-size");
  }
  if (static_cast<std::uint32_t>(request.level) >= level_count_) {
    return Error(ErrorCode::invalid_argument, "not a level of this engine: use Engine::level()");
  }
  if (static_cast<std::uint32_t>(request.kind) >= most_kinds) {
    return Error(ErrorCode::invalid_argument, "not a kind of this engine: use Engine::kind()");
  }
  return Error(ErrorCode::invalid_argument, "a lease is 1 ms to 24 days");
}

inline void Participant::Implementation::fill(const FreeCells::Filling& filling, const JobRequest& request,
                                              std::uint64_t wall_ns) noexcept {
  const JobTable& table = settling_.table();
  CellHeader& header = table.header(filling.index);
  // ORDER relaxed: the cell is ours; its word publishes all of this in N4.
  header.kind.store(static_cast<std::uint32_t>(request.kind), std::memory_order_relaxed);
  header.payload_bytes.store(static_cast<std::uint32_t>(request.payload.size()), std::memory_order_relaxed);
  header.level.store(static_cast<std::uint16_t>(request.level), std::memory_order_relaxed);
  header.attempts.store(0, std::memory_order_relaxed);
  header.flags.store(request.durability == Durability::memory ? cell_flag::memory_only : 0, std::memory_order_relaxed);
  header.enqueued_at_ns.store(wall_ns, std::memory_order_relaxed);
  header.lease_ms.store(static_cast<std::uint32_t>(request.lease.count()), std::memory_order_relaxed);
  table.copy_in(filling.index, request.payload);  // N2
}

std::size_t Participant::Implementation::publish(std::span<const FreeCells::Filling> filled,
                                                 std::span<const JobRequest> requests, std::span<JobId> ids) noexcept {
  const JobTable& table = settling_.table();
  for (std::size_t n = 0; n < filled.size(); ++n) {
    ids[n] = job_id_of(filled[n].word, filled[n].index);
    entry_.placing[n].store(ids[n].value(), std::memory_order_relaxed);  // ORDER placing: released by its length
  }
  entry_.placing_count.store(static_cast<std::uint32_t>(filled.size()),
                             std::memory_order_release);  // N3, ORDER placing
  MarkRun marks([this](std::uint32_t word, std::uint64_t bits) { settling_.mark_changed(word, bits); });
  bool marked = false;
  for (std::size_t n = 0; n < filled.size(); ++n) {
    const FreeCells::Filling& filling = filled[n];
    // ORDER state: releases header and payload to the claimer.
    table.state(filling.index).store(filling.word.next(CellState::queued, 0).bits(), std::memory_order_release);  // N4
    if (requests[n].durability == Durability::memory) continue;
    marks.add(filling.index);  // M
    marked = true;
  }
  marks.flush();
  const auto is_live = [&table](std::uint64_t hint) { return table.is_live(hint); };
  std::size_t n = 0;
  while (n < filled.size()) {  // one run of equal levels at a time
    const auto level = static_cast<std::uint32_t>(requests[n].level);
    Ring& ring = settling_.ring(level);
    std::uint64_t position = ring.tail();
    Arrival arrival;
    const std::size_t begin = n;
    for (; n < filled.size() && static_cast<std::uint32_t>(requests[n].level) == level; ++n) {
      arrival.add(level, static_cast<std::uint32_t>(requests[n].kind));
      if (position % Ring::slots_per_line == 0) ring.prefetch_to_push(position + push_prefetch_distance);
      if (ring.push_at(position, JobTable::hint_of(ids[n]), is_live) == Ring::Pushed::full) {  // N5
        settling_.note_overflow(level);
      }
    }
    ring.raise_tail(position);
    wake_for_jobs(segment_, arrival, static_cast<std::uint32_t>(n - begin));
  }
  entry_.placing_count.store(0, std::memory_order_release);  // N6, ORDER placing
  if (marked) wake_journal_if_asleep(segment_);
  add(entry_.enqueued, filled.size());
  return filled.size();
}

Result<void> Participant::Implementation::reach_device(std::uint64_t wait_ns) noexcept {
  return wait_durable(ticket(), std::max(wait_ns, least_durable_wait_ns));
}

Result<JobId> Participant::Implementation::enqueue(const JobRequest& request, std::uint64_t wait_ns) {
  if (!accepts(request)) return std::unexpected(refusal_of(request));
  if (request.durability != Durability::memory && !journal_accepts()) {
    if (auto goes_on = wait_for_journal(wait_ns); !goes_on) return std::unexpected(goes_on.error());
  }
  FreeCells::Filling filling;
  if (!free_.take(filling)) {  // N1
    const std::uint64_t end_ns = wait_ns == 0 ? 0 : steady_clock_ns() + wait_ns;
    do {
      if (auto room = wait_for_space(end_ns); !room) return std::unexpected(room.error());
    } while (!free_.take(filling));
  }
  fill(filling, request, wall_clock_ns());
  JobId id;
  publish(std::span(&filling, 1), std::span(&request, 1), std::span(&id, 1));
  if (request.durability == Durability::durable) {
    if (auto reached = reach_device(wait_ns); !reached) return std::unexpected(reached.error());
  }
  return id;
}

Result<std::size_t> Participant::Implementation::enqueue_batch(std::span<const JobRequest> requests,
                                                               std::span<JobId> ids, std::uint64_t wait_ns) {
  if (requests.size() > most_in_batch || ids.size() < requests.size()) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a batch has at most 64 jobs, and room for as many ids"));
  }
  bool to_journal = false;
  bool to_device = false;
  for (const JobRequest& request : requests) {
    if (!accepts(request)) return std::unexpected(refusal_of(request));
    to_journal |= request.durability != Durability::memory;
    to_device |= request.durability == Durability::durable;
  }
  if (to_journal && !journal_accepts()) {
    if (auto goes_on = wait_for_journal(wait_ns); !goes_on) return std::unexpected(goes_on.error());
  }
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : steady_clock_ns() + wait_ns;
  const std::uint64_t wall_ns = wall_clock_ns();
  std::array<FreeCells::Filling, most_in_batch> filled;
  std::size_t done = 0;
  while (done < requests.size()) {
    std::size_t count = 0;
    while (done + count < requests.size() && free_.take(filled[count])) {  // N1
      fill(filled[count], requests[done + count], wall_ns);
      ++count;
    }
    if (count != 0) {
      done += publish(std::span(filled).first(count), requests.subspan(done, count), ids.subspan(done, count));
      continue;
    }
    if (auto room = wait_for_space(end_ns); !room) {
      if (done == 0) return std::unexpected(room.error());
      break;
    }
  }
  if (to_device) {
    if (auto reached = reach_device(wait_ns); !reached) return std::unexpected(reached.error());
  }
  return done;
}

Result<void> Participant::Implementation::wait_for_space(std::uint64_t end_ns) noexcept {
  const auto give_up = [](ErrorCode code, const char* why) { return std::unexpected(Error(code, why)); };
  if (segment_.signals().removed.load() != 0) return give_up(ErrorCode::not_found, "the engine was removed");
  if (end_ns == 0) return give_up(ErrorCode::would_block, "the engine is full");
  Sleepers waiters(segment_, segment_.signals().space_waiters);
  // Workers that are busy free cells every few microseconds: cheaper to wait for than a sleep and a wake.
  const std::uint64_t spin_end_ns = std::min(end_ns, steady_clock_ns() + spin_ns);
  for (std::uint32_t spin = 0; spin % 16 != 15 || steady_clock_ns() < spin_end_ns; ++spin) {
    if (free_.refill()) return {};
    __builtin_ia32_pause();
  }
  // Cells that nobody lists may be all that is left: those of the dead, and those that workers keep back. The keeper
  // sees our sign within its thorough turn, and its scan finds them.
  while (true) {
    if (woken_.exchange(false)) return give_up(ErrorCode::would_block, "woken by wake()");
    if (segment_.signals().removed.load() != 0) return give_up(ErrorCode::not_found, "the engine was removed");
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) return give_up(ErrorCode::timed_out, "the engine stayed full");
    const std::uint32_t sequence = waiters.sequence_of(number_);  // S1
    waiters.announce(number_);                                    // S2
    if (free_.refill()) {                                         // S3
      waiters.withdraw(number_);
      return {};
    }
    waiters.sleep(number_, sequence, std::min(end_ns - now_ns, longest_sleep_ns));  // S4
    waiters.withdraw(number_);                                                      // S5
    if (free_.refill()) return {};
  }
}

}  // namespace ringmill
