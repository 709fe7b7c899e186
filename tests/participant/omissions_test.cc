// What a caller leaves out, or mixes up, does nothing wrong: it has a stated meaning, or is refused.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <ringmill/graph.h>

#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions with_room_for_links() {
  CreateOptions options = small_engine();
  options.cell_size = 512;
  return options;
}

std::string level_of(const World& world, JobId id) { return must(world.engine.job(id)).level; }

TEST(OmissionInProcess, a_job_without_a_level_goes_to_the_level_named_default) {
  World world(with_room_for_links());
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(level_of(world, must(producer->enqueue({.kind = world.kind}))), "default");
  const std::array<JobRequest, 2> requests{JobRequest{.kind = world.kind}, JobRequest{.kind = world.kind}};
  std::array<JobId, 2> ids;
  ASSERT_EQ(must(producer->enqueue_batch(requests, ids)), 2U);
  EXPECT_EQ(level_of(world, ids[1]), "default");
  EXPECT_EQ(level_of(world, must(producer->enqueue_unique({.kind = world.kind}, "key")).id), "default");
  const auto chain = JobGraph::chain({{.kind = world.kind, .payload = "first"}, {.kind = world.kind}});
  for (const JobId id : must(chain.enqueue(*producer))) EXPECT_EQ(level_of(world, id), "default");
}

TEST(OmissionInProcess, a_job_without_a_level_goes_to_the_only_level_of_its_engine) {
  CreateOptions options = small_engine();
  options.levels = {"only"};
  options.weights = {};
  const ScratchEngine scratch(options);
  Engine engine = scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  const JobId id = must(producer->enqueue({.kind = must(engine.kind("k"))}));
  EXPECT_EQ(must(engine.job(id)).level, "only");
}

TEST(OmissionInProcess, a_job_without_a_level_is_refused_where_it_could_mean_several) {
  CreateOptions options = small_engine();
  options.levels = {"fast", "slow"};
  options.weights = {};
  const ScratchEngine scratch(options);
  Engine engine = scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_EQ(code_of(producer->enqueue({.kind = must(engine.kind("k"))})), ErrorCode::invalid_argument);
}

TEST(OmissionInProcess, a_follow_up_without_a_level_gets_that_of_its_parent) {
  World world(with_room_for_links(), OpenOptions{});
  const Level tube = must(world.engine.add_level("tube"));
  const auto worker = world.attach();
  for (const Level level : {must(world.engine.level("low")), tube}) {
    const JobId parent = must(worker->enqueue({.kind = world.kind, .level = level}));
    Job job = must(worker->claim());
    ASSERT_EQ(job.id(), parent);
    const JobId next = must(job.follow_up({.request = {.kind = world.kind}}));
    const auto ids = must(JobGraph::chain({{.kind = world.kind}, {.kind = world.kind}}).follow(job));
    must(job.complete());
    EXPECT_EQ(level_of(world, next), world.engine.level_name(level));
    EXPECT_EQ(level_of(world, ids.back()), world.engine.level_name(level));
    for (int n = 0; n < 3; ++n) must(must(worker->claim(10s)).complete());
  }
}

TEST(OmissionInProcess, a_job_without_a_kind_is_refused_also_before_there_is_any) {
  const ScratchEngine scratch(small_engine());
  Engine engine = scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_EQ(code_of(producer->enqueue({.payload = "of no kind"})), ErrorCode::invalid_argument);
  EXPECT_TRUE(engine.kind_name(Kind{}).empty());
  EXPECT_TRUE(engine.level_name(Level{}).empty());
}

TEST(OmissionInProcess, kinds_and_levels_of_another_engine_are_refused_by_every_call) {
  World here(with_room_for_links());
  World there;
  const auto participant = here.attach();
  const JobRequest own = here.request("x");
  for (const JobRequest& alien :
       {JobRequest{.kind = there.kind, .level = here.level}, JobRequest{.kind = here.kind, .level = there.level}}) {
    EXPECT_EQ(code_of(participant->enqueue(alien)), ErrorCode::invalid_argument);
    const std::array<JobRequest, 2> batch{own, alien};
    std::array<JobId, 2> ids;
    EXPECT_EQ(code_of(participant->enqueue_batch(batch, ids)), ErrorCode::invalid_argument);
    EXPECT_EQ(code_of(participant->enqueue_unique(alien, "key")), ErrorCode::invalid_argument);
    const std::array<LinkedRequest, 1> linked{LinkedRequest{.request = alien}};
    EXPECT_EQ(code_of(participant->enqueue_together(linked, ids)), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(code_of(participant->subscribe({.levels = {there.level}})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(participant->subscribe({.levels = {Level{}}})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(participant->subscribe({.kinds = {there.kind}})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(here.engine.pause(there.kind)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(here.engine.pause(there.level)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(here.engine.limit(there.kind, KindLimits{.concurrency = 1})), ErrorCode::invalid_argument);
  EXPECT_EQ(here.engine.status().cells_used, 0U);
}

TEST(OmissionInProcess, a_kind_and_a_level_are_the_same_number_in_every_process_of_the_engine) {
  World world;
  const Engine again = world.scratch.open(without_keeper);
  EXPECT_EQ(must(again.level("low")), must(world.engine.level("low")));
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  const Job job = must(worker->claim());
  EXPECT_EQ(job.kind(), world.kind);
  EXPECT_EQ(job.level(), world.level);
}

TEST(OmissionInProcess, a_second_settle_and_a_lost_lease_are_two_errors) {
  World world;
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  must(job.complete());
  EXPECT_EQ(code_of(job.complete()), ErrorCode::not_held);
  EXPECT_EQ(code_of(job.fail()), ErrorCode::not_held);
  EXPECT_EQ(code_of(Job().release()), ErrorCode::not_held);

  world.enqueue(*worker, "y");
  Job late = must(worker->claim());
  Inside inside(world.scratch);
  revoke_leases(inside);
  EXPECT_EQ(code_of(late.extend(1s)), ErrorCode::lease_lost);
  EXPECT_EQ(code_of(late.complete()), ErrorCode::lease_lost);  // still: it is no fault of the handler
  EXPECT_EQ(code_of(late.fail()), ErrorCode::lease_lost);
}

TEST(OmissionInProcess, a_batch_tells_a_lost_lease_from_a_second_settle) {
  World world;
  const auto worker = world.attach();
  std::array<Job, 2> jobs;
  for (int n = 0; n < 2; ++n) world.enqueue(*worker, "x");
  ASSERT_EQ(must(worker->claim_batch(jobs)), 2U);
  Inside inside(world.scratch);
  revoke_leases(inside);
  EXPECT_EQ(worker->complete_batch(jobs), 0U);
  EXPECT_EQ(code_of(jobs[0].complete()), ErrorCode::lease_lost);
  ASSERT_EQ(must(worker->claim_batch(jobs, 10s)), 2U);
  EXPECT_EQ(worker->complete_batch(jobs), 2U);
  EXPECT_EQ(code_of(jobs[0].complete()), ErrorCode::not_held);
}

TEST(OmissionInProcess, options_and_payloads_may_be_temporaries) {
  World world;
  const auto worker = world.attach();
  const auto payload_of = [&](JobId id) {
    Job job = must(worker->claim());
    EXPECT_EQ(job.id(), id);
    std::string payload(as_text(job.payload()));
    must(job.complete());
    return payload;
  };
  EXPECT_EQ(payload_of(must(worker->enqueue({.kind = world.kind, .payload = "text"}))), "text");
  EXPECT_EQ(payload_of(must(worker->enqueue({.kind = world.kind, .payload = std::string("a string")}))), "a string");
  EXPECT_EQ(payload_of(must(worker->enqueue({.kind = world.kind, .payload = std::string_view("view")}))), "view");
  const std::vector<std::uint8_t> bytes{'b', 0, 'c'};
  EXPECT_EQ(payload_of(must(worker->enqueue({.kind = world.kind, .payload = bytes}))), std::string("b\0c", 3));
  const std::array<std::byte, 2> array{std::byte{'d'}, std::byte{'e'}};
  EXPECT_EQ(payload_of(must(worker->enqueue({.kind = world.kind, .payload = array}))), "de");

  const JobId id = must(worker->enqueue({.kind = world.kind, .options = {.max_attempts = 1, .keep_result = 1h}}));
  Job job = must(worker->claim());
  must(job.complete("a result"));
  EXPECT_EQ(must(world.engine.job(id)).result, "a result");
  EXPECT_EQ(must(world.engine.job(id)).max_attempts, 1U);
}

TEST(OmissionInProcess, the_lease_that_a_job_asked_for_has_one_name) {
  World world;
  const auto worker = world.attach();
  must(worker->enqueue({.kind = world.kind, .lease = 1500ms}));
  EXPECT_EQ(must(worker->claim()).lease(), 1500ms);
}

}  // namespace
}  // namespace ringmill::test
