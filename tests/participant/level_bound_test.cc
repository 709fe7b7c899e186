// A level that may hold so many jobs, and no more.
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "core/table/level_bound.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t most = 5;

CreateOptions with_bounded_low(const LevelLimits& limits = {.most = most}) {
  CreateOptions options = small_engine_with_room();
  options.level_limits = {{.level = "low", .limits = limits}};
  return options;
}

struct BoundWorld : World {
  explicit BoundWorld(const CreateOptions& options = with_bounded_low())
      : World(options), low(must(engine.level("low"))) {}
  JobRequest low_request(std::string_view payload = "x") const {
    return {.kind = kind, .level = low, .payload = as_payload(payload)};
  }
  std::uint64_t held() const {
    const auto core = scratch.open_core();
    return LevelCount(core->segment, number_of(core->segment, low)).held();
  }
  /// Enqueues until one is refused.
  std::uint32_t fill(Participant& producer) const {
    std::uint32_t count = 0;
    while (producer.enqueue(low_request())) ++count;
    return count;
  }
  LevelStatus status_of_low() const {
    for (const LevelStatus& one : engine.status().levels) {
      if (one.name == "low") return one;
    }
    return {};
  }

  Level low;
};

TEST(LevelBoundInProcess, a_full_level_refuses_and_says_why_while_others_have_room) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer), most);
  const auto refused = producer->enqueue(world.low_request());
  EXPECT_EQ(code_of(refused), ErrorCode::would_block);
  for (const char* part : {"low", "holds about 5", "may hold 5", "--most"}) {
    EXPECT_NE(refused.error().message().find(part), std::string::npos) << refused.error().message();
  }
  EXPECT_TRUE(producer->enqueue(world.request("x")).has_value());
  EXPECT_EQ(world.status_of_low().most, most);
}

TEST(LevelBoundInProcess, a_job_that_ends_makes_room_however_it_ends) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  ASSERT_EQ(world.fill(*producer), most);
  must(must(worker->claim()).complete());
  EXPECT_EQ(world.fill(*producer), 1U);
  std::array<Job, 2> batch;
  ASSERT_EQ(must(worker->claim_batch(batch)), 2U);
  EXPECT_EQ(worker->complete_batch(batch), 2U);
  EXPECT_EQ(world.fill(*producer), 2U);
  const JobId waiting = must(worker->claim()).id();  // given back at once
  must(worker->cancel(waiting));
  EXPECT_EQ(world.fill(*producer), 1U);
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBoundInProcess, a_job_that_waits_again_still_counts) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  ASSERT_EQ(world.fill(*producer), most);
  Job job = must(worker->claim());
  must(job.snooze(1h));
  Job failed = must(worker->claim());
  must(failed.retry_in(1h, "later"));
  EXPECT_EQ(world.fill(*producer), 0U);
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBoundInProcess, a_kept_result_counts_until_it_is_gone) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  const JobOptions keeps{.keep_result = 1h};
  JobRequest request = world.low_request();
  request.options = keeps;
  const JobId kept = must(producer->enqueue(request));
  ASSERT_EQ(world.fill(*producer), most - 1);
  Job job = must(worker->claim());
  ASSERT_EQ(job.id(), kept);
  must(job.complete(as_payload("result")));
  EXPECT_EQ(world.fill(*producer), 0U);
}

TEST(LevelBoundInProcess, a_batch_puts_in_what_the_level_may_hold) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  std::array<JobRequest, 8> batch;
  batch.fill(world.low_request());
  batch[1] = world.request("of another level");
  std::array<JobId, 8> ids;
  EXPECT_EQ(must(producer->enqueue_batch(batch, ids)), most + 1U);
  EXPECT_EQ(code_of(producer->enqueue_batch(std::span(batch).first(1), ids)), ErrorCode::would_block);
}

TEST(LevelBoundInProcess, unique_jobs_count_once) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  for (int n = 0; n < 20; ++n) must(producer->enqueue_unique(world.low_request(), "same", 0ms));
  EXPECT_EQ(world.held(), 1U);
  for (std::uint32_t n = 1; n < most; ++n) must(producer->enqueue_unique(world.low_request(), std::to_string(n), 0ms));
  EXPECT_EQ(code_of(producer->enqueue_unique(world.low_request(), "one more", 0ms)), ErrorCode::would_block);
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBoundInProcess, jobs_that_come_together_count_in_all_or_not_at_all) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  std::vector<LinkedRequest> jobs(3, {.request = world.low_request()});
  std::vector<JobId> ids(3);
  must(producer->enqueue_together(jobs, ids));
  EXPECT_EQ(code_of(producer->enqueue_together(jobs, ids)), ErrorCode::would_block);
  EXPECT_EQ(world.held(), 3U);
  jobs.resize(6, {.request = world.low_request()});
  ids.resize(6);
  EXPECT_EQ(code_of(producer->enqueue_together(jobs, ids, 10s)), ErrorCode::no_space) << "it could never fit";
  EXPECT_EQ(world.fill(*producer), 2U);
}

TEST(LevelBoundInProcess, follow_ups_are_never_refused_and_count) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  ASSERT_EQ(world.fill(*producer), most);
  Job job = must(worker->claim());
  for (int n = 0; n < 3; ++n) must(job.follow_up({.request = world.low_request()}));
  EXPECT_EQ(world.held(), most);
  must(job.complete());
  // The parent's cell goes when its follow-ups are durable, which nothing here writes.
  EXPECT_EQ(world.held(), most + 3);
  EXPECT_EQ(world.fill(*producer), 0U);
}

TEST(LevelBoundInProcess, a_producer_that_waits_goes_on_when_a_job_of_the_level_ends) {
  const WithoutFallback without_fallback;
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  ASSERT_EQ(world.fill(*producer), most);
  std::atomic<bool> is_in{false};
  std::thread waiting([&] {
    const auto late = world.attach(Role::producer);
    is_in = late->enqueue(world.low_request(), 20s).has_value();
  });
  std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(is_in);
  must(must(worker->claim()).complete());
  waiting.join();
  EXPECT_TRUE(is_in);
}

TEST(LevelBoundInProcess, a_wait_for_the_level_times_out) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  ASSERT_EQ(world.fill(*producer), most);
  EXPECT_EQ(code_of(producer->enqueue(world.low_request(), 20ms)), ErrorCode::timed_out);
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBoundInProcess, many_producers_never_go_beyond_it) {
  BoundWorld world(with_bounded_low({.most = 40}));
  std::atomic<std::uint32_t> in{0};
  std::vector<std::thread> producers;
  for (int n = 0; n < 4; ++n) {
    producers.emplace_back([&] {
      const auto producer = world.attach(Role::producer);
      for (int tries = 0; tries < 500; ++tries) in += producer->enqueue(world.low_request()) ? 1U : 0U;
    });
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(in, 40U);
  EXPECT_EQ(world.held(), 40U);
}

TEST(LevelBoundInProcess, a_share_is_of_the_capacity) {
  BoundWorld world(with_bounded_low({.most_percent = 50}));
  EXPECT_EQ(world.status_of_low().most, (world.engine.status().capacity + 1) / 2);
}

TEST(LevelBoundInProcess, a_bound_that_is_set_later_counts_what_is_there_and_one_that_is_taken_off_is_gone) {
  BoundWorld world(small_engine_with_room());
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  for (int n = 0; n < 8; ++n) must(producer->enqueue(world.low_request()));
  must(world.engine.limit(world.low, LevelLimits{.most = most}));
  EXPECT_EQ(world.held(), 8U);
  EXPECT_EQ(world.fill(*producer), 0U);
  for (int n = 0; n < 4; ++n) must(must(worker->claim()).complete());
  EXPECT_EQ(world.fill(*producer), 1U);
  must(world.engine.limit(world.low, LevelLimits{}));
  EXPECT_GT(world.fill(*producer), most);
}

TEST(LevelBoundInProcess, a_dynamic_level_has_one_too) {
  World world;
  const Level tenant = must(world.engine.add_level("tenant"));
  must(world.engine.limit(tenant, LevelLimits{.most = 2}));
  const auto worker = world.attach();
  const JobRequest request{.kind = world.kind, .level = tenant, .payload = as_payload("x")};
  must(worker->enqueue(request));
  must(worker->enqueue(request));
  EXPECT_EQ(code_of(worker->enqueue(request)), ErrorCode::would_block);
}

TEST(LevelBoundInProcess, limits_that_make_no_sense_are_refused) {
  BoundWorld world;
  for (const LevelLimits& wrong :
       {LevelLimits{.most = 1, .most_percent = 1}, LevelLimits{.most_percent = 101}, LevelLimits{.most = 1U << 25}}) {
    EXPECT_EQ(code_of(world.engine.limit(world.low, wrong)), ErrorCode::invalid_argument);
  }
  const ScratchPlace place;
  CreateOptions options = place.here(small_engine());
  options.level_limits = {{.level = "none", .limits = {.most = 1}}};
  EXPECT_EQ(code_of(Engine::create(place.directory(), options)), ErrorCode::invalid_argument);
}

TEST(LevelBoundInProcess, a_scan_puts_a_count_right_that_is_too_high_or_too_low) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  ASSERT_EQ(world.fill(*producer), most);
  Inside inside(world.scratch);
  LevelEntry& entry = inside.segment().level(number_of(inside.segment(), world.low));
  entry.came.fetch_add(3);
  EXPECT_EQ(world.held(), most + 3);
  inside.scan();
  EXPECT_EQ(world.held(), most);
  entry.went.fetch_add(4);
  inside.scan();
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBoundInProcess, a_scan_leaves_a_count_alone_while_a_living_participant_is_between_two_steps) {
  BoundWorld world;
  const auto producer = world.attach(Role::producer);
  ASSERT_EQ(world.fill(*producer), most);
  Inside inside(world.scratch);
  ParticipantEntry& entry = inside.segment().participant(static_cast<std::uint32_t>(producer->number()));
  LevelEntry& level = inside.segment().level(number_of(inside.segment(), world.low));
  entry.counting.fetch_add(1);
  level.came.fetch_add(1);
  inside.scan();
  EXPECT_EQ(world.held(), most + 1) << "its job may come at any moment";
  entry.counting.fetch_add(1);
  inside.scan();
  EXPECT_EQ(world.held(), most);
}

TEST(LevelBound, a_bound_holds_after_the_memory_was_made_anew) {
  BoundWorld world;
  {
    const Engine keeper = world.scratch.open();
    const auto producer = world.attach(Role::producer);
    ASSERT_EQ(world.fill(*producer), most);
    must(producer->wait_durable(producer->ticket(), 10s));
  }
  { [[maybe_unused]] const Engine gone = std::move(world.engine); }
  std::filesystem::remove(world.scratch.segment_file());
  Engine again = world.scratch.open(without_keeper);
  const auto worker = must(again.attach(Role::worker));
  EXPECT_EQ(code_of(worker->enqueue(world.low_request())), ErrorCode::would_block);
  EXPECT_EQ(world.held(), most);
  must(must(worker->claim()).complete());
  EXPECT_TRUE(worker->enqueue(world.low_request()).has_value());
}

}  // namespace
}  // namespace ringmill::test
