// What the rounds of the journal write of jobs that came together, of follow-ups and of large jobs, when a segment is
// given up or a member of a bundle leads others by then. Round by round, on a disk in memory.
#include <gtest/gtest.h>

#include "core/durability/rounds.h"
#include "core/journal/writer.h"
#include "core/table/settling.h"
#include "tests/crash/journal_ledger.h"
#include "tests/journal/disk_model.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t engine_id = 1;
constexpr JournalGeometry short_journal{.segment_bytes = std::uint64_t{16} * journal_unit, .most_segments = 8};

struct RoundsWorld : World {
  explicit RoundsWorld(const CreateOptions& options = small_engine_with_room())
      : World(options),
        core(scratch.open_core()),
        disk(std::make_shared<Disk>(1)),
        producer(attach(Role::producer)),
        worker(attach()),
        writer(must(JournalWriter::open(std::make_unique<DiskModel>(disk), engine_id, short_journal, 1))),
        rounds(core->segment, *writer) {}

  void settle() {
    writer->flush();
    while (writer->blocks_in_flight() != 0) writer->collect(std::chrono::milliseconds(1));
    rounds.publish();
  }
  void round() {
    if (rounds.begin(0) == JournalRounds::Begin::nothing) return;
    while (rounds.go_on() != JournalRounds::Step::done) settle();
    settle();
  }
  /// Rounds with other jobs, until the oldest segment's survivors have to move.
  void use_up_segments() {
    while (writer->free_segments() > 3) {
      enqueue(*producer, std::string(64, 'x'));
      round();
      must(must(worker->claim()).complete());
      round();
    }
  }
  void give_up_oldest() {
    const std::uint64_t oldest = writer->oldest_segment();
    while (writer->oldest_segment() == oldest) {
      rounds.compact(core->segment.geometry().capacity);
      settle();
    }
  }
  struct OldOne {
    JobId id;
    JobId follow_up;
  };
  /// A durable job of the segment that is given up next, completed with a follow-up. No round has looked at either.
  OldOne complete_an_old_one() {
    const JobId id = enqueue(*producer, "first");
    round();
    Job held = must(worker->claim());
    use_up_segments();
    const JobId follow_up = must(held.follow_up({.request = request("follow-up")}));
    must(held.complete());
    return {id, follow_up};
  }
  crash::ReadBack read() {
    DiskModel device(disk->copy());
    return must(crash::read_back(device, engine_id));
  }
  bool counts(JobId id) {
    const auto jobs = crash::replay_of(read().blocks).counting();
    const auto found = jobs.find(index_of(id));
    return found != jobs.end() && found->second.generation == generation_of(id);
  }
  /// Where the last record of this type and job stands; -1: nowhere.
  long place_of(RecordType type, JobId id) {
    long place = 0;
    long found = -1;
    for (const auto& block : read().blocks) {
      for (const crash::LedgerRecord& record : block.records) {
        ++place;
        if (record.type == type && record.id == id.value()) found = place;
      }
    }
    return found;
  }

  std::shared_ptr<EngineCore> core;
  std::shared_ptr<Disk> disk;
  std::unique_ptr<Participant> producer;
  std::unique_ptr<Participant> worker;
  std::unique_ptr<JournalWriter> writer;
  JournalRounds rounds;
};

TEST(BundlesInRoundsInProcess, the_copy_of_a_job_that_has_just_ended_stands_behind_its_follow_ups) {
  RoundsWorld world;
  const auto [first, follow_up] = world.complete_an_old_one();
  world.give_up_oldest();  // before a round has looked at either
  ASSERT_GT(world.place_of(RecordType::change, first), 0) << "copied as it is: complete";
  EXPECT_GT(world.place_of(RecordType::job, follow_up), 0);
  EXPECT_LT(world.place_of(RecordType::job, follow_up), world.place_of(RecordType::change, first));
  EXPECT_TRUE(world.counts(follow_up));
}

TEST(BundlesInRoundsInProcess,
     follow_ups_count_when_the_last_record_of_their_job_has_gone_before_its_end_was_looked_at) {
  RoundsWorld world;
  const auto [first, follow_up] = world.complete_an_old_one();
  world.round();
  ASSERT_TRUE(world.counts(follow_up));
  // The keeper frees the cell, because all of it is durable.
  Settling settling(world.core->segment, static_cast<std::uint32_t>(world.producer->number()));
  const StateWord complete = settling.table().word(index_of(first));
  ASSERT_EQ(complete.state(), CellState::completed);
  ASSERT_TRUE(settling.drop(index_of(first), complete));
  world.give_up_oldest();
  EXPECT_TRUE(world.counts(follow_up)) << "it was acknowledged as durable";
}

TEST(BundlesInRoundsInProcess, a_job_that_came_with_others_stands_before_their_leader_though_it_leads_others_by_now) {
  RoundsWorld world;
  // The leader, which is the last, gets a cell that a round looks at before that of the other one.
  std::vector<Job> held;
  for (int n = 0; n < 63; ++n) {
    world.enqueue(*world.producer, "in the way");
    held.push_back(must(world.worker->claim()));
  }
  must(held.front().complete());
  held.front() = Job();
  world.round();
  const std::vector<LinkedRequest> both(2, LinkedRequest{.request = world.request("together")});
  std::vector<JobId> ids(2);
  must(world.producer->enqueue_together(both, ids));
  ASSERT_LT(index_of(ids[1]), index_of(ids[0]));
  Job job = must(world.worker->claim());
  ASSERT_EQ(job.id(), ids[0]);
  const JobId follow_up = must(job.follow_up({.request = world.request("follow-up")}));
  must(job.complete());
  world.round();
  EXPECT_LT(world.place_of(RecordType::job, ids[0]), world.place_of(RecordType::job, ids[1]));
  EXPECT_LT(world.place_of(RecordType::job, follow_up), world.place_of(RecordType::change, ids[0]));
  for (const JobId id : {ids[0], ids[1], follow_up}) EXPECT_TRUE(world.counts(id));
}

TEST(LargeJobsInRoundsInProcess, are_copied_when_the_segment_with_their_first_part_is_given_up) {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 150'000;
  options.arena = std::uint64_t{1} << 20;
  RoundsWorld world(options);
  const JobId large = world.enqueue(*world.producer, std::string(150'000, 'l'));  // more than two segments
  world.round();
  const std::uint64_t first = world.writer->oldest_segment();
  ASSERT_GT(world.writer->open_segment(), first + 1) << "its record stands in a later one";
  ASSERT_TRUE(world.counts(large));
  const Job held = must(world.worker->claim());
  world.use_up_segments();
  world.give_up_oldest();
  ASSERT_GT(world.writer->oldest_segment(), first);
  EXPECT_TRUE(world.counts(large)) << "all of it, from its first part on";
}

}  // namespace
}  // namespace ringmill::test
