// What a round of the journal calls durable of jobs that go on while it is under way, leaders of bundles above all. A
// large job, of which no segment has room for all parts, makes the round stop at its cell. On a disk in memory.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "core/durability/rounds.h"
#include "core/journal/writer.h"
#include "core/table/settling.h"
#include "tests/crash/journal_ledger.h"
#include "tests/journal/disk_model.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Life = crash::Replay::Life;

constexpr std::uint64_t leaders_engine_id = 1;
constexpr JournalGeometry roomy_journal{.segment_bytes = std::uint64_t{16} * journal_unit, .most_segments = 24};
constexpr std::size_t large_bytes = 150'000;
constexpr int most_steps = 1'000;

CreateOptions options_with_arena() {
  CreateOptions options = small_engine_with_room();
  options.max_payload = large_bytes;
  options.arena = std::uint64_t{1} << 20;
  return options;
}

struct LeadersWorld : World {
  LeadersWorld()
      : World(options_with_arena()),
        core(scratch.open_core()),
        disk(std::make_shared<Disk>(1)),
        producer(attach(Role::producer)),
        worker(attach()) {
    begin_keeper();
  }

  /// It believes no note of a cell that is pending.
  void begin_keeper() {
    rounds.reset();
    writer.reset();
    writer = must(JournalWriter::open(std::make_unique<DiskModel>(disk), leaders_engine_id, roomy_journal, ++epoch));
    rounds.emplace(core->segment, *writer);
  }
  void settle() {
    writer->flush();
    while (writer->blocks_in_flight() != 0) writer->collect(1ms);
    rounds->publish();
  }
  /// Goes on until then. False: the round has ended before.
  bool go_on_until(const std::function<bool()>& is_then) {
    rounds->begin(0);
    for (int n = 0; n < most_steps && rounds->go_on() != JournalRounds::Step::done; ++n) {
      settle();
      if (is_then()) return true;
    }
    settle();
    return false;
  }
  void round() {
    go_on_until([] { return false; });
  }
  JobId enqueue_large() { return enqueue(*producer, std::string(large_bytes, 'l')); }
  /// Past the first look of the round at all cells in front of a large job's.
  bool go_on_past_first_look() {
    return go_on_until([] { return true; });
  }
  /// The marks that were set since are taken, that of `large` among them.
  bool go_on_past_second_take(JobId large) {
    return go_on_until([&] {
      return (core->segment.marks().marked(JournalMarks::word_of(index_of(large))) &
              JournalMarks::bit_of(index_of(large))) == 0;
    });
  }
  /// Two that come together. The second leads them.
  std::array<JobId, 2> enqueue_both() {
    std::array<LinkedRequest, 2> both;
    for (LinkedRequest& one : both) one.request = request("together");
    std::array<JobId, 2> ids;
    must(producer->enqueue_together(both, ids));
    return ids;
  }
  Job claim(JobId wanted) {
    Job job = must(worker->claim());
    EXPECT_EQ(job.id(), wanted);
    return job;
  }
  /// A follow-up comes with its completion.
  JobId complete_with_follow_up(JobId id) {
    Job job = claim(id);
    const JobId follow_up = must(job.follow_up({.request = request("follow-up")}));
    must(job.complete());
    return follow_up;
  }
  std::optional<Life> after_power_cut(JobId id) {
    DiskModel device(disk->power_cut(7));
    const auto jobs = crash::replay_of(must(crash::read_back(device, leaders_engine_id)).blocks).counting();
    const auto found = jobs.find(index_of(id));
    if (found == jobs.end() || found->second.generation != generation_of(id)) return std::nullopt;
    return found->second;
  }
  /// As it was when its ticket was taken, or later.
  void expect_failed_once(JobId id) {
    const auto life = after_power_cut(id);
    ASSERT_TRUE(life);
    EXPECT_GE(life->attempts, 1U) << "its first failure was said to be durable";
    EXPECT_TRUE(crash::is_over(life->state) || life->text == "it failed once");
  }

  std::shared_ptr<EngineCore> core;
  std::shared_ptr<Disk> disk;
  std::unique_ptr<Participant> producer;
  std::unique_ptr<Participant> worker;
  std::unique_ptr<JournalWriter> writer;
  std::optional<JournalRounds> rounds;
  std::uint64_t epoch = 0;
};

TEST(LeadersInRoundsInProcess, what_is_durable_of_a_leader_is_there_though_it_completes_while_the_round_goes_on) {
  LeadersWorld world;
  const auto [member, leader] = world.enqueue_both();
  world.round();
  must(world.claim(member).complete());
  must(world.claim(leader).retry_in(0ms, "it failed once"));
  const DurabilityTicket ticket = world.worker->ticket();
  const JobId large = world.enqueue_large();
  ASSERT_LT(index_of(leader), index_of(large));
  ASSERT_TRUE(world.go_on_past_first_look());
  world.complete_with_follow_up(leader);
  world.round();
  ASSERT_TRUE(must(world.worker->is_durable(ticket)));
  world.expect_failed_once(leader);
}

TEST(LeadersInRoundsInProcess,
     a_leader_that_completes_behind_the_second_look_is_written_with_its_end_in_the_same_round) {
  LeadersWorld world;
  const auto [member, leader] = world.enqueue_both();  // the journal knows neither
  must(world.claim(member).complete());
  must(world.claim(leader).retry_in(0ms, "it failed once"));
  const DurabilityTicket ticket = world.worker->ticket();
  world.enqueue_large();
  ASSERT_TRUE(world.go_on_past_first_look());
  Job again = world.claim(leader);
  const JobId large = world.enqueue_large();
  ASSERT_TRUE(world.go_on_past_second_take(large));
  const JobId follow_up = must(again.follow_up({.request = world.request("follow-up")}));
  must(again.complete());
  world.round();
  ASSERT_TRUE(must(world.worker->is_durable(ticket)));
  world.expect_failed_once(leader);
  EXPECT_TRUE(world.after_power_cut(follow_up)) << "or the completion that it came with is not to be there";
}

TEST(LeadersInRoundsInProcess, a_member_that_leads_others_stays_as_it_was_durable_until_its_end_is_under_a_new_keeper) {
  LeadersWorld world;
  const auto [member, leader] = world.enqueue_both();
  must(world.claim(member).retry_in(0ms, "it failed once"));
  const DurabilityTicket ticket = world.worker->ticket();
  world.round();
  ASSERT_TRUE(must(world.worker->is_durable(ticket)));
  const Job other = world.claim(leader);
  world.complete_with_follow_up(member);
  const JobId large = world.enqueue_large();
  ASSERT_LT(index_of(member), index_of(large));
  world.rounds->begin(0);  // takes the marks, and dies
  world.begin_keeper();
  ASSERT_TRUE(world.go_on_past_first_look());
  const auto life = world.after_power_cut(member);
  ASSERT_TRUE(life);
  ASSERT_FALSE(crash::is_over(life->state)) << "this is to be in front of its end";
  EXPECT_EQ(life->attempts, 1U) << "the second has ended, and that is not durable";
  EXPECT_EQ(life->text, "it failed once");
  world.round();
  const auto after = world.after_power_cut(member);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->state, JournaledState::completed);
}

TEST(JobsThatMoveOnInRoundsInProcess, what_is_durable_is_there_though_the_round_meets_the_job_in_its_last_step) {
  LeadersWorld world;
  const JobOptions options{.keep_result = 1h};
  JobRequest request = world.request("kept");
  request.options = options;
  const JobId id = must(world.producer->enqueue(request));
  must(world.claim(id).retry_in(0ms, "it failed once"));
  const DurabilityTicket ticket = world.worker->ticket();
  world.enqueue_large();
  const Job again = world.claim(id);
  Settling settling(world.core->segment, static_cast<std::uint32_t>(world.worker->number()));
  const StateWord running = settling.table().word(index_of(id));
  ASSERT_TRUE(settling.swap_to_completing(index_of(id), running));
  ASSERT_TRUE(world.go_on_past_first_look());
  settling.keep_completed(index_of(id), running.next(CellState::completing, settling.owner()));
  world.round();
  ASSERT_TRUE(must(world.worker->is_durable(ticket)));
  world.expect_failed_once(id);
}

TEST(JobsThatMoveOnInRoundsInProcess, a_round_does_not_wait_for_a_job_that_is_stopped_in_its_last_step) {
  LeadersWorld world;
  const JobId id = world.enqueue(*world.producer, "stopped");
  must(world.claim(id).retry_in(0ms, "it failed once"));
  const DurabilityTicket ticket = world.worker->ticket();
  const Job again = world.claim(id);
  Settling settling(world.core->segment, static_cast<std::uint32_t>(world.worker->number()));
  ASSERT_TRUE(settling.swap_to_completing(index_of(id), settling.table().word(index_of(id))));
  world.round();
  ASSERT_TRUE(must(world.worker->is_durable(ticket)));
  const auto life = world.after_power_cut(id);
  ASSERT_TRUE(life);
  EXPECT_EQ(life->attempts, 1U);
}

}  // namespace
}  // namespace ringmill::test
