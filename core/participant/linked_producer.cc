#include "core/participant/linked_producer.h"

#include <algorithm>
#include <set>

#include "core/participant/inherited_traces.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/invariant.h"
#include "ipc/pause.h"

namespace ringmill {

namespace {

/// Cells that are given back at the end of the scope, unless they are kept: what follows may throw.
class TakenCells {
 public:
  TakenCells(ParticipantContext& context, std::span<const FreeCells::Filling> cells) noexcept
      : context_(context), cells_(cells) {}
  TakenCells(const TakenCells&) = delete;
  TakenCells& operator=(const TakenCells&) = delete;
  ~TakenCells() { context_.take_back(cells_); }
  void keep() noexcept { cells_ = {}; }

 private:
  ParticipantContext& context_;
  std::span<const FreeCells::Filling> cells_;
};

JobId id_of(const FreeCells::Filling& filling) noexcept { return job_id_of(filling.word, filling.index); }

Error refused(const char* why) { return Error(ErrorCode::invalid_argument, why); }

}  // namespace

std::uint32_t LinkedProducer::room_for(std::span<const Checked> jobs) const {
  const Room& room = context_.free_cells.room();
  std::set<std::uint32_t> own_cells;  // by the first one: dynamic levels share theirs
  std::uint32_t most = room.plain_capacity();
  for (const Checked& job : jobs) {
    const CellRange own = room.own_of(job.level());
    if (own.size() != 0 && own_cells.insert(own.first).second) most += own.size();
  }
  return most;
}

Result<void> LinkedProducer::check_room(std::span<const LinkedRequest> jobs, std::span<const Checked> checked) const {
  if (jobs.size() > context_.free_cells.room().plain_capacity()) {  // a follow-up, or a few jobs, always fit
    if (const std::uint32_t capacity = room_for(checked); jobs.size() > capacity) {
      return std::unexpected(Error(ErrorCode::no_space, "more jobs than this engine has room for",
                                   std::to_string(jobs.size()) + ", at most " + std::to_string(capacity)));
    }
  }
  std::uint64_t extents = 0;
  for (const LinkedRequest& job : jobs) {
    if (const std::size_t bytes = bytes_of_body(job); is_large_body(job, bytes))
      extents += context_.arena.extent_bytes(bytes);
  }
  const std::uint64_t arena = context_.segment.header().arena_bytes.load();
  if (extents > arena) {
    return std::unexpected(Error(ErrorCode::no_space, "longer payloads than this engine's arena has room for",
                                 std::to_string(extents) + " bytes in all, at most " + std::to_string(arena) +
                                     "; `ringmill resize` with a larger --arena makes room"));
  }
  return {};
}

bool LinkedProducer::take_linked(const LinkedRequest& job, const Checked& checked, FreeCells::Taker taker,
                                 FreeCells::Filling& filling) {
  if (!context_.free_cells.take(filling, checked.level(), taker)) return false;
  const std::size_t bytes = bytes_of_body(job);
  if (!is_large_body(job, bytes)) return true;
  const auto unit = writer_.take_extent(filling, bytes);
  if (!unit) return false;
  filling.extent = *unit;
  return true;
}

Result<void> LinkedProducer::take_all(std::span<const LinkedRequest> jobs, std::span<const Checked> checked,
                                      std::span<FreeCells::Filling> filled, FreeCells::Taker taker,
                                      std::uint64_t end_ns) {
  if (auto fits = check_room(jobs, checked); !fits) return fits;
  const std::uint32_t level = checked.front().level();
  while (true) {
    std::size_t count = 0;
    while (count < filled.size() && take_linked(jobs[count], checked[count], taker, filled[count])) ++count;
    if (count == filled.size()) return {};
    context_.take_back(filled.first(count));
    context_.free_cells.list();
    if (end_ns == 0 || steady_clock_ns() >= end_ns) {
      const ErrorCode code = end_ns == 0 ? ErrorCode::would_block : ErrorCode::timed_out;
      if (jobs.size() == 1) return std::unexpected(producer_.no_room(level, taker, code));
      return std::unexpected(Error(
          code, end_ns == 0 ? "the engine has no room for all of them" : "the engine got no room for all of them"));
    }
    // There may be room, and not for all: look again soon, and let others have it meanwhile.
    const std::uint64_t soon_ns = std::min(end_ns, later_by(steady_clock_ns(), 2'000'000));
    if (count == 0 && !context_.free_cells.has_room(level, taker)) {
      if (auto room = producer_.wait_for_space(level, end_ns, taker); !room) return std::unexpected(room.error());
      continue;
    }
    const std::uint32_t sequence = context_.entry.wake_sequence.load();
    if (auto waits = context_.check_wait(); !waits) return waits;
    const std::uint64_t now_ns = steady_clock_ns();
    const Away away(context_);
    if (now_ns < soon_ns) futex_wait(context_.entry.wake_sequence, sequence, soon_ns - now_ns);
  }
}

Result<void> LinkedProducer::count_in(std::span<const Checked> jobs, LevelsCountedIn& counted, std::uint64_t end_ns) {
  for (const Checked& job : jobs) counted.add(job.level());
  while (const auto full = counted.enter()) {
    const LevelCount level(context_.segment, level_number(*full));
    const std::uint32_t count = counted.wanted(*full);
    if (level.most() < count) {
      return std::unexpected(Error(ErrorCode::no_space, "more jobs of one level than it may hold",
                                   std::to_string(count) + ", at most " + std::to_string(level.most())));
    }
    if (auto room = producer_.wait_for_level(level, count, *full, end_ns); !room) return room;
  }
  return {};
}

Result<void> LinkedProducer::enqueue_together(std::span<const LinkedRequest> asked, std::span<JobId> ids,
                                              std::uint64_t wait_ns) {
  if (asked.empty()) return {};
  if (asked.size() > Participant::most_together || ids.size() < asked.size()) {
    return std::unexpected(refused("together are at most 131072 jobs, and there is room for as many ids"));
  }
  const InheritedTraces traces(table_, asked);
  const auto jobs = traces.jobs();
  const bool to_journal = jobs.front().request.durability != Durability::memory;
  std::vector<Checked> checked(jobs.size());
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    const auto accepted = check_.check_linked(jobs[n], n);
    if (!accepted) return std::unexpected(accepted.error());
    checked[n] = *accepted;
    if ((jobs[n].request.durability != Durability::memory) != to_journal) {
      return std::unexpected(refused("jobs that come together are all journaled, or all of durability memory"));
    }
  }
  const bool to_device =
      std::ranges::any_of(jobs, [](const LinkedRequest& job) { return job.request.durability == Durability::durable; });
  const std::uint64_t device_end = device_end_ns(to_device, wait_ns);
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  if (to_journal && !journal_accepts(context_.segment)) {
    if (auto goes_on = tickets_.wait_for_journal(wait_ns); !goes_on) return goes_on;
  }
  std::vector<FreeCells::Filling> filled(jobs.size());
  std::vector<JobId> parents;
  std::vector<bool> has_children(jobs.size(), false);
  LevelsCountedIn counted(context_);
  if (auto in = count_in(checked, counted, end_ns); !in) return in;
  if (auto taken = take_all(jobs, checked, filled, FreeCells::Taker::producer, end_ns); !taken) return taken;

  const std::uint64_t wall_ns = wall_clock_ns();
  TakenCells taken_cells(context_, filled);
  for (std::size_t n = 0; n < jobs.size(); ++n) ids[n] = id_of(filled[n]);
  const JobId leader = ids[jobs.size() - 1];
  for (std::size_t n = 0; n < jobs.size(); ++n) {  // lead.L1
    parents.assign(jobs[n].after.begin(), jobs[n].after.end());
    for (const std::uint32_t place : jobs[n].after_earlier) {
      parents.push_back(ids[place]);
      has_children[place] = true;
    }
    if (!writer_.fill_linked(filled[n], jobs[n], checked[n], parents, wall_ns)) {
      return std::unexpected(check_.refusal_of_level(checked[n].level()));
    }
    CellLinks& links = links_of(filled[n].index);
    // ORDER relaxed: as in writer_.fill_linked().
    if (n != 0) links.next.store(ids[n - 1].value(), std::memory_order_relaxed);
    if (!to_journal || ids[n] == leader) continue;
    links.born_of.store(leader.value(), std::memory_order_relaxed);
    links.rule.store(static_cast<std::uint16_t>(BornRule::with_it), std::memory_order_relaxed);
  }
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    std::uint16_t more = has_children[n] ? cell_flag::has_children : 0;
    if (to_journal && ids[n] == leader && jobs.size() > 1) more |= cell_flag::leads_bundle;
    if (counted.is_wanted(checked[n].level())) more |= cell_flag::counted;
    CellHeader& header = table_.header(filled[n].index);
    header.flags.store(header.flags.load() | more);
  }
  taken_cells.keep();
  RINGMILL_INVARIANT(context_.entry.bundle.load() == 0);  // one bundle at a time
  context_.entry.bundle_after.store(0);
  context_.entry.bundle.store(leader.value());  // lead.L2
  for (const FreeCells::Filling& filling : filled)
    publish_filled(context_.settling, filling.index, filling.word);  // lead.L3
  counted.note_published();
  context_.entry.bundle.store(0);  // lead.L4
  count_more(context_.entry.enqueued, jobs.size());
  return device_end != 0 ? producer_.reach_device(device_end) : Result<void>();
}

Result<JobId> LinkedProducer::follow_up(const HeldLease& lease, const LinkedRequest& asked, std::uint64_t wait_ns) {
  LinkedRequest request = asked;
  if (request.request.level == Level{}) request.request.level = lease.level;
  const FollowedTrace trace(table_, lease.id, request.request);
  const std::span<const FreeCells::Filling> earlier = follow_ups_.of(lease.slot);
  if (earlier.size() == Participant::most_together) {
    return std::unexpected(refused("a job has at most 131072 follow-ups"));
  }
  const auto checked = check_.check_linked(request, earlier.size());
  if (!checked) return std::unexpected(checked.error());
  FreeCells::Filling filling;
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  const auto taker = earlier.empty() ? FreeCells::Taker::handler : FreeCells::Taker::repeatedly;
  if (auto taken = take_all(std::span(&request, 1), std::span(&*checked, 1), std::span(&filling, 1), taker, end_ns);
      !taken) {
    const ErrorCode code = taken.error().code();
    if (code == ErrorCode::would_block || code == ErrorCode::timed_out) follow_ups_.note_refusal(lease.slot);
    return std::unexpected(taken.error());
  }
  TakenCells taken_cells(context_, std::span(&filling, 1));
  std::span<const JobId> parents(request.after);
  std::vector<JobId> with_earlier;
  if (!request.after_earlier.empty()) {
    with_earlier.assign(request.after.begin(), request.after.end());
    for (const std::uint32_t place : request.after_earlier) {
      with_earlier.push_back(id_of(earlier[place]));
      CellHeader& parent = table_.header(earlier[place].index);
      parent.flags.store(parent.flags.load() | cell_flag::has_children);
    }
    parents = with_earlier;
  }
  const bool both_journaled =
      request.request.durability != Durability::memory && context_.settling.is_journaled(index_of(lease.id));
  const bool has_links = both_journaled || !parents.empty() || !earlier.empty();
  const std::uint64_t wall_ns = wall_clock_ns();
  const bool is_open = has_links ? writer_.fill_linked(filling, request, *checked, parents, wall_ns)
                                 : writer_.fill_alone(filling, request.request, *checked, wall_ns);  // lead.L1
  if (!is_open) return std::unexpected(check_.refusal_of_level(checked->level()));
  if (has_links) {
    CellLinks& links = links_of(filling.index);
    // ORDER relaxed: as in writer_.fill_linked().
    if (!earlier.empty()) links.next.store(id_of(earlier.back()).value(), std::memory_order_relaxed);
    if (both_journaled) {
      links.born_of.store(lease.id.value(), std::memory_order_relaxed);
      links.rule.store(static_cast<std::uint16_t>(BornRule::after_it), std::memory_order_relaxed);
    }
  }
  follow_ups_.add(lease.slot, filling);
  taken_cells.keep();
  return id_of(filling);
}

Result<UniqueJob> LinkedProducer::follow_up_unique(const HeldLease& lease, const JobRequest& asked,
                                                   std::string_view key, std::chrono::milliseconds unique_for,
                                                   std::uint64_t wait_ns) {
  if (auto is_key = UniqueProducer::check_key(key, unique_for); !is_key) return std::unexpected(is_key.error());
  LinkedRequest linked{.request = asked, .after = std::span(&lease.id, 1)};
  JobRequest& request = linked.request;
  if (request.level == Level{}) request.level = lease.level;
  const FollowedTrace trace(table_, lease.id, request);
  request.options.keep_result = std::max(request.options.keep_result, unique_for);
  const auto checked = check_.check_linked(linked, 0);
  if (!checked) return std::unexpected(checked.error());
  const UniqueKey hash = UniqueKey::of(key);
  UniqueJobs jobs(context_.segment);
  const std::uint64_t device_end = device_end_ns(request.durability == Durability::durable, wait_ns);
  const std::uint64_t end_ns = wait_ns == 0 ? 0 : later_by(steady_clock_ns(), wait_ns);
  for (std::uint32_t losses = 0; losses <= most_unique_losses; ++losses) {
    if (const auto there = jobs.find(hash, JobId())) return UniqueJob{*there, false};
    FreeCells::Filling filling;
    if (auto taken = take_all(std::span(&linked, 1), std::span(&*checked, 1), std::span(&filling, 1),
                              FreeCells::Taker::handler, end_ns);
        !taken) {
      if (taken.error().code() == ErrorCode::would_block || taken.error().code() == ErrorCode::timed_out)
        follow_ups_.note_refusal(lease.slot);
      return std::unexpected(taken.error());
    }
    TakenCells taken_cells(context_, std::span(&filling, 1));
    if (!writer_.fill_linked(filling, linked, *checked, linked.after, wall_clock_ns())) {
      return std::unexpected(check_.refusal_of_level(checked->level()));
    }
    writer_.set_unique(filling.index, hash, request.options);  // uniq.U1
    const JobId id = id_of(filling);
    const auto other = UniqueProducer::take_key(jobs, hash, id);
    if (!other) return std::unexpected(other.error());
    if (*other) {
      jobs.give_way(hash, id);
      return UniqueJob{**other, false};
    }
    taken_cells.keep();
    if (publish_linked(filling)) {                                                // uniq.U5
      table_.header(index_of(lease.id)).flags.fetch_or(cell_flag::has_children);  // it may read our result
      if (device_end != 0) {
        if (auto reached = producer_.reach_device(device_end); !reached) return std::unexpected(reached.error());
      }
      return UniqueJob{id, true};
    }
    jobs.give_way(hash, id);
    context_.free_cells.keep_back(filling.index);
    context_.free_cells.list_if_wanted();
    for (std::uint32_t n = 0; n < (context_.number + 1) << std::min(losses, 6U); ++n) pause_while_spinning();
  }
  return std::unexpected(Error(ErrorCode::would_block, "others take this unique key again and again"));
}

bool LinkedProducer::publish_linked(const FreeCells::Filling& filling) noexcept {
  RINGMILL_INVARIANT(context_.entry.bundle.load() == 0);  // one bundle at a time
  context_.entry.bundle_after.store(0);
  context_.entry.bundle.store(id_of(filling).value());                                  // lead.L2
  const bool is_ours = publish_filled(context_.settling, filling.index, filling.word);  // lead.L3
  context_.entry.bundle.store(0);                                                       // lead.L4
  if (is_ours) count_more(context_.entry.enqueued, 1);
  return is_ours;
}

}  // namespace ringmill
