#include "tests/crash/engine_run.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "core/durability/recovery.h"
#include "core/engine/opening.h"
#include "core/inspect/job_view.h"
#include "core/journal/file_names.h"
#include "tests/support/must.h"

namespace ringmill::crash {

using namespace std::chrono_literals;
using test::Disk;
using test::DiskCall;
using test::DiskFault;
using test::DiskModel;
using test::must;

namespace {

constexpr std::size_t participant_count = 3;
constexpr std::uint32_t kind_count = 4;
constexpr std::uint32_t capacity = 128;
constexpr std::uint32_t cell_bytes = 256;
/// Steps after which everything must have become durable on a sound disk, while no participant works.
constexpr int most_steps_of_drain = 20'000;

CreateOptions options_of_run() {
  CreateOptions options;
  options.capacity = capacity;
  options.reserve.emplace();
  options.cell_size = cell_bytes;
  options.max_payload = most_large_payload;
  options.arena = 4 * least_arena_chunk_bytes;
  return options;
}

/// Faults after which the disk still keeps what it said that it keeps.
std::vector<DiskFault> honest_faults(test::DiskRandom& random) {
  std::vector<DiskFault> faults;
  while (random.one_in(2)) {
    DiskFault fault;
    switch (random.below(6)) {
      case 0:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::no_space};
        break;
      case 1:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::fail};
        break;
      case 2:
      case 3:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::delay, .calls = 1 + random.below(30)};
        break;
      case 4:
        fault = {.call = DiskCall::prepare,
                 .kind = random.one_in(2) ? DiskFault::Kind::fail : DiskFault::Kind::no_space};
        break;
      default:
        fault = {.call = DiskCall::fence, .kind = random.one_in(3) ? DiskFault::Kind::fail : DiskFault::Kind::busy};
        break;
    }
    fault.nth = 1 + random.below(fault.call == DiskCall::submit ? 80 : 8);
    faults.push_back(fault);
  }
  return faults;
}

}  // namespace

EngineRun::EngineRun(std::uint64_t seed, CrashReport& report)
    : report_(&report), random_(seed), cutting_(seed ^ 0x5eed) {
  must(Engine::create(place_.directory(), place_.here(options_of_run())));
  disk_ = std::make_shared<Disk>(random_.next());
  // In segments as small as that goes well with: files are given up all the time, and what lives in them moves. With
  // the arena about two and a half times what its jobs can take, as core/instance/engine_configuration.cc has it.
  has_large_payloads_ = random_.one_in(2);
  const std::uint64_t units = has_large_payloads_ ? 24 + random_.below(2) * 8 : 7 + random_.below(2) * 3;
  geometry_.segment_bytes = units * journal_unit;
  geometry_.most_segments = 8;
  for (const DiskFault& fault : honest_faults(random_)) disk_->inject(fault);
  if (random_.one_in(12)) {
    disk_is_small_ = true;
    disk_->set_space(geometry_.segment_bytes * (2 + random_.below(5)));
  }
  steps_left_ = 50 + random_.below(random_.one_in(4) ? 3000 : 400);
  one_cut_in_ = std::array<std::uint64_t, 8>{1, 8, 16, 32, 32, 64, 64, 64}.at(random_.below(8));
  cuts_at_once_ = 1 + random_.below(3);
  open_engine();
}

EngineRun::~EngineRun() {
  disk_->watch({});
  close_engine();
}

void EngineRun::found(CrashTrouble trouble, const std::string& what) {
  report_->found(trouble, fmt::format("engine, world {}, keeper {}, moment {}: {}", worlds_, keepers_, moments_, what));
}

void EngineRun::open_engine() {
  ++worlds_;
  engine_ = must(Engine::open(place_.directory(), {.embedded_keeper = false}));
  core_ = must(ringmill::open_engine(place_.directory(), false));
  for (std::uint32_t kind = 0; kind < kind_count; ++kind) {
    kinds_.push_back(must(engine_->kind(fmt::format("kind-{}", kind))));
  }
  policies_.push_back(RetryPolicy::standard);
  for (const char* text : {"fixed:100ms", "exponential:2s,2,1h", "list:1s,10s"}) {
    policies_.push_back(must(engine_->retry_policy(text)));
  }
  for (std::size_t n = 0; n < participant_count; ++n) {
    participants_.push_back(must(engine_->attach(n == 0 ? Role::producer : Role::worker)));
    // What is claimed in advance depends on how fast this machine is, and runs must repeat.
    must(participants_.back()->subscribe({.prefetch = 1}));
    held_.emplace_back();
  }
}

void EngineRun::close_engine() {
  rounds_.reset();
  writer_.reset();
  keeping_.reset();
  held_.clear();
  while (!follow_ups_.empty()) note_follow_ups(JobId(follow_ups_.begin()->first), false);
  participants_.clear();
  kinds_.clear();
  policies_.clear();
  core_.reset();
  engine_.reset();
}

// The journal thread --------------------------------------------------------------------------------------------------

void EngineRun::run() {
  disk_->watch([this] { at_moment(); });
  std::uint64_t real_cuts = random_.below(3);
  while (steps_left_ > 0) {
    ++keepers_;
    begin_keeping();
    kill_in_ = random_.one_in(2) ? 1 + random_.below(300) : 0;
    const bool left_by_itself = fiber_->run([this] { live_one_keeper(); });
    kill_in_ = 0;
    acts_ = false;
    const bool cut = real_cuts > 0 && random_.one_in(3);
    if (cut) --real_cuts;
    const std::shared_ptr<Disk> after = cut ? disk_->power_cut(random_.next()) : nullptr;
    if (device_ != nullptr) device_->kill();
    device_ = nullptr;
    rounds_.reset();
    writer_.reset();
    if (!left_by_itself) fiber_ = std::make_unique<Fiber>();
    if (cut) {
      for (const std::string& violation : disk_->violations()) found(CrashTrouble::crashed, violation);
      disk_->watch({});
      disk_ = after;
      cut_for_real();
      disk_->watch([this] { at_moment(); });
    }
  }
  if (!disk_is_small_) drain();
  for (const std::string& violation : disk_->violations()) found(CrashTrouble::crashed, violation);
}

bool EngineRun::open_journal() {
  auto made = std::make_unique<DiskModel>(disk_);
  device_ = made.get();
  JournalWords& words = core_->segment.journal();
  auto opened =
      JournalWriter::open(std::move(made), core_->directory.config().engine_id, geometry_, words.epoch.load() + 1);
  if (!opened) {
    device_ = nullptr;  // it is gone
    if (!may_fail()) found(CrashTrouble::crashed, "open: " + opened.error().message());
    return false;
  }
  writer_ = *std::move(opened);
  words.epoch.store(writer_->epoch());
  // As JournalWork does.
  if (words.round_durable.load() < words.round_started.load())
    raise_to(words.round_wanted, words.round_started.load() + 1);
  rounds_.emplace(core_->segment, *writer_);
  return true;
}

void EngineRun::live_one_keeper() {
  if (!open_journal()) {
    steps_left_ -= std::min<std::uint64_t>(steps_left_, 10);
    return;
  }
  for (std::uint64_t steps = 20 + random_.below(400); steps > 0 && steps_left_ > 0; --steps, --steps_left_) {
    if (random_.one_in(2)) act();
    advance();
    if (!writer_->error()) continue;
    if (!may_fail()) found(CrashTrouble::crashed, "the writer failed: " + writer_->error()->message());
    return;
  }
}

/// Others do not stand still while the journal thread is at work.
void EngineRun::act_beside() {
  if (steps_left_ > 0 && random_.one_in(4)) act();
}

/// What JournalWork::advance() does, without a clock.
void EngineRun::advance() {
  writer_->collect(random_.one_in(3) ? 1ms : 0ms);
  rounds_->publish();
  if (writer_->error()) return;
  const auto cells = static_cast<std::uint32_t>(random_.one_in(4) ? 1 + random_.below(40) : capacity);
  if (!rounds_->is_under_way()) {
    if (random_.one_in(4)) return;
    if (rounds_->begin(0) == JournalRounds::Begin::nothing) {
      rounds_->compact(cells);
      return;
    }
  }
  act_beside();
  switch (rounds_->go_on()) {
    case JournalRounds::Step::done:
      act_beside();
      rounds_->compact(cells);
      return;
    case JournalRounds::Step::segments:
      act_beside();
      rounds_->compact(cells);
      writer_->flush();
      return;
    case JournalRounds::Step::buffers:
    case JournalRounds::Step::failed:
      return;
  }
}

/// No participant works, and the disk is sound again: every ticket becomes durable.
void EngineRun::drain() {
  disk_->watch({});
  disk_->let_all_land();
  std::uint64_t newest = 0;
  for (const auto& [id, row] : rows_) {
    if (row.memory_only) continue;
    newest = std::max(newest, row.end_ticket.value_or(0));
    for (const Said& said : row.versions) newest = said.ticket == never ? newest : std::max(newest, said.ticket);
  }
  raise_to(core_->segment.journal().round_wanted, newest);
  int steps = most_steps_of_drain;
  for (int keepers = 0; keepers < 20 && !is_durable(newest); ++keepers) {
    rounds_.reset();
    writer_.reset();
    if (!open_journal()) continue;
    while (steps-- > 0 && !is_durable(newest) && !writer_->error()) advance();
  }
  if (!is_durable(newest)) {
    found(CrashTrouble::crashed, fmt::format("ticket {} does not become durable, {} is", newest,
                                             core_->segment.journal().round_durable.load()));
  }
  device_ = nullptr;
  looks_ = true;
  check_cut();
  rounds_.reset();
  writer_.reset();
}

bool EngineRun::is_durable(std::uint64_t ticket) const {
  return durable_before_.value_or(core_->segment.journal().round_durable.load()) >= ticket;
}

// Cuts ----------------------------------------------------------------------------------------------------------------

void EngineRun::at_moment() {
  if (looks_) return;
  ++moments_;
  if (random_.one_in(6)) act();
  if (cutting_.one_in(one_cut_in_)) {
    looks_ = true;
    for (std::uint64_t cut = 0; cut < cuts_at_once_; ++cut) check_cut();
    looks_ = false;
  }
  if (kill_in_ > 0 && --kill_in_ == 0 && fiber_->is_running()) fiber_->abandon();
}

void EngineRun::check_cut() {
  report_->count_state();
  const std::shared_ptr<Disk> cut = disk_->power_cut(cutting_.next());
  const auto jobs = cutting_.one_in(8) ? recovered(cut) : replayed(cut);
  if (jobs) check(*jobs);
}

/// Nothing: it is as it was when it became durable last, or as at a later moment.
std::string EngineRun::complaint_of(const Row& row, const Found& found, std::uint64_t durable_round) {
  if (found.options != row.options) return "asks for something else";
  if (found.notes != row.notes) return "carries something else beside its payload";
  if (found.links != row.links) return "has other parents, or another policy for their death";
  std::size_t oldest = 0;
  for (std::size_t n = 0; n < row.versions.size(); ++n) {
    if (row.versions[n].ticket <= durable_round) oldest = n;
  }
  // Nothing else will do: a time that is over, or parents that are, need no record, so the state before that is what is
  // durable, and stands here as such.
  for (std::size_t n = oldest; n < row.versions.size(); ++n) {
    if (row.versions[n].version == found.version) return {};
  }
  const auto text_of = [](const Version& version) {
    return fmt::format("state {}, {} attempts, \"{}\"", static_cast<int>(version.state), version.attempts,
                       version.text);
  };
  return fmt::format("has {}; durable is {}; the last was {}", text_of(found.version),
                     text_of(row.versions[oldest].version), text_of(row.versions.back().version));
}

std::vector<EngineRun::Complaint> EngineRun::complaints(const Jobs& jobs, const Rows& rows,
                                                        std::uint64_t durable_round) {
  std::vector<Complaint> all;
  for (const auto& [id, row] : rows) {
    const auto there = jobs.find(id);
    const std::string name = JobId(id).to_string();
    if (there == jobs.end()) {
      const std::uint64_t enqueued = row.versions.front().ticket;
      if (!row.memory_only && !row.end_begun && enqueued <= durable_round) {
        const Version& last = row.versions.back().version;
        all.push_back({CrashTrouble::lost,
                       fmt::format("job {}, durable with round {}; the last was state {}, {} attempts, \"{}\"", name,
                                   enqueued, static_cast<int>(last.state), last.attempts, last.text)});
      }
      continue;
    }
    if (row.memory_only) all.push_back({CrashTrouble::resurrected, fmt::format("job {} was for memory only", name)});
    if (row.end_ticket && *row.end_ticket <= durable_round) {
      all.push_back({CrashTrouble::resurrected,
                     fmt::format("job {}, whose end is durable with round {}", name, *row.end_ticket)});
    }
    if (there->second.content != row.content) {
      all.push_back({CrashTrouble::lost, fmt::format("job {} is not as it was", name)});
    }
    const std::string complaint = complaint_of(row, there->second, durable_round);
    if (!complaint.empty()) all.push_back({CrashTrouble::lost, fmt::format("job {} {}", name, complaint)});
  }
  for (const auto& [id, job] : jobs) {
    if (rows.contains(id)) continue;
    all.push_back(
        {CrashTrouble::resurrected, fmt::format("job {} was never enqueued, or is over", JobId(id).to_string())});
  }
  for (Complaint& complaint : complaints_of_links(jobs, rows, durable_round)) all.push_back(std::move(complaint));
  return all;
}

void EngineRun::check(const Jobs& jobs) {
  const std::uint64_t durable_round = durable_before_.value_or(core_->segment.journal().round_durable.load());
  const std::vector<Complaint> all = complaints(jobs, rows_, durable_round);
  if (all.empty()) return;
  for (const Complaint& complaint : all) found(complaint.trouble, complaint.what);
}

/// What the sweep's own replay makes of the disk.
std::optional<EngineRun::Jobs> EngineRun::replayed(const std::shared_ptr<Disk>& disk) {
  DiskModel device(disk);
  const auto read = read_back(device, core_->directory.config().engine_id);
  if (!read) {
    found(CrashTrouble::crashed, "read_journal: " + read.error().message());
    return std::nullopt;
  }
  for (const JournalDamage& damage : read->report.damage) found(CrashTrouble::false_alarm, text_of(damage));
  Jobs jobs;
  const Replay replay = replay_of(read->blocks);
  for (const auto& [cell, life] : replay.counting()) {
    jobs[life.generation << index_bits | cell] = {
        .content = life.content,
        .options = life.options,
        .notes = life.notes,
        .links = life.links,
        .version = {.state = life.state, .attempts = life.attempts, .text = life.text}};
  }
  return jobs;
}

/// What the engine's recovery makes of it: the jobs that wait in a segment made anew.
std::optional<EngineRun::Jobs> EngineRun::recovered(const std::shared_ptr<Disk>& disk) {
  DiskModel device(disk);
  SegmentConfig config = core_->directory.config();
  config.arena_bytes *= 8;  // what the engine does by itself where more comes back than there is room for
  const std::filesystem::path path = place_.shm_dir() / "recovered";
  const std::uint64_t floor = core_->segment.signals().generation_limit.load();
  std::vector<JournalDamage> damage;
  const auto fill = [&](Segment& fresh) -> Result<void> {
    TableRebuild table(fresh);
    auto journal = read_into(table, device, config.engine_id, {});
    if (!journal) return std::unexpected(journal.error());
    if (table.highest_generation() > floor) found(CrashTrouble::resurrected, "a generation above the limit");
    if (auto finished = table.finish(); !finished) return finished;
    damage = std::move(journal->damage);
    for (JournalDamage& one : table.take_damage()) damage.push_back(std::move(one));
    return {};
  };
  if (auto made = Segment::create(path, config, floor + 1, floor + generation_step, fill); !made) {
    found(CrashTrouble::crashed, "recovery: " + made.error().message());
    return std::nullopt;
  }
  for (const JournalDamage& one : damage) found(CrashTrouble::false_alarm, text_of(one));
  const Segment segment =
      must(Segment::open(path, config.engine_id, ::geteuid(), config.mode, Segment::Access::read_write, false));
  std::filesystem::remove(path);
  return jobs_in(segment);
}

/// The power fails, and the machine comes up again: the engine is recovered from what is on the disk, by itself.
void EngineRun::cut_for_real() {
  report_->count_state();
  const std::filesystem::path folder = core_->directory.journal_path();
  const std::filesystem::path segment = core_->directory.segment_path();
  // What was acknowledged is asked of the shared memory before it goes.
  const std::uint64_t durable_round = core_->segment.journal().round_durable.load();
  close_engine();
  std::filesystem::remove(segment);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) std::filesystem::remove(entry.path());
  for (const SlotNumber slot : disk_->slots()) {
    const std::vector<std::byte> bytes = disk_->contents(slot);
    std::ofstream file(folder / file_name_of(slot), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  open_engine();
  const Jobs jobs = jobs_in(core_->segment);
  durable_before_ = durable_round;
  check(jobs);
  durable_before_.reset();
  take_rows(jobs);
}

/// The new world begins with what came back; ids of the rest are never given again.
void EngineRun::take_rows(const Jobs& jobs) {
  for (auto at = rows_.begin(); at != rows_.end();) {
    const auto there = jobs.find(at->first);
    if (there == jobs.end()) {
      over_.insert(at->first);
      at = rows_.erase(at);
      continue;
    }
    Row& row = (at++)->second;
    row.end_begun = false;
    row.end_ticket.reset();
    // Nothing that the journal says is forgotten by a recovery, so the next one finds the same.
    row.versions = {{.version = there->second.version, .ticket = 0}};
  }
}

EngineRun::Jobs EngineRun::jobs_in(const Segment& segment) {
  Jobs jobs;
  const JobTable table(segment);
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    if (word.state() == CellState::free) continue;
    const CellHeader& header = table.header(index);
    const auto view = view_job(segment, index);
    auto payload = view ? copy_payload(segment, *view) : std::nullopt;
    if (!payload) continue;  // then it is missing
    const auto parents = std::as_bytes(std::span(view->info.parents));
    payload->insert(payload->begin(), parents.begin(), parents.end());
    const CellLinks* const links = table.links(index);
    jobs[job_id_of(word, index).value()] = {
        .content = content_of(header.level.load_once().unbounded(), header.kind.load_once().unbounded(),
                              header.most_attempts.load(), *payload),
        .options = options_in(segment, index),
        .notes = notes_in(segment, index),
        .links = links == nullptr ? 0 : links_content_of(table.parents(index), links->runs_all_the_same.load() != 0),
        .version = version_in(segment, index)};
  }
  return jobs;
}

}  // namespace ringmill::crash
