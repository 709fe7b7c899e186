// Jobs that wait for others, jobs that come together, and follow-ups. With the engine's own keeper at work.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <ringmill/graph.h>

#include "core/dead_letters/store.h"
#include "core/inspect/invariants.h"
#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions with_room_for_links() {
  CreateOptions options = small_engine();
  options.cell_size = 512;
  options.capacity = 1024;
  return options;
}

struct DependencyWorld : World {
  explicit DependencyWorld(const CreateOptions& options = with_room_for_links()) : World(options, OpenOptions{}) {}

  std::vector<JobRequest> requests(std::initializer_list<std::string_view> payloads) const {
    std::vector<JobRequest> all;
    for (const std::string_view payload : payloads) all.push_back(request(payload));
    return all;
  }
  std::vector<JobId> enqueue_chain(std::initializer_list<std::string_view> payloads) {
    return must(JobGraph::chain(requests(payloads)).enqueue(*participant));
  }
  Job claim() { return must(participant->claim(generous)); }
  /// The payload of the next job, which is completed.
  std::string run_next(std::string_view result = {}) {
    Job job = claim();
    std::string payload(as_text(job.payload()));
    must(job.complete(as_payload(result)));
    return payload;
  }
  bool stays_empty() {
    std::this_thread::sleep_for(20ms);
    return code_of(participant->claim()) == ErrorCode::would_block;
  }
  bool comes_to(JobId id, JobState state) const {
    return await([&] { return state_of(id) == state; });
  }
  std::uint64_t cells_used() const { return engine.status().cells_used; }
  bool becomes_empty() const {
    return await([&] { return cells_used() == 0; });
  }

  std::unique_ptr<Participant> participant = attach();
};

TEST(Chains, each_job_waits_for_the_one_before_it) {
  DependencyWorld world;
  const auto ids = world.enqueue_chain({"one", "two", "three"});
  EXPECT_EQ(world.state_of(ids[1]), JobState::blocked);
  EXPECT_EQ(world.state_of(ids[2]), JobState::blocked);
  EXPECT_EQ(world.run_next(), "one");
  EXPECT_EQ(world.run_next(), "two");
  EXPECT_EQ(world.run_next(), "three");
  EXPECT_TRUE(world.becomes_empty()) << "what was kept for children is let go with them";
}

TEST(Chains, a_job_that_is_retried_keeps_the_next_one_waiting) {
  DependencyWorld world;
  const auto ids = world.enqueue_chain({"one", "two"});
  must(world.claim().retry_in(1ms));
  EXPECT_EQ(world.state_of(ids[1]), JobState::blocked);
  EXPECT_EQ(world.run_next(), "one");
  EXPECT_EQ(world.run_next(), "two");
}

TEST(Chains, when_a_job_is_dead_those_behind_it_are_too) {
  DependencyWorld world;
  const auto ids = world.enqueue_chain({"one", "two", "three"});
  must(world.claim().reject("no such file"));
  const auto is_dead_letter = [&](JobId id) {
    const auto store = DeadLetterStore::open(world.scratch.directory(), DeadLetterStore::Access::read_only);
    return store && store->find(id).has_value();
  };
  for (const JobId id : ids) EXPECT_TRUE(await([&] { return is_dead_letter(id); })) << id.to_string();
  const auto store = must(DeadLetterStore::open(world.scratch.directory(), DeadLetterStore::Access::read_only));
  EXPECT_EQ(must(store.find(ids[0])).cause, DeathCause::rejected);
  const DeadLetter last = must(store.find(ids[2]));
  EXPECT_EQ(last.cause, DeathCause::parent_dead);
  EXPECT_EQ(as_text(last.payload), "three") << "without the parents' ids";
  EXPECT_TRUE(world.becomes_empty());
}

TEST(Chains, a_job_may_ask_to_run_although_a_parent_is_dead) {
  DependencyWorld world;
  JobGraph graph;
  const auto first = graph.add(world.request("first"));
  graph.add(world.request("cleanup"), {first}, OnParentDead::run);
  must(graph.enqueue(*world.participant));
  must(world.claim().reject());
  EXPECT_EQ(world.run_next(), "cleanup");
}

TEST(Chains, when_a_job_is_cancelled_those_behind_it_are_too) {
  DependencyWorld world;
  const JobOptions kept{.keep_result = 1h};
  auto requests = world.requests({"one", "two", "three"});
  for (JobRequest& request : requests) request.options = kept;
  const auto ids = must(JobGraph::chain(requests).enqueue(*world.participant));
  EXPECT_EQ(must(world.participant->cancel(ids[0])), Cancelled::before_start);
  EXPECT_TRUE(world.comes_to(ids[1], JobState::cancelled));
  EXPECT_TRUE(world.comes_to(ids[2], JobState::cancelled));
  EXPECT_TRUE(world.stays_empty());
  EXPECT_EQ(world.engine.status().totals.cancelled, 3U);
  EXPECT_EQ(world.engine.status().totals.dead, 0U);
}

TEST(Chains, a_chain_that_is_cancelled_job_by_job_in_its_order_leaves_no_dead_letter) {
  DependencyWorld world;
  const auto ids = world.enqueue_chain({"extract", "summarise", "notify"});
  for (const JobId id : ids) must(world.participant->cancel(id));
  EXPECT_TRUE(world.becomes_empty());
  EXPECT_EQ(world.engine.status().totals.dead, 0U);
}

TEST(Chains, one_that_waits_for_a_dead_job_and_a_cancelled_one_is_dead) {
  DependencyWorld world;
  JobGraph graph;
  const auto dead = graph.add(world.request("dead"));
  const auto cancelled = graph.add(world.request("cancelled"));
  graph.add(world.request("callback"), {dead, cancelled});
  const auto ids = must(graph.enqueue(*world.participant));
  EXPECT_EQ(must(world.participant->cancel(ids[1])), Cancelled::before_start);
  must(world.claim().reject());
  EXPECT_TRUE(await([&] { return world.engine.status().totals.dead == 2; }));
  EXPECT_TRUE(world.becomes_empty());
}

TEST(Chains, a_job_that_waits_for_others_can_be_cancelled) {
  DependencyWorld world;
  const auto ids = world.enqueue_chain({"one", "two"});
  EXPECT_EQ(must(world.participant->cancel(ids[1])), Cancelled::before_start);
  EXPECT_EQ(world.run_next(), "one");
  EXPECT_TRUE(world.stays_empty());
  EXPECT_TRUE(world.becomes_empty());
}

TEST(Chains, a_delay_counts_from_the_enqueue_and_holds_beside_the_parents) {
  DependencyWorld world;
  const JobOptions later{.delay = 80ms};
  JobGraph graph;
  const auto first = graph.add(world.request("first"));
  JobRequest second = world.request("second");
  second.options = later;
  graph.add(second, {first});
  const auto begin = std::chrono::steady_clock::now();
  const auto ids = must(graph.enqueue(*world.participant));
  EXPECT_EQ(world.run_next(), "first");
  EXPECT_TRUE(world.comes_to(ids[1], JobState::delayed));
  EXPECT_EQ(world.run_next(), "second");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 80ms);
}

TEST(Chains, a_job_that_waits_for_others_expires_as_every_job) {
  DependencyWorld world;
  const JobOptions brief{.expires = 30ms};
  JobGraph graph;
  const auto first = graph.add(world.request("first"));
  JobRequest second = world.request("second");
  second.options = brief;
  graph.add(second, {first});
  const auto ids = must(graph.enqueue(*world.participant));
  EXPECT_TRUE(await([&] { return world.state_of(ids[1]) != JobState::blocked; }));
  EXPECT_EQ(world.run_next(), "first");
  EXPECT_TRUE(world.stays_empty());
}

TEST(Groups, the_callback_runs_when_all_are_over_and_sees_their_results) {
  DependencyWorld world;
  const auto graph = JobGraph::group(world.requests({"a", "b", "c"}), world.request("sum"));
  const auto ids = must(graph.enqueue(*world.participant));
  ASSERT_EQ(ids.size(), 4U);
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(world.state_of(ids[3]), JobState::blocked);
    Job job = world.claim();
    const std::string result = "result of " + std::string(as_text(job.payload()));
    must(job.complete(as_payload(result)));
  }
  Job callback = world.claim();
  EXPECT_EQ(as_text(callback.payload()), "sum");
  const auto parents = callback.parents();
  ASSERT_EQ(parents.size(), 3U);
  std::string all;
  for (const JobId parent : parents) all += must(world.engine.job(parent)).result + "; ";
  EXPECT_EQ(all, "result of a; result of b; result of c; ");
  must(callback.complete());
  EXPECT_TRUE(world.becomes_empty());
}

TEST(Groups, members_run_side_by_side) {
  DependencyWorld world;
  must(JobGraph::group(world.requests({"a", "b", "c"}), world.request("sum")).enqueue(*world.participant));
  std::vector<Job> jobs;
  for (int n = 0; n < 3; ++n) jobs.push_back(world.claim());
  EXPECT_EQ(as_text(jobs[2].payload()), "c");
}

TEST(Parents, a_job_may_wait_for_jobs_that_were_there_before_it) {
  DependencyWorld world;
  const JobId plain = world.enqueue(*world.participant, "plain");
  const JobId over = world.enqueue(*world.participant, "over");
  Job first = world.claim();
  must(world.claim().complete());
  const std::vector<JobId> after{plain, over};
  const LinkedRequest child{.request = world.request("child"), .after = after};
  JobId id;
  must(world.participant->enqueue_together(std::span(&child, 1), std::span(&id, 1)));
  EXPECT_EQ(world.state_of(id), JobState::blocked);
  EXPECT_TRUE(world.stays_empty());
  const auto begin = std::chrono::steady_clock::now();
  must(first.complete());
  EXPECT_EQ(world.run_next(), "child");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s) << "the keeper was not told: its scan has found it";
  EXPECT_TRUE(world.becomes_empty());
}

TEST(Parents, a_job_that_waits_for_one_that_is_a_dead_letter_already_is_dead) {
  DependencyWorld world;
  const JobId dead = world.enqueue(*world.participant, "dead");
  must(world.claim().reject());
  ASSERT_TRUE(world.becomes_empty()) << "buried";
  const LinkedRequest child{.request = world.request("child"), .after = std::span(&dead, 1)};
  JobId id;
  must(world.participant->enqueue_together(std::span(&child, 1), std::span(&id, 1)));
  EXPECT_TRUE(world.becomes_empty());
  EXPECT_EQ(world.state_of(id), JobState::dead);
}

TEST(Parents, an_id_that_cannot_be_is_refused) {
  DependencyWorld world;
  const JobId never(~std::uint64_t{0});
  const LinkedRequest child{.request = world.request("child"), .after = std::span(&never, 1)};
  JobId id;
  EXPECT_EQ(code_of(world.participant->enqueue_together(std::span(&child, 1), std::span(&id, 1))),
            ErrorCode::not_found);
}

TEST(Together, where_not_all_have_room_none_comes) {
  DependencyWorld world;
  const std::vector<JobRequest> many(world.engine.status().capacity - 10, world.request("x"));
  must(JobGraph::chain(many).enqueue(*world.participant));
  const std::vector<JobRequest> more(11, world.request("y"));
  EXPECT_EQ(code_of(JobGraph::chain(more).enqueue(*world.participant)), ErrorCode::would_block);
  EXPECT_EQ(world.cells_used(), many.size());
  EXPECT_EQ(code_of(JobGraph::chain(more).enqueue(*world.participant, 5ms)), ErrorCode::timed_out);
  const std::vector<JobRequest> too_many(world.engine.status().capacity + 1, world.request("z"));
  EXPECT_EQ(code_of(JobGraph::chain(too_many).enqueue(*world.participant)), ErrorCode::no_space);
  const std::vector<JobRequest> fitting(10, world.request("y"));
  EXPECT_TRUE(JobGraph::chain(fitting).enqueue(*world.participant).has_value());
}

TEST(Together, the_smallest_cells_have_no_room_for_links_and_say_so) {
  CreateOptions options = small_engine();
  options.cell_size = 128;
  DependencyWorld world(options);
  EXPECT_EQ(code_of(JobGraph::chain(world.requests({"a", "b"})).enqueue(*world.participant)), ErrorCode::too_large);
}

TEST(FollowUps, become_visible_when_their_job_completes_and_not_before) {
  DependencyWorld world;
  world.enqueue(*world.participant, "first");
  Job job = world.claim();
  const JobId follow_up = must(job.follow_up({.request = world.request("then")}));
  EXPECT_EQ(code_of(world.engine.job(follow_up)), ErrorCode::not_found);
  EXPECT_TRUE(world.stays_empty());
  must(job.complete());
  EXPECT_EQ(world.run_next(), "then");
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FollowUps, never_were_when_their_job_fails_or_is_given_back) {
  DependencyWorld world;
  world.enqueue(*world.participant, "first");
  for (const bool fails : {true, false}) {
    Job job = world.claim();
    must(job.follow_up({.request = world.request("then")}));
    if (fails) {
      must(job.retry_in(0ms));
    } else {
      must(job.release());
    }
    EXPECT_EQ(world.cells_used(), 1U);
  }
  EXPECT_EQ(world.run_next(), "first");
  EXPECT_TRUE(world.stays_empty());
}

TEST(FollowUps, never_were_when_the_lease_was_lost) {
  DependencyWorld world;
  JobRequest brief = world.request("first");
  brief.lease = 5ms;
  const JobId id = must(world.participant->enqueue(brief));
  Job late = world.claim();
  must(late.follow_up({.request = world.request("then")}));
  ASSERT_TRUE(world.comes_to(id, JobState::queued)) << "revoked";
  EXPECT_EQ(code_of(late.complete()), ErrorCode::lease_lost);
  EXPECT_EQ(world.run_next(), "first");
  EXPECT_TRUE(world.stays_empty());
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FollowUps, may_be_more_than_one_walk_over_a_bundle_publishes) {
  CreateOptions options = small_engine_with_room();
  options.capacity = 4096;
  World world(options, OpenOptions{});
  const auto participant = world.attach();
  world.enqueue(*participant, "first");
  Job job = must(participant->claim(generous));
  constexpr std::size_t count = 2500;
  for (std::size_t n = 0; n < count; ++n) must(job.follow_up({.request = world.request(std::to_string(n))}));
  must(job.complete());
  std::vector<bool> seen(count);
  for (std::size_t n = 0; n < count; ++n) {
    Job one = must(participant->claim(generous));
    seen.at(std::stoul(std::string(as_text(one.payload())))) = true;
    must(one.complete());
  }
  EXPECT_EQ(std::ranges::count(seen, true), count);
  EXPECT_EQ(participant->claim().error().code(), ErrorCode::would_block);
}

TEST(FollowUps, may_be_a_whole_graph_and_several_jobs_at_a_time_have_their_own) {
  DependencyWorld world;
  world.enqueue(*world.participant, "one");
  world.enqueue(*world.participant, "two");
  Job one = world.claim();
  Job two = world.claim();
  must(JobGraph::chain(world.requests({"one.a", "one.b"})).follow(one));
  must(two.follow_up({.request = world.request("two.a")}));
  must(one.follow_up({.request = world.request("one.c")}));
  EXPECT_EQ(one.follow_ups(), 3U);
  must(two.complete());
  EXPECT_EQ(world.run_next(), "two.a");
  EXPECT_TRUE(world.stays_empty());
  std::vector<Job> batch;
  batch.push_back(std::move(one));
  EXPECT_EQ(world.participant->complete_batch(batch), 1U);
  EXPECT_EQ(world.run_next(), "one.a");
  EXPECT_EQ(world.run_next(), "one.c");
  EXPECT_EQ(world.run_next(), "one.b");
  EXPECT_TRUE(world.becomes_empty());
}

TEST(FollowUps, of_a_worker_that_dies_never_were_and_its_job_runs_again) {
  DependencyWorld world;
  world.enqueue(*world.participant, "first");
  Child child([&world] {
    Engine engine = world.scratch.open({.embedded_keeper = false});
    auto worker = must(engine.attach(Role::worker));
    Job job = must(worker->claim(generous));
    must(job.follow_up({.request = world.request("then")}));
    ::raise(SIGKILL);
    return 0;
  });
  child.wait();
  EXPECT_EQ(world.run_next(), "first");
  EXPECT_TRUE(world.stays_empty());
  EXPECT_TRUE(world.becomes_empty());
}

/// A full engine: a producer has named its level, and waits for room.
struct CrowdedWorld : DependencyWorld {
  CrowdedWorld() : DependencyWorld(crowded()) {
    while (participant->enqueue(request("crowd"))) {
    }
  }
  static CreateOptions crowded() {
    CreateOptions options = with_room_for_links();
    options.capacity = 64;
    return options;
  }

  JobRequest into_tube() const {
    JobRequest into = request("late");
    into.level = tube;
    return into;
  }
  /// Removes the level while a producer waits for room, then makes room.
  void remove_tube_and_make_room(std::size_t cells) {
    EXPECT_TRUE(await([&] { return Sleepers(core->segment, core->segment.signals().space_waiters).any(); }));
    must(engine.remove_level("tube"));
    for (std::size_t n = 0; n < cells; ++n) must(claim().complete());
  }
  /// Everything else runs, and nothing is left of what was refused.
  void expect_that_the_rest_runs() {
    while (auto job = participant->claim()) must(job->complete());
    EXPECT_TRUE(becomes_empty());
    EXPECT_TRUE(check_invariants(core->segment, false).empty());
  }

  std::shared_ptr<EngineCore> core = scratch.open_core();
  Level tube = must(engine.add_level("tube"));
};

TEST(Together, jobs_that_waited_for_room_while_their_level_was_removed_are_refused) {
  CrowdedWorld world;
  Result<void> answer;
  std::thread enqueuing([&world, &answer] {
    const auto producer = world.attach();
    constexpr std::array<std::uint32_t, 1> the_first{0};
    const std::array<LinkedRequest, 2> jobs{
        {{.request = world.request("first")}, {.request = world.into_tube(), .after_earlier = the_first}}};
    std::array<JobId, 2> ids;
    answer = producer->enqueue_together(jobs, ids, generous);
  });
  world.remove_tube_and_make_room(2);
  enqueuing.join();
  EXPECT_EQ(code_of(answer), ErrorCode::level_removed);
  world.expect_that_the_rest_runs();
}

TEST(FollowUps, one_that_waited_for_room_while_its_level_was_removed_is_refused_and_its_job_goes_on) {
  CrowdedWorld world;
  Result<JobId> answer;
  std::thread working([&world, &answer] {
    const auto worker = world.attach();
    Job job = must(worker->claim(generous));
    answer = job.follow_up({.request = world.into_tube()}, generous);
    EXPECT_EQ(job.follow_ups(), 0U);
    must(job.complete());
  });
  world.remove_tube_and_make_room(1);
  working.join();
  EXPECT_EQ(code_of(answer), ErrorCode::level_removed);
  world.expect_that_the_rest_runs();
}

TEST(Dependencies, the_next_keeper_knows_which_job_waits_for_which) {
  const ScratchEngine scratch(with_room_for_links());
  std::vector<JobId> ids;
  {
    Engine engine = scratch.open(OpenOptions{});
    auto producer = must(engine.attach(Role::producer));
    const JobRequest request{.kind = must(engine.kind("test")), .level = must(engine.level("default"))};
    ids = must(JobGraph::chain(std::vector<JobRequest>(3, request)).enqueue(*producer));
    std::this_thread::sleep_for(20ms);
  }
  Engine engine = scratch.open(OpenOptions{});
  auto worker = must(engine.attach(Role::worker));
  for (const JobId id : ids) {
    Job job = must(worker->claim(generous));
    EXPECT_EQ(job.id(), id);
    must(job.complete());
  }
}

TEST(Dependencies, come_back_from_the_journal_and_go_on) {
  const ScratchEngine scratch(with_room_for_links());
  std::vector<JobId> ids;
  {
    Engine engine = scratch.open(OpenOptions{});
    auto participant = must(engine.attach(Role::worker));
    JobRequest request{.kind = must(engine.kind("test")), .level = must(engine.level("default"))};
    request.payload = as_payload("payload");
    const auto graph = JobGraph::group(std::vector<JobRequest>(3, request), request);
    ids = must(graph.enqueue(*participant));
    must(must(participant->claim(generous)).complete(as_payload("one")));
    must(participant->wait_durable(participant->ticket(), generous));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open(OpenOptions{});
  auto worker = must(engine.attach(Role::worker));
  EXPECT_EQ(must(engine.job(ids[3])).state, JobState::blocked);
  for (int n = 0; n < 2; ++n) must(must(worker->claim(generous)).complete(as_payload("more")));
  Job callback = must(worker->claim(generous));
  EXPECT_EQ(callback.id(), ids[3]);
  EXPECT_EQ(as_text(callback.payload()), "payload");
  EXPECT_EQ(must(engine.job(ids[0])).result, "one");
}

TEST(FollowUps, come_back_from_the_journal_with_their_jobs_end) {
  const ScratchEngine scratch(with_room_for_links());
  JobId follow_up;
  {
    Engine engine = scratch.open(OpenOptions{});
    auto participant = must(engine.attach(Role::worker));
    JobRequest request{.kind = must(engine.kind("test")), .level = must(engine.level("default"))};
    request.payload = as_payload("first");
    must(participant->enqueue(request));
    Job job = must(participant->claim(generous));
    request.payload = as_payload("then");
    follow_up = must(job.follow_up({.request = request}));
    must(job.complete());
    must(participant->wait_durable(participant->ticket(), generous));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open(OpenOptions{});
  auto worker = must(engine.attach(Role::worker));
  Job job = must(worker->claim(generous));
  EXPECT_EQ(job.id(), follow_up);
  EXPECT_EQ(as_text(job.payload()), "then");
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
}

}  // namespace
}  // namespace ringmill::test
