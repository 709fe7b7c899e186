// What a job carries beside its payload survives a kill of its processes and a reboot, and a journal without it opens.
#include <sys/wait.h>

#include <array>
#include <string>
#include <vector>

#include "core/table/notes.h"
#include "tests/durability/rebuild.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view noted_trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

OptionsRecord noted_options(JobId id, std::uint16_t more = 0) {
  return {.cell_flags = static_cast<std::uint16_t>(cell_flag::has_options | cell_flag::has_notes | more),
          .id = id.value()};
}

NotesRecord some_notes(JobId id) {
  const TraceParent trace = *TraceParent::parse(noted_trace);
  return {.trace_flags = trace.flags,
          .id = id.value(),
          .serial_low = 5,
          .serial_high = 6,
          .retried_from = 0x1234,
          .trace_id = trace.trace_id,
          .trace_parent = trace.parent_id};
}

Records noted_job(JobId id) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id, .payload = "payload"});
  return records;
}

TEST(RebuildNotes, all_that_a_job_carries_comes_back_beside_links_or_without) {
  const JobId id = id_of(5, 1);
  for (const std::uint16_t links : {std::uint16_t{0}, cell_flag::has_links}) {
    Records records = noted_job(id);
    records.options(noted_options(id, links));
    if (links != 0) records.links({.runs_all_the_same = 1, .id = id.value()});
    records.notes(some_notes(id), "order-17");
    records.change({.attempts = 1, .state = JournaledState::waits, .id = id.value()}, std::string(200, 'x'));
    const Rebuilt rebuilt(records, 256);
    const JobTable table(*rebuilt.segment);
    const Notes notes = Notes::read(*table.notes(1));
    EXPECT_EQ(notes.serial_low, 5U);
    EXPECT_EQ(notes.serial_high, 6U);
    EXPECT_EQ(notes.retried_from, JobId(0x1234));
    EXPECT_EQ(notes.trace.text(), noted_trace);
    EXPECT_EQ(notes.tag(), "order-17");
    EXPECT_EQ(rebuilt.payload(id), "payload");
    EXPECT_EQ(rebuilt.info(id).last_error.size(), links != 0 ? 32U : 56U) << "the text ends before all that";
    if (links != 0) {
      EXPECT_EQ(table.links(1)->runs_all_the_same.load(), 1U);
    }
    EXPECT_TRUE(rebuilt.damage.empty());
  }
}

TEST(RebuildNotes, a_copy_of_the_records_changes_nothing) {
  const JobId id = id_of(5, 1);
  Records records = noted_job(id);
  for (int copies = 0; copies < 2; ++copies) {
    records.options(noted_options(id));
    records.notes(some_notes(id), "order-17");
    records.next_segment();
    records.job({.id = id, .payload = "payload"});
  }
  EXPECT_EQ(Rebuilt(records, 256).info(id).tag, "order-17");
}

TEST(RebuildNotes, notes_that_no_job_can_have_are_reported_and_left_out) {
  const JobId id = id_of(5, 1);
  const auto damaged = [&](const OptionsRecord& options, const std::string& tag, std::uint32_t cell_bytes) {
    Records records = noted_job(id);
    records.options(options);
    records.notes(some_notes(id), tag);
    const Rebuilt rebuilt(records, cell_bytes);
    EXPECT_EQ(rebuilt.jobs, 1U);
    EXPECT_EQ(rebuilt.payload(id), "payload");
    EXPECT_EQ(rebuilt.info(id).tag, "");
    return !rebuilt.damage.empty();
  };
  EXPECT_TRUE(damaged({.cell_flags = cell_flag::has_options, .id = id.value()}, "tag", 256)) << "options without notes";
  EXPECT_TRUE(damaged({.cell_flags = cell_flag::has_notes, .id = id.value()}, "tag", 256)) << "notes without options";
  EXPECT_TRUE(damaged(noted_options(id), "a\nb", 256)) << "a tag that no job can have";
  EXPECT_TRUE(damaged(noted_options(id), "tag", 128)) << "a cell without room for notes";
}

struct NotedMachine {
  ScratchEngine scratch{small_engine_with_room()};

  JobRequest request(Engine& engine) const {
    return {.kind = must(engine.kind("k")),
            .level = must(engine.level("default")),
            .payload = "payload",
            .durability = Durability::durable,
            .tag = "order-17",
            .trace_parent = noted_trace};
  }
  static void expect_noted(const JobInfo& info) {
    EXPECT_EQ(info.tag, "order-17");
    EXPECT_EQ(info.trace_parent, noted_trace);
  }
};

TEST(NotesDurability, a_job_carries_them_after_a_reboot_in_each_of_its_states) {
  const NotedMachine machine;
  std::vector<JobId> ids;
  {
    Engine engine = machine.scratch.open(OpenOptions{});
    const auto participant = must(engine.attach(Role::worker));
    JobRequest asked = machine.request(engine);
    ids.push_back(must(participant->enqueue(asked)));
    must(must(participant->claim(generous)).retry_in(1h, "no luck"));
    asked.options.keep_result = 1h;
    ids.push_back(must(participant->enqueue(asked)));
    must(must(participant->claim(generous)).complete("result"));
    asked.options = {.delay = 1h};
    ids.push_back(must(participant->enqueue(asked)));
    asked.options = {};
    ids.push_back(must(participant->enqueue(asked)));
    must(participant->wait_durable(participant->ticket(), generous));
  }
  for (int reboot = 0; reboot < 2; ++reboot) {
    std::filesystem::remove(machine.scratch.segment_file());
    Engine engine = machine.scratch.open(OpenOptions{});
    for (const JobId id : ids) NotedMachine::expect_noted(must(engine.job(id)));
    EXPECT_EQ(must(engine.job(ids[0])).last_error, "no luck");
    EXPECT_EQ(must(engine.job(ids[1])).result, "result");
    const auto participant = must(engine.attach(Role::worker));
    Job job = must(participant->claim(generous));
    EXPECT_EQ(job.id(), ids[3]);
    EXPECT_EQ(job.tag(), "order-17");
    EXPECT_EQ(job.trace_parent(), noted_trace);
  }
}

TEST(NotesDurability, a_job_of_a_killed_worker_carries_them_to_the_next) {
  const NotedMachine machine;
  const pid_t worker = ::fork();
  if (worker == 0) {
    Engine engine = machine.scratch.open(OpenOptions{});
    const auto participant = must(engine.attach(Role::worker));
    static_cast<void>(must(participant->enqueue(machine.request(engine))));
    const Job job = must(participant->claim(generous));
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(worker, nullptr, 0), worker);
  Engine engine = machine.scratch.open(OpenOptions{});
  const auto participant = must(engine.attach(Role::worker));
  const Job job = must(participant->claim(generous));
  EXPECT_EQ(job.attempt(), 2U);
  EXPECT_EQ(job.tag(), "order-17");
  EXPECT_EQ(job.trace_parent(), noted_trace);
}

}  // namespace
}  // namespace ringmill::test
