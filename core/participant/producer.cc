#include "core/participant/producer.h"

#include <algorithm>
#include <optional>

#include "core/base/exceptions.h"
#include "core/levels/level_names.h"
#include "ipc/invariant.h"
#include "ipc/pause.h"

namespace ringmill {

namespace {

JobPair pair_of(const Checked& job) noexcept { return {job.level(), job.kind()}; }

/// How far ahead of a push the ring's slots are fetched: a few lines of eight.
constexpr std::uint64_t push_prefetch_distance = 24;
/// So often does a producer evict before it is refused.
constexpr int most_evictions = 8;

}  // namespace

std::size_t Producer::publish(std::span<const FreeCells::Filling> filled, const JobRequest* requests,
                              const Checked* checked, JobId* ids) noexcept {
  ParticipantEntry& entry = context_.entry;
  RINGMILL_INVARIANT(entry.placing_count.load_once().below(1U).has_value());  // one list at a time
  for (std::size_t n = 0; n < filled.size(); ++n) {
    ids[n] = job_id_of(filled[n].word, filled[n].index);
    entry.placing[n].store(ids[n].value(), std::memory_order_relaxed);  // ORDER placing: released by its length
  }
  entry.placing_count.store(static_cast<std::uint32_t>(filled.size()),
                            std::memory_order_release);  // enq.N3, ORDER placing
  Settling& settling = context_.settling;
  MarkRun marks([&settling](std::uint32_t word, std::uint64_t bits) { settling.mark_changed(word, bits); });
  bool marked = false;
  for (std::size_t n = 0; n < filled.size(); ++n) {
    const FreeCells::Filling& filling = filled[n];
    RINGMILL_INVARIANT(table_.word(filling.index) == filling.word);  // only its owner moves a cell that is filling
    // ORDER state: releases header and payload to the claimer.
    table_.state(filling.index)
        .store(filling.word.next(CellWriter::first_state(requests[n], checked[n]), 0).bits(),
               std::memory_order_release);  // enq.N4
    if (requests[n].durability == Durability::memory) continue;
    marks.add(filling.index);  // enq.M
    marked = true;
  }
  marks.flush();
  place_filled(filled, requests, checked, ids);
  if (marked) wake_journal_if_asleep(context_.segment);
  return filled.size();
}

inline void Producer::place_filled(std::span<const FreeCells::Filling> filled, const JobRequest* requests,
                                   const Checked* checked, const JobId* ids) noexcept {
  Settling& settling = context_.settling;
  const auto is_live = [this](std::uint64_t hint) { return table_.is_live(hint); };
  std::size_t n = 0;
  while (n < filled.size()) {  // one run of equal levels at a time
    const std::uint32_t level = level_number(checked[n].level());
    Ring& ring = settling.ring(level);
    bool is_direct = settling.is_direct(level);  // settle.O1 for all of them
    if (!is_direct) [[unlikely]] {
      ease_queue(level, ring);
      is_direct = settling.is_direct(level);
    }
    std::optional<Settling::Spill> spill;
    std::size_t spilled_from = 0;
    std::uint64_t position = ring.tail();
    Arrival arrival;
    const std::size_t begin = n;
    std::uint32_t other_kinds = 0;  // not zero: the kinds differ
    const Checked first = checked[n];
    const bool are_plain = !first.has_options();  // all that are as the first one
    if (are_plain) [[likely]]
      arrival.add(level, first.kind());
    for (; n < filled.size(); ++n) {
      if (checked[n] != first || !are_plain) [[unlikely]] {
        if (checked[n].level() != first.level()) break;
        other_kinds |= checked[n].kind() ^ first.kind();
        if (checked[n].has_options()) {
          const DueTime look = CellWriter::first_look_at(requests[n]);
          if (look.ns != 0) settling.mark_for_keeper(filled[n].index, look);  // enq.N5
          if (CellWriter::first_state(requests[n], checked[n]) != CellState::queued) continue;
        }
        arrival.add(level, checked[n].kind());
      }
      if (is_direct) [[likely]] {
        if (position % Ring::slots_per_line == 0) ring.prefetch_to_push(position + push_prefetch_distance);
        const std::uint64_t hint = JobTable::hint_of(ids[n]);
        if (ring.push_at(position, hint, is_live) == Ring::Pushed::done) [[likely]]
          continue;  // enq.N5
        if (const auto behind = push_under_pressure(level, ring, position, hint)) {
          position = *behind;
          continue;
        }
        is_direct = false;  // and so is this one: those behind it must not overtake it
      }
      if (!spill) {
        spill.emplace(settling, level);
        spilled_from = n;
      }
      spill->add(filled[n].index);  // enq.N5
    }
    if (is_direct) ring.raise_tail(position);
    if (spill && !spill->end()) [[unlikely]] {
      for (std::size_t again = spilled_from; again < n; ++again) {
        if (CellWriter::first_state(requests[again], checked[again]) == CellState::queued) {
          settling.place_in_level(filled[again].index, ids[again], level);
        }
      }
    }
    wake_for_jobs(context_.segment, arrival, static_cast<std::uint32_t>(n - begin));
    count_enqueued(std::span(checked + begin, n - begin), other_kinds != 0);
  }
  context_.entry.placing_count.store(0, std::memory_order_release);  // enq.N6, ORDER placing
  count_more(context_.entry.enqueued, filled.size());
}

std::optional<std::uint64_t> Producer::push_under_pressure(std::uint32_t level, Ring& ring, std::uint64_t position,
                                                           std::uint64_t hint) noexcept {
  ring.raise_tail(position);
  const auto is_live = [this](std::uint64_t other) { return table_.is_live(other); };
  while (!holds_jobs() && pressure_.has_eased(level, ring)) {
    if (ring.push_at(position, hint, is_live) == Ring::Pushed::done) return position;
  }
  return std::nullopt;
}

void Producer::ease_queue(std::uint32_t level, const Ring& ring) noexcept {
  if (!holds_jobs()) pressure_.ease_queue(level, ring);
}

inline void Producer::count_enqueued(std::span<const Checked> jobs, bool differ) noexcept {
  Tally& tally = context_.settling.tally();
  if (!differ) [[likely]] {
    tally.count(&PairCounts::enqueued, pair_of(jobs.front()), jobs.size());
    return;
  }
  TallyRun run(tally, &PairCounts::enqueued);
  for (const Checked& job : jobs) run.add(pair_of(job));
}

Result<void> Producer::reach_device(std::uint64_t end_ns) {
  const Away away(context_);
  return tickets_.reach_device(end_ns);
}

inline Result<FreeCells::Filling> Producer::take_and_fill(const JobRequest& request, const Checked& checked,
                                                          std::uint32_t inline_room, std::uint64_t wait_ns) {
  std::uint64_t end_ns = 0;  // known when we have to wait
  const auto wait_end_ns = [&end_ns, wait_ns] {
    if (end_ns == 0 && wait_ns != 0) end_ns = later_by(steady_clock_ns(), wait_ns);
    return end_ns;
  };
  if (request.durability != Durability::memory && !journal_accepts(context_.segment)) {
    static_cast<void>(wait_end_ns());
    const Away away(context_);
    if (auto goes_on = tickets_.wait_for_journal(wait_ns); !goes_on) return std::unexpected(goes_on.error());
  }
  FreeCells::Filling filling;
  const bool is_large = request.payload.size() > inline_room;
  while (true) {
    while (!context_.free_cells.take(filling, checked.level())) {  // enq.N1
      if (auto room = wait_for_space(checked.level(), wait_end_ns()); !room) return std::unexpected(room.error());
    }
    if (!is_large || writer_.fill_extent(filling, request)) break;
    if (auto room = wait_for_extent(request.payload.size(), wait_end_ns()); !room) return std::unexpected(room.error());
  }
  if (!writer_.fill(filling, request, checked, inline_room, wall_clock_ns())) [[unlikely]] {
    context_.take_back(filling);
    return std::unexpected(check_.refusal_of_level(checked.level()));
  }
  return filling;
}

Result<JobId> Producer::enqueue(const JobRequest& request, std::uint64_t wait_ns) try {
  Checked checked;
  if (!check_.accepts(request, checked)) return std::unexpected(check_.refusal_of(request));
  if (is_bounded(context_.segment, checked.level())) [[unlikely]] {
    return enqueue_bounded(request, checked, wait_ns);
  }
  const std::uint64_t device_end = device_end_ns(request.durability == Durability::durable, wait_ns);
  const auto filling = take_and_fill(request, checked, check_.inline_room(request, checked), wait_ns);
  if (!filling) return std::unexpected(filling.error());
  JobId id;
  publish(std::span(&*filling, 1), &request, &checked, &id);
  if (device_end != 0) {
    if (auto reached = reach_device(device_end); !reached) return std::unexpected(reached.error());
  }
  return id;
} catch (const std::exception& thrown) {  // here and not in the public call, which stays a mere jump
  return std::unexpected(error_of(thrown));
}

/// The jobs of a batch are mostly of one kind and level, which were looked at with the first of them.
inline const JobRequest* Producer::first_refused(std::span<const JobRequest> requests, Checked* checked,
                                                 BatchNeeds& needs) const {
  std::uint64_t last_names = 0;
  Checked last{0, 0, false};
  for (std::size_t n = 0; n < requests.size(); ++n) {
    const JobRequest& request = requests[n];
    const std::uint64_t names = Handles::pair_of(request.kind, request.level);
    needs.durabilities |= BatchNeeds::bit(request.durability);
    if (names == last_names && n != 0 && check_.is_plain_beside_names(request)) [[likely]] {
      checked[n] = last;
      continue;
    }
    if (!check_.accepts(request, checked[n])) return &request;
    needs.has_bounded |= is_bounded(context_.segment, checked[n].level());
    last_names = names;
    last = checked[n].without_options();
  }
  return nullptr;
}

Result<std::size_t> Producer::enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids,
                                            std::uint64_t wait_ns) {
  if (requests.size() > Participant::most_in_batch || ids.size() < requests.size()) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a batch has at most 64 jobs, and room for as many ids"));
  }
  std::array<Checked, Participant::most_in_batch> all_checked;
  BatchNeeds needs;
  if (const JobRequest* refused = first_refused(requests, all_checked.data(), needs)) {
    return std::unexpected(check_.refusal_of(*refused));
  }
  const std::uint64_t device_end = device_end_ns(needs.to_device(), wait_ns);
  if (device_end != 0) std::ranges::fill(ids, JobId());  // after not_durable they tell which jobs are in
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  if (needs.to_journal() && !journal_accepts(context_.segment)) {
    const Away away(context_);
    if (auto goes_on = tickets_.wait_for_journal(wait_ns); !goes_on) return std::unexpected(goes_on.error());
  }
  if (needs.has_bounded) [[unlikely]]
    return enqueue_batch_bounded(requests, ids, end_ns, device_end);
  const std::uint64_t wall_ns = wall_clock_ns();
  FreeCells& free_cells = context_.free_cells;
  const std::span<const Checked> checked = std::span(all_checked).first(requests.size());
  // Without a first value, which would be as much to write as a few jobs are.
  alignas(FreeCells::Filling) std::array<std::byte, sizeof(FreeCells::Filling) * Participant::most_in_batch> room_for;
  const std::span filled(reinterpret_cast<FreeCells::Filling*>(room_for.data()), Participant::most_in_batch);
  std::size_t done = 0;
  while (done < requests.size()) {
    std::size_t count = 0;
    bool is_closed = false;
    bool lacks_extent = false;
    while (!is_closed && done + count < requests.size()) {
      const JobRequest& request = requests[done + count];
      const Checked& job = checked[done + count];
      if (!free_cells.take(filled[count], job.level())) break;  // enq.N1
      const std::uint32_t room = check_.inline_room(request, job);
      if (request.payload.size() > room && !writer_.fill_extent(filled[count], request)) [[unlikely]] {
        lacks_extent = true;
        break;
      }
      is_closed = !writer_.fill(filled[count], request, job, room, wall_ns);
      ++count;
    }
    if (is_closed) [[unlikely]] {
      for (std::size_t n = 0; n < count; ++n) context_.take_back(filled[n]);
      if (done == 0) return std::unexpected(check_.refusal_of_level(checked[count - 1].level()));
      break;
    }
    if (count != 0) {
      done += publish(filled.first(count), &requests[done], &checked[done], &ids[done]);
      continue;
    }
    const JobRequest& next = requests[done];
    if (auto room =
            lacks_extent ? wait_for_extent(next.payload.size(), end_ns) : wait_for_space(checked[done].level(), end_ns);
        !room) {
      if (done == 0) return std::unexpected(room.error());
      break;
    }
  }
  if (device_end != 0) {
    if (auto reached = reach_device(device_end); !reached) return std::unexpected(reached.error());
  }
  return done;
}

Result<FreeCells::Filling> Producer::take_filled(const JobRequest& request, const Checked& checked,
                                                 std::uint32_t inline_room, std::uint64_t wait_ns, CountedIn& counted) {
  return counted.level().is_bounded() ? take_counted(request, checked, inline_room, wait_ns, counted)
                                      : take_and_fill(request, checked, inline_room, wait_ns);
}

/// What is counted does not wait: a place in the level is given back while the table, the arena or the journal has no
/// room.
Result<FreeCells::Filling> Producer::take_counted(const JobRequest& request, const Checked& checked,
                                                  std::uint32_t inline_room, std::uint64_t wait_ns,
                                                  CountedIn& counted) {
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  while (true) {
    while (!counted.enter()) {
      if (auto room = wait_for_level(counted.level(), 1, checked.level(), end_ns); !room) {
        return std::unexpected(room.error());
      }
    }
    auto filling = take_and_fill(request, checked, inline_room, 0);
    if (filling) {
      CellHeader& header = table_.header(filling->index);
      // ORDER relaxed: as in CellWriter::fill().
      header.flags.store(header.flags.load(std::memory_order_relaxed) | cell_flag::counted, std::memory_order_relaxed);
      return filling;
    }
    counted.leave();
    const std::uint64_t now_ns = steady_clock_ns();
    if (filling.error().code() != ErrorCode::would_block || end_ns == 0 || now_ns >= end_ns) return filling;
    const bool lacks_journal = request.durability != Durability::memory && !journal_accepts(context_.segment);
    const auto has_room = lacks_journal ? tickets_.wait_for_journal(end_ns - now_ns)
                          : !context_.free_cells.has_room(checked.level(), FreeCells::Taker::producer)
                              ? wait_for_space(checked.level(), end_ns)
                              : wait_for_extent(request.payload.size(), end_ns);
    if (!has_room) return std::unexpected(has_room.error());
  }
}

Result<JobId> Producer::enqueue_bounded(const JobRequest& request, const Checked& checked, std::uint64_t wait_ns) {
  const std::uint64_t device_end = device_end_ns(request.durability == Durability::durable, wait_ns);
  JobId id;
  {
    CountedIn counted(context_, checked.level());
    const auto filling = take_counted(request, checked, check_.inline_room(request, checked), wait_ns, counted);
    if (!filling) return std::unexpected(filling.error());
    publish(std::span(&*filling, 1), &request, &checked, &id);
    counted.note_published();
  }
  if (device_end != 0) {
    if (auto reached = reach_device(device_end); !reached) return std::unexpected(reached.error());
  }
  return id;
}

Result<std::size_t> Producer::enqueue_batch_bounded(std::span<const JobRequest> requests, std::span<JobId> ids,
                                                    std::uint64_t end_ns, std::uint64_t device_end) {
  std::size_t done = 0;
  for (; done < requests.size(); ++done) {
    const std::uint64_t now_ns = end_ns == 0 ? 0 : steady_clock_ns();
    JobRequest request = requests[done];
    // The batch waits for the device, once.
    if (request.durability == Durability::durable) request.durability = Durability::journaled;
    const auto id = enqueue(request, end_ns - std::min(now_ns, end_ns));
    if (!id && done == 0) return std::unexpected(id.error());
    if (!id) break;
    ids[done] = *id;
  }
  if (device_end != 0) {
    if (auto reached = reach_device(device_end); !reached) return std::unexpected(reached.error());
  }
  return done;
}

void Producer::place(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked,
                     JobId id) noexcept {
  place_filled(std::span(&filling, 1), &request, &checked, &id);
}

template <class HasRoom, class Refusal>
Result<void> Producer::wait_for_room(std::uint64_t end_ns, Refusal&& refusal, HasRoom&& has_room) {
  if (context_.segment.signals().removed.load() != 0) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
  }
  if (end_ns == 0) return std::unexpected(refusal(ErrorCode::would_block));
  Sleepers waiters(context_.segment, context_.segment.signals().space_waiters);
  const std::uint64_t begin_ns = steady_clock_ns();
  // There seemed to be room, again and again: others took it, or what is not free is listed.
  if (begin_ns >= end_ns) return std::unexpected(refusal(ErrorCode::timed_out));
  // Workers that are busy free cells every few microseconds: cheaper to wait for than a sleep and a wake.
  const std::uint64_t spin_end_ns = std::min(end_ns, begin_ns + spin_ns);
  for (std::uint32_t spin = 0; spin % 16 != 15 || steady_clock_ns() < spin_end_ns; ++spin) {
    if (has_room()) return {};
    pause_while_spinning();
  }
  // Cells that are not listed may be all that is left: cells of dead participants, and cells that workers keep back.
  // The keeper sees our sign within its thorough turn, and its scan finds them.
  while (true) {
    if (auto waits = context_.check_wait(); !waits) return waits;
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) return std::unexpected(refusal(ErrorCode::timed_out));
    const std::uint32_t sequence = waiters.sequence_of(context_.number);  // wake.S1
    waiters.announce(context_.number);                                    // wake.S2
    if (has_room()) {                                                     // wake.S3
      waiters.withdraw(context_.number);
      return {};
    }
    const Away away(context_);
    waiters.sleep(context_.number, sequence, std::min(end_ns - now_ns, longest_sleep_ns));  // wake.S4
    waiters.withdraw(context_.number);                                                      // wake.S5
    if (has_room()) return {};
  }
}

Error Producer::no_room(std::uint32_t level, FreeCells::Taker taker, ErrorCode code) const {
  const std::uint32_t number = level_number(level);
  const Room& room = context_.free_cells.room();
  const Ring ring = context_.segment.ring(number);
  const std::uint64_t tail = ring.tail();
  const std::uint64_t waiting = tail - std::min(ring.head(), tail);
  std::string detail = "level " + level_name(context_.segment, number) + ": about " + std::to_string(waiting) +
                       " of its jobs wait; all levels share room for " + std::to_string(room.plain_capacity());
  if (const std::uint32_t own = room.own_of(number).size(); own != 0) {
    detail += ", " + std::to_string(own) + " more are kept for this level";
  }
  if (context_.free_cells.lacks_memory()) {
    detail +=
        "; the tmpfs of the engine's shared memory is full: remove what else fills it, or make it larger "
        "(docker: --shm-size)";
  }
  if (taker != FreeCells::Taker::producer) detail += ", " + std::to_string(room.leases()) + " for running handlers";
  return Error(code, code == ErrorCode::timed_out ? "the engine stayed full" : "the engine is full", detail);
}

Result<void> Producer::wait_for_space(std::uint32_t level, std::uint64_t end_ns, FreeCells::Taker taker) {
  // More than once: a stopped participant may have hidden the word of the map that what we evict is listed in.
  for (int n = 0; n < most_evictions && context_.evict_for(level); ++n) {
    if (context_.free_cells.has_room(level, taker)) return {};
  }
  return wait_for_room(
      end_ns, [&](ErrorCode code) { return no_room(level, taker, code); },
      [&] { return context_.free_cells.has_room(level, taker); });
}

Result<void> Producer::wait_for_level(const LevelCount& level, std::uint32_t count, std::uint32_t named,
                                      std::uint64_t end_ns) {
  return wait_for_room(
      end_ns,
      [&](ErrorCode code) {
        const std::string name = level_name(context_.segment, level_number(named));
        return Error(code, code == ErrorCode::timed_out ? "the level stayed full" : "the level is full",
                     "level " + name + " holds about " + std::to_string(level.held()) +
                         " jobs in whatever state, kept results included, and may hold " +
                         std::to_string(level.most()) + "; `ringmill level DIR set " + name + " --most` changes that");
      },
      [&level, count] { return level.has_room(count); });
}

/// Two that wait may be woken for one extent: one that does not get it waits again.
Result<void> Producer::wait_for_extent(std::size_t bytes, std::uint64_t end_ns) {
  if (context_.evict_for_extent(bytes) && context_.arena.has_room(static_cast<std::uint32_t>(bytes))) return {};
  return wait_for_room(
      end_ns,
      [](ErrorCode code) {
        return Error(code, code == ErrorCode::timed_out ? "the arena stayed full" : "the arena is full");
      },
      [this, bytes] { return context_.arena.has_room(static_cast<std::uint32_t>(bytes)); });
}

}  // namespace ringmill
