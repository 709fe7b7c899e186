// The journal's writer killed, or stopped, in the midst of a take-over and a round.
//
// Some jobs are in the journal already; one of them has ended since, one has failed, two are new. A process takes the
// journal over, writes what has changed, and is killed or stopped after its n-th instruction. If it has said that its
// round is durable, the journal must say what the table says, at once. Another one takes over, and then it must in any
// case.
#include <unistd.h>

#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/durability/journal_thread.h"
#include "core/inspect/job_view.h"
#include "core/journal/parts.h"
#include "core/journal/reader.h"
#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;
constexpr std::chrono::seconds patience{10};

/// What a journal says of each cell, by the rules of docs/journal-format.md.
class TrialReplay final : public WholeJobsVisitor {
 public:
  TrialReplay() : WholeJobsVisitor(true) {}

  struct Life {
    std::uint64_t generation = 0;
    std::uint16_t attempts = 0;
    std::vector<std::byte> payload;
  };

  void on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte> payload) override {
    const JobId id(record.id);
    Life& life = lives_[index_of(id)];
    if (generation_of(id) < life.generation) return;
    life = {generation_of(id), record.attempts(), {payload.begin(), payload.end()}};
  }
  void on_ended(const JournalPlace&, JobId id) override {
    std::uint64_t& floor = floors_[index_of(id)];
    floor = std::max(floor, generation_of(id));
  }
  void on_attempts(const JournalPlace&, JobId id, std::uint16_t attempts) override {
    Life& life = lives_[index_of(id)];
    if (life.generation == generation_of(id)) life.attempts = attempts;
  }
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}

  const Life* life_of(CellIndex index) const {
    const auto life = lives_.find(index);
    if (life == lives_.end()) return nullptr;
    const auto floor = floors_.find(index);
    if (floor != floors_.end() && life->second.generation < floor->second) return nullptr;
    return &life->second;
  }

 private:
  std::map<CellIndex, Life> lives_;
  std::map<CellIndex, std::uint64_t> floors_;
};

void compare_with_table(const World& world, std::string_view when, std::vector<Problem>& problems) {
  const auto add = [&](Trouble trouble, const std::string& what) {
    problems.push_back({trouble, fmt::format("{}: {}", when, what)});
  };
  const auto folder = world.core().directory.open_journal_folder();
  if (!folder) return add(Trouble::lost, "the journal's folder cannot be opened: " + folder.error().message());
  auto device = open_journal_device(*folder, DeviceChoice::pwritev2, 0600);
  if (!device) return add(Trouble::lost, "the journal cannot be opened: " + device.error().message());
  TrialReplay replay;
  const auto report = read_journal(**device, world.core().directory.config().engine_id, replay);
  if (!report) return add(Trouble::lost, "the journal cannot be read: " + report.error().message());
  for (const JournalDamage& damage : report->damage) add(Trouble::lost, "damage is reported: " + damage.reason);
  const JobTable table(world.segment());
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    const bool has_job = word.has_job();
    const TrialReplay::Life* life = replay.life_of(index);
    const std::string id = job_id_of(word, index).to_string();
    if (has_job && life == nullptr) add(Trouble::lost, "the journal does not have job " + id);
    if (!has_job && life != nullptr) add(Trouble::doubled, "the journal would bring back a job of cell " + id);
    if (!has_job || life == nullptr) continue;
    const CellHeader& header = table.header(index);
    const auto view = view_job(world.segment(), index);
    const auto payload = view ? copy_payload(world.segment(), *view) : std::nullopt;
    if (life->generation != word.generation()) add(Trouble::lost, "the journal has another generation than job " + id);
    if (life->attempts != header.attempts.load()) add(Trouble::lost, "the journal has other attempts of job " + id);
    if (!payload || life->payload != *payload) add(Trouble::lost, "the journal has another payload of job " + id);
  }
}

class JournalSubject final : public Subject {
 public:
  std::string_view name() const noexcept override { return "journal_round"; }

  std::optional<StepPath> measure(Stage& stage) override {
    std::vector<Problem> problems = begin(stage);
    SteppedProcess writer(body(stage), patience_to_record);
    writer.run_to_begin();
    auto path = writer.record();
    let_finish(writer, problems);
    compare_with_table(*stage.world, "undisturbed", problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    return problems.empty() ? std::move(path) : std::nullopt;
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) override {
    std::vector<Problem> problems = begin(stage);
    SteppedProcess writer(body(stage));
    writer.run_to_begin();
    const std::uint64_t round = stage.world->segment().journal().round_started.load() + 1;
    writer.follow(path, n);
    World& world = *stage.world;
    Runs runs;
    if (never_came(writer, "writer", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      writer.kill();
      if (world.segment().journal().round_durable.load() >= round) {
        compare_with_table(world, "after a round that was called durable", problems);
      }
      if (n % 2 == 1) world.drain(stage.trial, runs);
    } else {
      world.drain(stage.trial, runs);
      if (n % 2 == 1) world.fill(stage.trial, runs);
      let_finish(writer, problems);
    }
    take_over(world, problems);
    compare_with_table(world, "after the next one has taken over", problems);
    world.drain(stage.trial, runs);
    take_over(world, problems);
    compare_with_table(world, "after all jobs have ended", problems);
    return problems;
  }

 private:
  static std::vector<Problem> begin(Stage& stage) {
    std::vector<Problem> problems = stage.begin({0, 1, large_standing + 2, 1}, long_lease);
    World& world = *stage.world;
    world.forget_journal();
    take_over(world, problems);
    world.end_one_and_fail_one();
    for (std::uint32_t serial = 4; serial < 6; ++serial) {
      if (!world.enqueue(serial, serial % 3, *stage.report, long_lease)) {
        problems.push_back({Trouble::stuck, "the engine refuses a job"});
      }
    }
    return problems;
  }

  /// What the next journal thread would do.
  static void take_over(World& world, std::vector<Problem>& problems) {
    JournalWork work(world.core(), DeviceChoice::pwritev2);
    work.finish(patience);
    const JournalWords& words = world.segment().journal();
    if (words.round_durable.load() != words.round_started.load() || world.segment().marks().any()) {
      problems.push_back({Trouble::stuck, "the next writer cannot finish a round"});
    }
  }

  static std::function<void()> body(Stage& stage) {
    return [&stage] {
      const auto core = open_core(stage.world->directory());
      JournalWork work(*core, DeviceChoice::pwritev2);
      ringmill_step_begin();
      work.finish(patience);
      ringmill_step_end();
    };
  }
};

}  // namespace

std::unique_ptr<Subject> journal_subject() { return std::make_unique<JournalSubject>(); }

}  // namespace ringmill::crash
