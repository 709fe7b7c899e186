// Jobs that are linked in a life of an engine (engine_run.h): bundles, follow-ups, and what the keeper does for those
// that wait for others; and what a crash state may show of them.
#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "core/table/job_table.h"
#include "ipc/clock.h"
#include "tests/crash/engine_run.h"
#include "tests/support/levels.h"

namespace ringmill::crash {

namespace {

constexpr std::size_t most_of_bundle = 5;
constexpr std::uint64_t most_follow_ups = 3;
/// Everything that a job waits for, or is kept for, is over by then; no job of a run has expired.
constexpr std::uint64_t much_later_ns = std::uint64_t{2000} * 24 * 3600 * 1'000'000'000;

constexpr std::uint32_t room_beside_links =
    256 - static_cast<std::uint32_t>(sizeof(CellHeader) + sizeof(CellOptions) + sizeof(CellLinks));

}  // namespace

/// A job that lives, or was enqueued not long ago.
std::optional<JobId> EngineRun::some_parent() {
  if (recent_.empty() || random_.one_in(2)) {
    return some_job_in({CellState::queued, CellState::delayed, CellState::blocked, CellState::running,
                        CellState::completed, CellState::cancelled, CellState::burying});
  }
  return JobId(recent_[random_.below(recent_.size())]);
}

void EngineRun::fill_wanted(Wanted& wanted, std::uint32_t place, Durability durability) {
  for (std::uint32_t n = 0; n < place; ++n) {
    if (random_.one_in(3)) wanted.after_earlier.push_back(n);
  }
  for (std::uint64_t n = random_.below(3); n > 0; --n) {
    if (const auto parent = some_parent()) wanted.after.push_back(*parent);
  }
  wanted.options = options();
  JobRequest asked = request(wanted.payload, wanted.options);
  const std::size_t notes_bytes = asked.trace_parent.empty() ? 0 : sizeof(CellNotes);
  const std::size_t room = room_beside_links - notes_bytes - 8 * (wanted.after.size() + wanted.after_earlier.size());
  if (wanted.payload.size() > room) wanted.payload.resize(random_.below(room + 1));
  asked.payload = wanted.payload;
  asked.durability = durability;
  wanted.linked = {.request = asked,
                   .after = wanted.after,
                   .after_earlier = wanted.after_earlier,
                   .on_parent_dead = random_.one_in(3) ? OnParentDead::run : OnParentDead::cancel};
}

EngineRun::Row EngineRun::row_of(JobId id, const LinkedRequest& linked, std::span<const JobId> earlier) {
  Row row;
  row.parents.assign(linked.after.begin(), linked.after.end());
  for (const std::uint32_t place : linked.after_earlier) row.parents.push_back(earlier[place]);
  const auto parents = std::as_bytes(std::span(row.parents));
  std::vector<std::byte> body(parents.begin(), parents.end());
  body.insert(body.end(), linked.request.payload.begin(), linked.request.payload.end());
  row.content = content_of(test::number_of(core_->segment, linked.request.level),
                           test::number_of(core_->segment, linked.request.kind), 0, body);
  row.runs_all_the_same = linked.on_parent_dead == OnParentDead::run;
  row.links = links_content_of(static_cast<std::uint32_t>(row.parents.size()), row.runs_all_the_same);
  row.options = options_in(core_->segment, index_of(id));
  row.notes = notes_in(core_->segment, index_of(id));
  row.memory_only = linked.request.durability == Durability::memory;
  return row;
}

void EngineRun::enqueue_together() {
  std::array<Wanted, most_of_bundle> wanted;
  std::array<JobId, most_of_bundle> ids;
  std::vector<LinkedRequest> linked;
  const std::size_t count = 2 + random_.below(most_of_bundle - 1);
  const Durability durability = random_.one_in(6) ? Durability::memory : Durability::journaled;
  for (std::uint32_t n = 0; n < count; ++n) {
    fill_wanted(wanted[n], n, durability);
    linked.push_back(wanted[n].linked);
  }
  if (const auto went = participants_[0]->enqueue_together(linked, ids); !went) {
    if (went.error().code() == ErrorCode::would_block) return;
    return found(CrashTrouble::crashed, "enqueue_together: " + went.error().message());
  }
  for (std::size_t n = 0; n < count; ++n) {
    Row row = row_of(ids[n], linked[n], ids);
    if (!row.memory_only) row.bundle = ids[count - 1].value();
    note_given(ids[n], std::move(row));
  }
}

void EngineRun::add_follow_ups(Job& job) {
  std::vector<FollowUp>& made = follow_ups_[job.id().value()];
  std::vector<JobId> earlier;
  for (const FollowUp& follow_up : made) earlier.push_back(follow_up.id);
  for (std::uint64_t n = 1 + random_.below(most_follow_ups); n > 0 && made.size() < most_follow_ups; --n) {
    Wanted wanted;
    fill_wanted(wanted, static_cast<std::uint32_t>(made.size()),
                random_.one_in(6) ? Durability::memory : Durability::journaled);
    const auto id = job.follow_up(wanted.linked);
    if (!id) {
      if (id.error().code() != ErrorCode::would_block) {
        found(CrashTrouble::crashed, "follow_up: " + id.error().message());
      }
      break;
    }
    Row row = row_of(*id, wanted.linked, earlier);
    if (!row.memory_only && !rows_[job.id().value()].memory_only) row.follows = job.id().value();
    made.push_back({.id = *id, .row = std::move(row)});
    earlier.push_back(*id);
  }
}

void EngineRun::note_follow_ups(JobId id, bool is_complete) {
  auto made = follow_ups_.extract(id.value());
  if (!made) return;
  for (FollowUp& follow_up : made.mapped()) {
    if (is_complete) {
      note_given(follow_up.id, std::move(follow_up.row));
    } else {
      over_.insert(follow_up.id.value());
    }
  }
}

// The keeper ----------------------------------------------------------------------------------------------------------

/// The next one, with nothing in its memory: it looks at the whole table.
void EngineRun::begin_keeping() {
  keeping_ = std::make_unique<Keeping>(*core_, static_cast<std::uint32_t>(participants_[0]->number()));
  as_keeper([this] {
    keeping_->timers.begin_rebuild();
    for (CellIndex index = 0; index < core_->segment.geometry().capacity; ++index) keeping_->timers.look_at(index);
    keeping_->timers.end_rebuild();
  });
}

/// Looks at what is marked, then at some jobs whose time may have come.
void EngineRun::keeper_turn() {
  const Timers::Now later{.lease_ns = lease_clock_ns() + much_later_ns,
                          .wall_ns = exact_wall_clock_ns() + much_later_ns};
  as_keeper([&] {
    keeping_->timers.look_at_marked();
    for (std::uint64_t n = random_.below(5); n > 0; --n) {
      const auto id = some_job_in(
          {CellState::delayed, CellState::blocked, CellState::completed, CellState::cancelled, CellState::burying});
      if (id) keeping_->timers.run(*id, later);
    }
    if (random_.one_in(2)) write_a_letter();
  });
}

/// As core/keeper/burial.h does when the letter is durable.
void EngineRun::write_a_letter() {
  std::vector<CellIndex>& burying = keeping_->timers.burying();
  if (burying.empty()) return;
  std::swap(burying[random_.below(burying.size())], burying.back());
  const CellIndex index = burying.back();
  burying.pop_back();
  const StateWord word = keeping_->reaper.settling().table().word(index);
  if (word.state() == CellState::burying) keeping_->reaper.drop(index, word);  // else named twice
}

template <class Work>
void EngineRun::as_keeper(const Work& work) {
  const JobTable table(core_->segment);
  std::vector<StateWord> before;
  before.reserve(table.capacity());
  for (CellIndex index = 0; index < table.capacity(); ++index) before.push_back(table.word(index));
  work();
  std::vector<JobId> were_blocked;
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord after = table.word(index);
    if (after == before[index] || !before[index].has_job()) continue;
    const JobId id = job_id_of(before[index], index);
    // That its time has come, or that its parents are over, the journal need not know.
    note_settled(id, after.state() == CellState::queued || after.state() == CellState::delayed ? never : ticket());
    if (before[index].state() != CellState::blocked) continue;
    were_blocked.push_back(id);
    Row& row = rows_[id.value()];
    if (!row.end_begun) continue;
    // It died, and its letter is written already.
    row.versions.push_back(row.versions.back());
    row.versions.back().version.state = JournaledState::dead;
    row.versions.back().ticket = never;
  }
  for (const JobId id : were_blocked) check_release(id);
}

/// A job that was blocked is so no longer: the fates of its parents allow what it is now.
void EngineRun::check_release(JobId id) {
  const Row& row = rows_[id.value()];
  bool is_early = false;
  bool had_a_dead_one = false;
  bool has_a_dead_one = false;
  for (const JobId parent : row.parents) {
    const auto at = rows_.find(parent.value());
    if (at == rows_.end()) continue;  // over in an earlier world
    const JournaledState fate = at->second.state();
    const bool is_dead = fate == JournaledState::dead || fate == JournaledState::cancelled;
    is_early |= !at->second.end_begun && !is_over(fate);
    had_a_dead_one |= is_dead;
    has_a_dead_one |= is_dead && !at->second.end_begun;
  }
  const std::string name = id.to_string();
  if (is_early) found(CrashTrouble::crashed, fmt::format("job {} goes on before its parents are over", name));
  if (row.state() == JournaledState::dead || row.state() == JournaledState::cancelled) {
    if (row.runs_all_the_same) found(CrashTrouble::crashed, fmt::format("job {} dies, and was to run", name));
    if (!had_a_dead_one) found(CrashTrouble::crashed, fmt::format("job {} dies, and no parent has", name));
  } else if (has_a_dead_one && !row.runs_all_the_same) {
    found(CrashTrouble::crashed, fmt::format("job {} goes on, and a parent is dead", name));
  }
}

// What a crash state may show -----------------------------------------------------------------------------------------

/// Of what came together all is there that is not over, or nothing; and a completion with its follow-ups.
std::vector<EngineRun::Complaint> EngineRun::complaints_of_links(const Jobs& jobs, const Rows& rows,
                                                                 std::uint64_t durable_round) {
  struct Seen {
    std::uint64_t there = 0;
    std::uint64_t missing = 0;  // and not over
  };
  std::unordered_map<std::uint64_t, Seen> bundles;
  std::unordered_map<std::uint64_t, Seen> follow_ups;  // by the job that they follow
  for (const auto& [id, row] : rows) {
    if ((row.bundle | row.follows) == 0) continue;
    const bool is_there = jobs.contains(id);
    if (!is_there && row.end_begun) continue;
    for (const auto& [leader, seen] : {std::pair(row.bundle, &bundles), std::pair(row.follows, &follow_ups)}) {
      if (leader != 0) (is_there ? (*seen)[leader].there : (*seen)[leader].missing) = id;
    }
  }
  const auto name = [](std::uint64_t id) { return JobId(id).to_string(); };
  std::vector<Complaint> all;
  for (const auto& [leader, seen] : bundles) {
    if (seen.there == 0 || seen.missing == 0) continue;
    all.push_back(
        {CrashTrouble::lost, fmt::format("job {} is there, and job {}, which came together with it under {}, is not",
                                         name(seen.there), name(seen.missing), name(leader))});
  }
  for (const auto& [handler, seen] : follow_ups) {
    const auto row = rows.find(handler);
    if (row == rows.end()) continue;  // over in an earlier world, so they are jobs like others
    const auto found = jobs.find(handler);
    const bool is_known = found != jobs.end();
    const bool is_complete = is_known ? is_over(found->second.version.state) : row->second.end_begun;
    if (seen.there != 0 && !is_complete) {
      all.push_back({CrashTrouble::resurrected,
                     fmt::format("job {} is there, and the completion of {}, with which it came, is not",
                                 name(seen.there), name(handler))});
    }
    // One that is not there is over, if it is sure that it was.
    const auto bundle = bundles.find(row->second.bundle);
    const bool had_come = is_known || row->second.versions.front().ticket <= durable_round || seen.there != 0 ||
                          (bundle != bundles.end() && bundle->second.there != 0);
    if (seen.missing != 0 && had_come && is_complete) {
      all.push_back({CrashTrouble::lost, fmt::format("job {} is complete, and its follow-up {} is not there",
                                                     name(handler), name(seen.missing))});
    }
  }
  return all;
}

}  // namespace ringmill::crash
