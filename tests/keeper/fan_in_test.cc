// Jobs that wait for very many others: their parents' ids are in the arena.
#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <ringmill/graph.h>

#include "core/dead_letters/store.h"
#include "core/inspect/invariants.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t very_many = 100'000;
/// More than a keeper looks at in one turn, and than a batch of marks has.
constexpr std::uint32_t many = 10'000;

CreateOptions with_room_for(std::uint32_t jobs) {
  CreateOptions options = small_engine_with_room();
  options.capacity = (jobs / 64 + 4) * 64;
  options.max_payload = 1U << 20;
  options.arena = std::uint64_t{4} << 20;
  return options;
}

struct FanIn : World {
  explicit FanIn(std::uint32_t jobs, const OpenOptions& opening = OpenOptions{})
      : World(with_room_for(jobs), opening) {}

  JobRequest request_of(Durability durability) const {
    return {.kind = kind, .level = level, .payload = as_payload("callback"), .durability = durability};
  }
  /// A group of so many jobs, and its callback, which is the last.
  std::vector<JobId> enqueue_group(std::uint32_t jobs, Durability durability = Durability::memory,
                                   OnParentDead on_parent_dead = OnParentDead::cancel) {
    const std::vector<JobRequest> members(jobs, request_of(durability));
    return must(JobGraph::group(members, request_of(durability), on_parent_dead).enqueue(*participant, generous));
  }
  void run(std::uint32_t jobs) const { run(*participant, jobs); }
  static void run(Participant& worker, std::uint32_t jobs) {
    std::array<Job, Participant::most_in_batch> batch;
    for (std::uint32_t done = 0; done < jobs;) {
      const std::size_t most = std::min<std::size_t>(batch.size(), jobs - done);
      const std::size_t count = must(worker.claim_batch(std::span(batch).first(most), generous));
      done += static_cast<std::uint32_t>(worker.complete_batch(std::span(batch).first(count)));
    }
  }
  static std::vector<JobId> parents_in(const std::vector<JobId>& group) { return {group.begin(), group.end() - 1}; }
  void expect_callback(const std::vector<JobId>& group) const {
    Job callback = must(participant->claim(generous));
    EXPECT_EQ(callback.id(), group.back());
    EXPECT_TRUE(callback.parents() == parents_in(group));
    EXPECT_EQ(as_text(callback.payload()), "callback");
    must(callback.complete());
  }
  bool becomes_empty() const {
    return await([&] { return engine.status().cells_used == 0 && engine.status().arena_used == 0; });
  }

  std::unique_ptr<Participant> participant = attach();
};

TEST(FanIn, a_callback_waits_for_a_hundred_thousand_jobs_of_its_group_and_knows_them_all) {
  FanIn world(very_many);
  const auto begin = std::chrono::steady_clock::now();
  const auto ids = world.enqueue_group(very_many);
  world.run(very_many - 1);
  EXPECT_EQ(world.state_of(ids.back()), JobState::blocked);
  world.run(1);
  world.expect_callback(ids);
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  RecordProperty("milliseconds", static_cast<int>(elapsed / 1ms));
  EXPECT_LT(elapsed, 60s) << "each end must cost the keeper one count, not a look at all parents";
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, one_that_comes_when_most_of_its_parents_are_over_waits_for_the_rest) {
  FanIn world(many);
  std::vector<JobId> ids;
  for (std::uint32_t n = 0; n < many; ++n) {
    ids.push_back(must(world.participant->enqueue(world.request_of(Durability::memory))));
  }
  world.run(many - 1);
  JobGraph graph;
  graph.wait_for(graph.add(world.request_of(Durability::memory)), ids);
  ids.push_back(must(graph.enqueue(*world.participant)).front());
  EXPECT_TRUE(await([&] { return world.state_of(ids.back()) == JobState::blocked; }));
  world.run(1);
  world.expect_callback(ids);
}

TEST(FanIn, a_parent_that_is_named_a_thousand_times_is_waited_for_once) {
  FanIn world(many);
  const JobId parent = must(world.participant->enqueue(world.request_of(Durability::memory)));
  std::vector<JobId> ids(1000, parent);
  JobGraph graph;
  graph.wait_for(graph.add(world.request_of(Durability::memory)), ids);
  ids.push_back(must(graph.enqueue(*world.participant)).front());
  world.run(1);
  world.expect_callback(ids);
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, ten_thousand_jobs_that_wait_for_one_are_told_of_its_end_and_let_it_go) {
  FanIn world(many);
  const JobId parent = must(world.participant->enqueue(world.request_of(Durability::memory)));
  for (std::uint32_t n = 0; n < many; ++n) {
    JobGraph graph;
    graph.wait_for(graph.add(world.request_of(Durability::memory)), std::vector{parent});
    must(graph.enqueue(*world.participant));
  }
  world.run(1 + many);
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, when_one_of_many_parents_is_cancelled_the_callback_is_too_once_all_are_over) {
  FanIn world(many);
  const auto ids = world.enqueue_group(many);
  must(world.participant->cancel(ids[many / 2]));
  world.run(many - 1);
  EXPECT_TRUE(world.becomes_empty());
  EXPECT_EQ(world.engine.status().totals.cancelled, 2U);
  EXPECT_EQ(world.engine.status().totals.dead, 0U);
}

TEST(FanIn, when_one_of_many_parents_is_dead_the_callback_is_too_and_its_letter_has_its_payload_alone) {
  FanIn world(many);
  const auto ids = world.enqueue_group(many);
  must(must(world.participant->claim(generous)).reject());
  world.run(many - 1);
  const auto letter = [&] {
    const auto store = DeadLetterStore::open(world.scratch.directory(), DeadLetterStore::Access::read_only);
    return store ? store->find(ids.back()) : std::unexpected(store.error());
  };
  ASSERT_TRUE(await([&] { return letter().has_value(); }));
  EXPECT_EQ(must(letter()).cause, DeathCause::parent_dead);
  EXPECT_EQ(as_text(must(letter()).payload), "callback") << "without the parents' ids";
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, one_that_runs_all_the_same_runs_when_the_last_of_many_parents_is_over) {
  FanIn world(many);
  const auto ids = world.enqueue_group(many, Durability::memory, OnParentDead::run);
  must(world.participant->cancel(ids.front()));
  world.run(many - 1);
  world.expect_callback(ids);
}

TEST(FanIn, the_next_keeper_counts_what_is_left) {
  FanIn world(many, without_keeper);
  const auto ids = world.enqueue_group(many);
  for (const std::uint32_t done : {many / 4, many / 4, many - many / 4 * 2}) {
    const Engine keeper = world.scratch.open(OpenOptions{});
    world.run(done);
  }
  const Engine keeper = world.scratch.open(OpenOptions{});
  world.expect_callback(ids);
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, parents_results_stay_for_a_callback_that_runs_while_keepers_come_and_go) {
  FanIn world(many, without_keeper);
  auto keeper = std::make_unique<Engine>(world.scratch.open(OpenOptions{}));
  const auto ids = world.enqueue_group(many);
  must(must(world.participant->claim(generous)).complete(as_payload("a result")));
  world.run(many - 1);
  Job callback = must(world.participant->claim(generous));
  for (int change = 0; change < 2; ++change) {
    keeper.reset();
    keeper = std::make_unique<Engine>(world.scratch.open(OpenOptions{}));
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(must(world.engine.job(ids.front())).result, "a result");
  }
  must(callback.complete());
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FanIn, a_callback_of_many_comes_back_from_the_journal_with_all_ids) {
  const ScratchEngine scratch(with_room_for(many));
  std::vector<JobId> ids;
  {
    Engine engine = scratch.open(OpenOptions{});
    const auto participant = must(engine.attach(Role::worker));
    const JobRequest request{
        .kind = must(engine.kind("test")), .level = must(engine.level("default")), .payload = as_payload("callback")};
    ids = must(JobGraph::group(std::vector<JobRequest>(many, request), request).enqueue(*participant, generous));
    FanIn::run(*participant, many / 2);
    must(participant->wait_durable(participant->ticket(), generous));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open(OpenOptions{});
  const auto participant = must(engine.attach(Role::worker));
  EXPECT_EQ(must(engine.job(ids.back())).state, JobState::blocked);
  FanIn::run(*participant, many - many / 2);
  Job callback = must(participant->claim(generous));
  EXPECT_EQ(callback.id(), ids.back());
  EXPECT_TRUE(callback.parents() == FanIn::parents_in(ids));
  EXPECT_EQ(as_text(callback.payload()), "callback");
  must(callback.complete());
  EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
}

TEST(FanIn, a_look_at_a_callback_names_its_first_parents_and_counts_the_rest) {
  FanIn world(1000);
  const auto ids = world.enqueue_group(1000);
  const JobInfo info = must(world.engine.job(ids.back()));
  EXPECT_EQ(info.parents, std::vector<JobId>(ids.begin(), ids.begin() + JobInfo::most_parents));
  EXPECT_EQ(info.parent_count, 1000U);
  EXPECT_EQ(info.payload_size, std::string_view("callback").size());
}

TEST(FanIn, an_error_text_of_a_callback_has_the_whole_cell) {
  FanIn world(1000);
  const auto ids = world.enqueue_group(1000);
  world.run(1000);
  const std::string error(100, 'e');
  must(must(world.participant->claim(generous)).retry_in(0ms, error));
  EXPECT_EQ(must(world.engine.job(ids.back())).last_error, error);
  world.expect_callback(ids);
}

}  // namespace
}  // namespace ringmill::test
