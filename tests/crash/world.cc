#include "tests/crash/world.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include <fmt/core.h>

#include "core/engine/opening.h"
#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "core/journal/note.h"
#include "core/table/arena.h"
#include "core/table/lease_slots.h"
#include "ipc/clock.h"
#include "ipc/sleepers.h"
#include "ipc/spill_state.h"
#include "tests/support/levels.h"

namespace ringmill::crash {
namespace {

/// More than a scan of the table takes.
constexpr int most_turns = 64;

template <class T>
T must(Result<T> result, const char* what) {
  if (!result) {
    fmt::print(stderr, "kill-sweep: {}: {}\n", what, result.error().message());
    ::_exit(3);  // perhaps in a forked child: nothing of the parent may run
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace

std::shared_ptr<EngineCore> open_core(const std::filesystem::path& directory) {
  return must(open_engine(directory, false), "open the engine");
}

World::World(const std::filesystem::path& folder, const std::filesystem::path& shm_folder, Shape shape)
    : directory_(folder / "engine"), shape_(shape) {
  CreateOptions options{.capacity = plain_capacity,
                        .reserve = std::vector<LevelReserve>{{.level = "low", .jobs = 0}},
                        .max_payload = 16 * 1024,
                        .arena = 4 * least_arena_chunk_bytes,
                        .shm_dir = shm_folder};
  if (shape == Shape::growing) {
    options.cell_size = CellChunks::chunk_bytes / CellChunks::least_chunk_cells;
    options.keep_memory = std::chrono::milliseconds(0);
  }
  must(Engine::create(directory_, options), "create");
  engine_.emplace(must(Engine::open(directory_, OpenOptions{.embedded_keeper = false}), "open"));
  kind_ = must(engine_->kind("sweep"), "kind");
  for (std::size_t n = 0; n < tube; ++n) levels_[n] = must(engine_->level(level_names[n]), "level");
  levels_[tube] = must(engine_->add_level(tube_name, {.ring = tube_ring}), "add a level");
  survivor_ = must(engine_->attach(Role::worker), "attach");
  core_ = open_core(directory_);
  if (!take_office()) must(Result<void>(std::unexpected(Error(ErrorCode::busy))), "become the keeper");
}

World::~World() {
  resign();
  core_.reset();
  survivor_.reset();
  engine_.reset();
  static_cast<void>(Engine::remove(directory_, true));
}

void World::resign() {
  if (!keeper_) return;
  keeper_.reset();
  core_->registry.leave(keeper_number_);
  unlock_byte(core_->locks.file(), keeper_lock_byte);
}

bool World::take_office() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (true) {
    const auto locked = try_lock_byte(core_->locks.file(), keeper_lock_byte);
    if (locked && *locked) break;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  keeper_number_ = must(core_->registry.enter(Role::keeper), "register the keeper");
  keeper_.emplace(*core_, keeper_number_);
  return true;
}

bool World::place_standing(const std::vector<std::size_t>& levels, Report& report, std::chrono::milliseconds lease,
                           const JobOptions& options) {
  trial_ = report.trial;
  departures_ = {};
  for (std::uint32_t serial = 0; serial < levels.size(); ++serial) {
    if (!enqueue(serial, levels[serial], report, lease, options)) return false;
  }
  return true;
}

bool World::enqueue(std::uint32_t serial, std::size_t level, Report& report, std::chrono::milliseconds lease,
                    const JobOptions& options) {
  const LargePayload payload = large_payload_of(report.trial, serial);
  const bool is_large = level >= large_standing;
  const Result<JobId> id =
      survivor_->enqueue({.kind = kind_,
                          .level = levels_[level % large_standing],
                          .payload = std::span(payload).first(is_large ? payload.size() : payload_bytes),
                          .lease = lease,
                          .options = options});
  if (id) report.jobs[serial].id = id->value();
  report.jobs[serial].has_one_attempt = options.max_attempts == 1 ? 1 : 0;
  return id.has_value();
}

bool World::someone_sleeps() const noexcept {
  Segment& segment = core_->segment;
  return Sleepers(segment, segment.signals().sleepers).any();
}

void World::note_run(Job& job, std::uint64_t trial, Runs& runs) {
  const auto serial = serial_in(job.payload(), trial);
  if (!serial) {
    ++runs.torn_payloads;
    static_cast<void>(job.complete());
    return;
  }
  const std::uint32_t attempt = job.attempt();
  const std::uint64_t id = job.id().value();
  const bool is_completed = job.complete().has_value();
  if (*serial >= most_serials) {
    if (is_completed) ++runs.filler_completions[*serial - most_serials];
    return;
  }
  JobRuns& seen = runs.jobs[*serial];
  ++seen.claims;
  ++(is_completed ? seen.completions : seen.leases_lost);
  seen.lowest_attempt = std::min(seen.lowest_attempt, attempt);
  seen.highest_attempt = std::max(seen.highest_attempt, attempt);
  seen.id = id;
}

/// What the journal would do to a job that leads a bundle and is over, so that the keeper may let it go.
void World::let_journal_see_leaders() {
  const JobTable table(core_->segment);
  JournalMarks marks = core_->segment.marks();
  for (CellIndex index = 0; index < capacity; ++index) {
    const StateWord word = table.word(index);
    if (word.state() != CellState::completed || (table.header(index).flags.load() & cell_flag::leads_bundle) == 0 ||
        !marks.is_marked(index)) {
      continue;
    }
    marks.take(JournalMarks::word_of(index));
    marks.settle(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    table.header(index).revision.store(JournalNote{word.generation(), 1}.bits());
    attempts_seen_[index] = table.header(index).attempts.load();
  }
}

/// What is delayed, or kept, is so for a millisecond, what is blocked until the keeper looks. One whose owner stands
/// still before it has told the keeper stays there, and so does a job whose parent is held.
void World::let_times_come() {
  if (core_->segment.signals().flow.load() != 0) must(engine_->limit(kind_, {}), "take the limits off");
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  if (keeper_) forget_results();
  while (keeper_ && is_waited_for() && std::chrono::steady_clock::now() < end) {
    let_journal_see_leaders();
    note_kept();
    keeper_->turn(false);
    bury();
  }
}

bool World::keep_results(std::uint32_t count) {
  const JobOptions options{.keep_result = std::chrono::hours(1)};
  const Payload payload = payload_of(trial_, most_serials + most_fillers);  // no job's
  for (std::uint32_t n = 0; n < count; ++n) {
    const auto id = survivor_->enqueue({.kind = kind_, .level = levels_[0], .payload = payload, .options = options});
    auto job = survivor_->claim();
    if (!id || !job || job->id() != *id || !job->complete(as_payload(result_text))) return false;
    kept_on_purpose_.push_back(*id);
  }
  return true;
}

void World::forget_results() {
  Settling settling(core_->segment, keeper_number_);
  for (const JobId id : std::exchange(kept_on_purpose_, {})) {
    const CellIndex index = index_of(id);
    const StateWord word = settling.table().word(index);
    if (word.state() != CellState::completed || word.generation() != generation_of(id)) continue;  // evicted
    if (settling.drop(index, word)) core_->segment.free_map().put_cell(index);
  }
}

void World::empty_hands() {
  survivor_.reset();
  survivor_ = must(engine_->attach(Role::worker), "attach");
}

bool World::is_whole() const noexcept {
  bool is_whole = true;
  core_->segment.forget_what_has_left();  // in the child
  const JobTable table(core_->segment);
  for (CellIndex index = 0; index < capacity; ++index) is_whole = is_whole && table.is_there(index);
  return is_whole;
}

void World::settle_memory() {
  if (shape_ != Shape::growing || !keeper_) return;
  const CellChunks chunks = core_->segment.chunks();
  const Arena arena(core_->segment);
  const auto is_leaving = [&] {
    bool found = false;
    for (std::uint32_t n = 0; n < chunks.count(); ++n) found |= chunks.word(n).state == ChunkState::leaving;
    for (std::uint32_t n = 0; n < core_->segment.geometry().arena_chunk_count; ++n) found |= arena.is_leaving(n);
    return found;
  };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  do keeper_->turn(false);
  while (is_leaving() && std::chrono::steady_clock::now() < end);
}

bool World::is_waited_for() const noexcept {
  return cells_in(CellState::delayed) + cells_in(CellState::blocked) + cells_in(CellState::completed) +
             cells_in(CellState::cancelled) + cells_in(CellState::burying) !=
         0;
}

void World::turn() {
  note_kept();
  keeper_->turn(true);
  bury();
}

void World::reap() {
  note_kept();
  keeper_->reap_all();
  bury();
  settle_memory();
}

/// Returns nothing for a filler, or for a job that no participant has.
JobRuns* World::departure_of(CellIndex index) {
  Payload payload{};
  JobTable(core_->segment).copy_words_out(index, payload.data(), payload.size());
  const auto serial = serial_in(payload, trial_);
  return serial && *serial < most_serials ? &departures_[*serial] : nullptr;
}

void World::note_kept() {
  for (CellIndex index = 0; index < capacity; ++index) {
    const CellState state = JobTable(core_->segment).word(index).state();
    if (state != CellState::completed && state != CellState::cancelled) continue;
    const auto view = view_job(core_->segment, index);
    JobRuns* const departure = departure_of(index);
    if (!view || departure == nullptr || departure->id == view->info.id.value()) continue;
    departure->id = view->info.id.value();
    ++departure->times_kept;
    departure->text = view->info.result;
  }
}

void World::bury() {
  if (!keeper_) return;
  Settling settling(core_->segment, keeper_number_);
  for (const CellIndex index : std::exchange(keeper_->timers().burying(), {})) {
    const StateWord word = settling.table().word(index);
    if (word.state() != CellState::burying) continue;  // named twice
    const auto view = view_job(core_->segment, index);
    JobRuns* const departure = departure_of(index);
    if (!view || !settling.drop(index, word)) continue;
    core_->segment.free_map().put(index & ~CellIndex{63}, std::uint64_t{1} << (index % 64));
    if (departure == nullptr) continue;
    ++departure->burials;
    departure->text = view->info.last_error;
  }
}

void World::tell(Runs& runs) const {
  for (std::uint32_t serial = 0; serial < most_serials; ++serial) {
    runs.jobs[serial].burials = departures_[serial].burials;
    runs.jobs[serial].times_kept = departures_[serial].times_kept;
    runs.jobs[serial].text = departures_[serial].text;
  }
}

bool World::keeper_has_to_refill() const noexcept {
  const std::uint32_t number = test::number_of(core_->segment, levels_[tube]);
  return keeper_ && !SpillState::is_direct(core_->segment.level(number).overflow.load());
}

void World::drain(std::uint64_t trial, Runs& runs) {
  // What was completed may be kept for a moment, and what has waited for it comes then.
  for (int round = 0; round < 8; ++round) {
    let_times_come();
    if (claim_all(trial, runs) == 0 && round != 0) return;
    if (!is_waited_for() && cells_in(CellState::queued) == 0) return;
  }
}

std::size_t World::claim_all(std::uint64_t trial, Runs& runs) {
  std::size_t claimed = 0;
  int turns = 0;
  std::array<Job, 32> jobs;
  while (true) {
    const Result<std::size_t> count = survivor_->claim_batch(jobs);
    if (!count && count.error().code() == ErrorCode::would_block && keeper_has_to_refill() && turns++ < most_turns) {
      keeper_->turn(false);
      continue;
    }
    if (!count) {
      if (count.error().code() != ErrorCode::would_block) runs.refusals.push_back("claim: " + count.error().message());
      return claimed;
    }
    claimed += *count;
    for (std::size_t n = 0; n < *count; ++n) note_run(jobs[n], trial, runs);
  }
}

std::uint32_t World::fill(std::uint64_t trial, Runs& runs, std::uint32_t most) {
  const std::uint32_t before = runs.fillers;
  while (runs.fillers < most_fillers && runs.fillers - before < most) {
    const LargePayload payload = large_payload_of(trial, most_serials + runs.fillers);
    const bool is_large = runs.fillers % 2 == 1;
    const Result<JobId> id =
        survivor_->enqueue({.kind = kind_,
                            .level = levels_[runs.fillers % tube],
                            .payload = std::span(payload).first(is_large ? payload.size() : payload_bytes)});
    if (!id) {
      if (id.error().code() != ErrorCode::would_block) runs.refusals.push_back("enqueue: " + id.error().message());
      break;
    }
    ++runs.fillers;
  }
  return runs.fillers - before;
}

void World::let_journal_see() {
  const Segment& segment = core_->segment;
  const JobTable table(segment);
  JournalMarks marks = segment.marks();
  for (std::uint32_t word = 0; word < marks.words(); ++word) marks.settle(word, marks.take(word));
  for (CellIndex index = 0; index < capacity; ++index) {
    const StateWord word = table.word(index);
    if (!table.is_there(index)) continue;
    table.header(index).revision.store(word.has_job() ? JournalNote{word.generation(), 1}.bits() : 0);
    attempts_seen_[index] = table.header(index).attempts.load();
  }
}

void World::forget_journal() {
  for (const auto& file : std::filesystem::directory_iterator(core_->directory.journal_path())) {
    std::filesystem::remove(file);
  }
  const Segment& segment = core_->segment;
  const JobTable table(segment);
  JournalMarks marks = segment.marks();
  for (std::uint32_t word = 0; word < marks.words(); ++word) marks.settle(word, marks.take(word));
  for (CellIndex index = 0; index < capacity; ++index) {
    if (!table.is_there(index)) continue;
    table.header(index).revision.store(0);
    if (table.word(index).state() != CellState::free) {
      marks.mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));
    }
  }
}

void World::end_one_and_fail_one() {
  if (auto first = survivor_->claim()) static_cast<void>(first->complete());
  if (auto second = survivor_->claim()) static_cast<void>(second->retry_in(std::chrono::milliseconds(0)));
  survivor_->release_prefetched();
}

std::uint32_t World::unmarked_cells() const noexcept {
  const Segment& segment = core_->segment;
  const JobTable table(segment);
  const JournalMarks marks = segment.marks();
  std::uint32_t count = 0;
  for (CellIndex index = 0; index < capacity; ++index) {
    const StateWord word = table.word(index);
    if (!table.is_there(index)) continue;
    const CellHeader& header = table.header(index);
    const std::uint64_t known = JournalNote::of(header.revision.load()).generation;
    const bool is_known =
        word.has_job() ? known == word.generation() && header.attempts.load() == attempts_seen_[index] : known == 0;
    count += is_known || marks.is_marked(index) ? 0 : 1;
  }
  return count;
}

std::uint32_t World::cells_in(CellState state) const noexcept {
  const JobTable table(core_->segment);
  std::uint32_t count = 0;
  for (CellIndex index = 0; index < table.capacity(); ++index) count += table.word(index).state() == state ? 1 : 0;
  return count;
}

bool World::arena_is_free() const noexcept {
  const Geometry& geometry = core_->segment.geometry();
  Arena arena(core_->segment);
  return arena.used_bytes() == 0 && arena.has_room(geometry.arena_chunk_bytes);
}

std::uint32_t World::used_cells() const noexcept { return capacity - cells_in(CellState::free); }

std::uint32_t World::unfinished_cells() const noexcept {
  return cells_in(CellState::filling) + cells_in(CellState::completing);
}

std::uint32_t World::cells_without_lease() const noexcept {
  const JobTable table(core_->segment);
  const std::uint64_t now_ns = lease_clock_ns();
  std::uint32_t count = 0;
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    if (word.state() != CellState::running || core_->segment.participant_of(word.owner()) == nullptr) continue;
    const ParticipantEntry& entry = *core_->segment.participant_of(word.owner());
    const auto slot = lease_slot_of(entry, job_id_of(word, index), word);
    const bool is_covered = slot && entry.leases[*slot].deadline_ns.load() > now_ns;
    count += is_covered ? 0 : 1;
  }
  return count;
}

/// Of a bundle that is decided: the first one that is not filling any more, which may lack its hint.
static JobId being_published(const JobTable& table, const ParticipantEntry& entry) noexcept {
  JobId id(entry.bundle.load());
  while (id && table.word(index_of(id)).state() == CellState::filling &&
         table.word(index_of(id)).generation() == generation_of(id)) {
    id = JobId(table.links(index_of(id))->next.load());
  }
  return id;
}

std::uint32_t World::jobs_out_of_reach() const noexcept {
  const JobTable table(core_->segment);
  std::uint32_t count = 0;
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    if (word.state() != CellState::queued) continue;
    bool is_being_placed = false;
    for_each_entry(core_->segment, [&](std::uint32_t, const ParticipantEntry& entry) {
      const std::uint32_t placing = entry.placing_count.load_once().at_most(placing_slots);
      for (std::uint32_t n = 0; n < placing; ++n) {
        is_being_placed |= entry.placing[n].load() == job_id_of(word, index).value();
      }
      is_being_placed |= being_published(table, entry) == job_id_of(word, index);
    });
    count += is_being_placed ? 0 : 1;
  }
  return count;
}

std::uint32_t World::strangers() const noexcept {
  std::uint32_t count = 0;
  for_each_entry_in_use(core_->segment, [&](std::uint32_t number, ParticipantState) {
    const bool is_own =
        number == static_cast<std::uint32_t>(survivor_->number()) || (keeper_ && number == keeper_number_);
    count += is_own ? 0 : 1;
  });
  return count;
}

std::vector<std::string> World::broken_invariants() const { return check_invariants(core_->segment, true); }

std::uint32_t World::room_in_registry() const {
  std::array<int, 2> count_pipe{};
  if (::pipe2(count_pipe.data(), O_CLOEXEC) != 0) return 0;
  const File reader(count_pipe[0]);
  const File writer(count_pipe[1]);
  const pid_t guests = ::fork();
  if (guests == 0) {
    Engine engine = must(Engine::open(directory_, OpenOptions{.embedded_keeper = false}), "open");
    std::vector<std::unique_ptr<Participant>> all;
    // Those that are there from the beginning: each walk over entries passes all that were ever in use.
    while (auto guest = engine.attach(Role::tool)) {
      if ((*guest)->number() >= static_cast<int>(entries_in_a_step)) break;
      all.push_back(*std::move(guest));
    }
    const auto count = static_cast<std::uint32_t>(all.size());
    const bool told = ::write(writer.descriptor(), &count, sizeof count) == sizeof count;
    all.clear();
    ::_exit(told ? 0 : 1);
  }
  int status = 0;
  ::waitpid(guests, &status, 0);
  std::uint32_t count = 0;
  const bool is_told = WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
                       ::read(reader.descriptor(), &count, sizeof count) == sizeof count;
  return is_told ? count : 0;
}

}  // namespace ringmill::crash
