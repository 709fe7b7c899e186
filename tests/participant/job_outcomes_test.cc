// What becomes of a job beside "claimed and completed": delays, retries, deaths, results, cancellation. With the
// engine's own keeper at work, as users have it.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "core/dead_letters/store.h"
#include "core/inspect/job_wait.h"
#include "core/retry/backoff.h"
#include "core/table/unique_jobs.h"
#include "ipc/clock.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

CreateOptions with_capacity(std::uint32_t capacity) {
  CreateOptions options = small_engine();
  options.capacity = capacity;
  return options;
}

struct KeptWorld : World {
  explicit KeptWorld(const CreateOptions& options = small_engine_with_room()) : World(options, OpenOptions{}) {}

  JobId add(const JobOptions& options, std::string_view payload = "payload") {
    JobRequest asked = request(payload);
    asked.options = options;
    return must(participant->enqueue(asked));
  }
  Job claim() { return must(participant->claim(generous)); }
  bool has_nothing() { return code_of(participant->claim()) == ErrorCode::would_block; }
  JobInfo info(JobId id) const { return must(engine.job(id)); }
  bool comes_to(JobId id, JobState state, std::chrono::milliseconds longest = 30s) const {
    return await([&] { return state_of(id) == state; }, longest);
  }
  DeadLetter letter(JobId id) const {
    const auto store = must(DeadLetterStore::open(scratch.directory(), DeadLetterStore::Access::read_only));
    return must(store.find(id));
  }
  RetryPolicy policy(std::string_view text) { return must(engine.retry_policy(text)); }

  std::unique_ptr<Participant> participant = attach();
};

TEST(Delays, a_delayed_job_cannot_be_claimed_before_its_time_and_can_be_after_it) {
  KeptWorld world;
  std::this_thread::sleep_for(200ms);  // the keeper's first look at all cells is over: only a mark tells it now
  const auto begin = Clock::now();
  const JobId id = world.add({.delay = 80ms});
  EXPECT_EQ(world.state_of(id), JobState::delayed);
  EXPECT_TRUE(world.has_nothing());
  const Job job = world.claim();
  EXPECT_EQ(job.id(), id);
  EXPECT_GE(Clock::now() - begin, 80ms);
  // The keeper looks at all cells every 30 s: that is no way to learn of a delay.
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ(job.attempt(), 1U);
}

TEST(Delays, a_job_for_a_moment_of_the_wall_clock_waits_for_it) {
  KeptWorld world;
  const auto at = std::chrono::system_clock::now() + 80ms;
  const JobId id = world.add({.at = at});
  EXPECT_EQ(world.state_of(id), JobState::delayed);
  const Job job = world.claim();
  EXPECT_EQ(job.id(), id);
  EXPECT_GE(std::chrono::system_clock::now(), at);
}

TEST(Delays, jobs_come_in_the_order_of_their_times_not_of_their_enqueues) {
  KeptWorld world;
  const JobId last = world.add({.delay = 120ms});
  const JobId first = world.add({.delay = 40ms});
  const JobId second = world.add({.delay = 80ms});
  for (const JobId id : {first, second, last}) {
    Job job = world.claim();
    EXPECT_EQ(job.id(), id);
    must(job.complete());
  }
}

TEST(Delays, many_delayed_jobs_of_one_batch_all_come) {
  KeptWorld world;
  const JobOptions options{.delay = 20ms};
  std::vector<JobRequest> requests(64, world.request("one of many"));
  for (JobRequest& request : requests) request.options = options;
  std::vector<JobId> ids(64);
  ASSERT_EQ(must(world.participant->enqueue_batch(requests, ids)), 64U);
  for (int n = 0; n < 64; ++n) must(world.claim().complete());
  EXPECT_TRUE(world.has_nothing());
}

TEST(Delays, a_delayed_job_outlives_its_keeper) {
  KeptWorld world;
  JobId id;
  {
    const Engine other = world.scratch.open({});
    id = world.add({.delay = 150ms});
  }
  const Job job = world.claim();
  EXPECT_EQ(job.id(), id);
}

TEST(Delays, a_job_with_a_delay_and_a_moment_is_refused) {
  KeptWorld world;
  const JobOptions options{.delay = 1s, .at = std::chrono::system_clock::now()};
  JobRequest request = world.request("x");
  request.options = options;
  EXPECT_EQ(code_of(world.participant->enqueue(request)), ErrorCode::invalid_argument);
}

TEST(Retries, a_failed_job_waits_as_its_policy_says_and_shows_its_error) {
  KeptWorld world;
  const JobId id = world.add({.retry_policy = world.policy("fixed:100ms")});
  Job first = world.claim();
  const auto begin = Clock::now();
  EXPECT_EQ(must(first.fail("no route to host")), Settled::waits);
  const JobInfo between = world.info(id);
  EXPECT_EQ(between.state, JobState::delayed);
  EXPECT_EQ(between.attempts, 1U);
  EXPECT_EQ(between.max_attempts, default_max_attempts);
  EXPECT_EQ(between.last_error, "no route to host");
  EXPECT_TRUE(world.has_nothing());
  const Job second = world.claim();
  EXPECT_GE(Clock::now() - begin, 100ms);
  EXPECT_EQ(second.attempt(), 2U);
  EXPECT_EQ(as_text(second.payload()), "payload");
}

TEST(Retries, a_handler_may_name_the_time_of_the_next_attempt) {
  KeptWorld world;
  const JobId id = world.add({.retry_policy = world.policy("fixed:1h")});
  must(world.claim().retry_in(0ms, "busy"));
  const Job next = world.claim();
  EXPECT_EQ(next.id(), id);
  EXPECT_EQ(next.attempt(), 2U);
}

TEST(Retries, a_snoozed_attempt_does_not_count) {
  KeptWorld world;
  world.add({.max_attempts = 1});
  must(world.claim().snooze(20ms));
  Job again = world.claim();
  EXPECT_EQ(again.attempt(), 1U);
  must(again.complete());
}

TEST(Retries, what_the_last_failure_said_stays_when_the_job_is_snoozed_or_given_back) {
  KeptWorld world;
  for (const auto keep_result : {0ms, 1000ms}) {
    const JobId id = world.add({.keep_result = keep_result});
    must(world.claim().retry_in(0ms, "no route to host"));
    must(world.claim().snooze(1ms));
    EXPECT_EQ(world.info(id).last_error, "no route to host");
    must(world.claim().release());
    EXPECT_EQ(world.info(id).last_error, "no route to host");
    must(world.claim().complete());
  }
}

TEST(Retries, an_error_text_is_cut_at_a_whole_character_when_the_cell_has_no_room_for_it) {
  KeptWorld world;
  const std::string payload(150, 'p');
  const JobId id = world.add({}, payload);
  std::string error = "x";
  for (int n = 0; n < 100; ++n) error += "\xc3\xa4";
  must(world.claim().fail(error));
  const std::string shown = world.info(id).last_error;
  // Its beginning and its end are kept. Each of the characters has two bytes.
  const std::size_t mark = shown.find("[...] ");
  ASSERT_NE(mark, std::string::npos) << shown;
  const std::string end = shown.substr(mark + 6);
  EXPECT_EQ(mark % 2, 1U);
  EXPECT_TRUE(error.starts_with(shown.substr(0, mark)));
  EXPECT_FALSE(end.empty());
  EXPECT_EQ(end.size() % 2, 0U);
  EXPECT_TRUE(error.ends_with(end));
}

TEST(Deaths, a_job_whose_attempts_are_used_up_is_a_dead_letter_with_its_history) {
  KeptWorld world;
  const JobId id = world.add({.max_attempts = 2, .retry_policy = world.policy("fixed:0ms")}, "precious");
  must(world.claim().fail("first"));
  EXPECT_EQ(must(world.claim().fail("second")), Settled::dead);
  ASSERT_TRUE(await([&] { return world.engine.status().cells_used == 0; }));
  const DeadLetter letter = world.letter(id);
  EXPECT_EQ(letter.kind, kind_name);
  EXPECT_EQ(letter.level, "default");
  EXPECT_EQ(letter.cause, DeathCause::failed);
  EXPECT_EQ(letter.attempts, 2U);
  EXPECT_EQ(letter.max_attempts, 2U);
  EXPECT_EQ(letter.last_error, "second");
  EXPECT_LT(std::chrono::system_clock::now() - letter.died_at, 1min);
  EXPECT_LT(std::chrono::system_clock::now() - letter.enqueued_at, 1min);
  EXPECT_EQ(must(Backoff::parse(letter.backoff)), must(Backoff::parse("fixed:0ms")));
  EXPECT_EQ(as_text(letter.payload), "precious");
  EXPECT_EQ(world.state_of(id), JobState::dead);
  EXPECT_EQ(world.engine.status().totals.dead, 1U);
}

TEST(Deaths, a_rejected_job_is_dead_at_its_first_attempt) {
  KeptWorld world;
  const JobId id = world.add({});
  must(world.claim().reject("no such customer"));
  ASSERT_TRUE(await([&] { return world.engine.status().cells_used == 0; }));
  const DeadLetter letter = world.letter(id);
  EXPECT_EQ(letter.cause, DeathCause::rejected);
  EXPECT_EQ(letter.attempts, 1U);
  EXPECT_EQ(letter.last_error, "no such customer");
}

/// A worker that takes a job, and dies with it.
void die_with_a_job(const KeptWorld& world) {
  Child child([&world] {
    Engine engine = world.scratch.open({.embedded_keeper = false});
    auto worker = must(engine.attach(Role::worker));
    const Job job = must(worker->claim(generous));
    ::raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(child.wait(), -SIGKILL);
}

TEST(Deaths, a_job_that_kills_every_worker_is_buried_when_its_attempts_are_used_up) {
  KeptWorld world;
  const JobId id = world.add({.max_attempts = 3});
  for (int n = 0; n < 3; ++n) die_with_a_job(world);
  ASSERT_TRUE(await([&] { return world.engine.status().cells_used == 0; }));
  const DeadLetter letter = world.letter(id);
  EXPECT_EQ(letter.cause, DeathCause::worker_lost);
  EXPECT_EQ(letter.attempts, 3U);
}

TEST(Deaths, a_job_that_must_not_be_repeated_is_buried_when_its_worker_dies) {
  KeptWorld world;
  const JobId id = world.add({.on_worker_lost = OnWorkerLost::bury});
  die_with_a_job(world);
  ASSERT_TRUE(await([&] { return world.engine.status().cells_used == 0; }));
  EXPECT_EQ(world.letter(id).cause, DeathCause::worker_lost);
  EXPECT_TRUE(world.letter(id).bury_when_worker_lost);
}

TEST(Deaths, a_job_that_is_not_begun_in_time_is_dead_as_expired) {
  KeptWorld world;
  const JobId id = world.add({.expires = 50ms});
  EXPECT_EQ(world.state_of(id), JobState::queued);
  ASSERT_TRUE(world.comes_to(id, JobState::dead));
  ASSERT_TRUE(await([&] { return world.engine.status().cells_used == 0; }));
  EXPECT_EQ(world.letter(id).cause, DeathCause::expired);
  EXPECT_EQ(world.letter(id).attempts, 0U);
  EXPECT_TRUE(world.has_nothing());
}

TEST(Deaths, a_job_that_is_begun_in_time_does_not_expire) {
  KeptWorld world;
  world.add({.expires = 50ms});
  Job job = world.claim();
  std::this_thread::sleep_for(100ms);
  must(job.complete());
}

TEST(Deaths, a_job_that_was_begun_in_time_does_not_expire_while_it_waits_for_its_retry) {
  KeptWorld world;
  const JobId delayed = world.add({.expires = 100ms, .keep_result = 1min});
  must(world.claim().retry_in(300ms, "once"));
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(world.state_of(delayed), JobState::delayed);
  Job again = world.claim();
  EXPECT_EQ(again.id(), delayed);
  EXPECT_EQ(again.attempt(), 2U);
  must(again.complete());
}

TEST(Deaths, a_retry_that_waits_in_its_level_beyond_the_time_to_begin_is_claimed) {
  KeptWorld world;
  const JobId id = world.add({.expires = 50ms, .keep_result = 1min});
  must(world.claim().fail("once"));
  std::this_thread::sleep_for(100ms);
  Job again = world.claim();
  EXPECT_EQ(again.id(), id);
  must(again.complete());
}

TEST(Deaths, a_run_that_was_given_back_uncounted_has_not_begun_its_job) {
  KeptWorld world;
  const JobId id = world.add({.expires = 50ms, .keep_result = 1min});
  must(world.claim().release());
  ASSERT_TRUE(world.comes_to(id, JobState::dead));
}

TEST(Deaths, a_job_that_is_given_back_after_its_time_to_begin_dies_at_once) {
  KeptWorld world;
  const JobId id = world.add({.expires = 50ms, .keep_result = 1min});
  Job job = world.claim();
  std::this_thread::sleep_for(200ms);  // its time passes while it runs
  must(job.release());
  EXPECT_TRUE(world.comes_to(id, JobState::dead, 10s));  // a scan of the table, 30 s later, is not what finds it
}

/// The word in the cell is in milliseconds, and the clock between the ticks is not: never too early, at most one late.
TEST(Deaths, the_time_to_begin_is_never_cut_short_by_rounding) {
  KeptWorld world;
  const auto core = world.scratch.open_core();
  const JobTable table(core->segment);
  for (int n = 0; n < 50; ++n) {
    const std::uint64_t before_ns = exact_wall_clock_ns();
    const JobId id = world.add({.expires = 1h});
    const std::uint64_t after_ns = exact_wall_clock_ns();
    const std::uint64_t expires_ns = table.options_place(index_of(id)).expires_at_ms.load() * 1'000'000;
    EXPECT_GE(expires_ns, before_ns + 3'600'000'000'000);
    EXPECT_LT(expires_ns, after_ns + 3'600'000'000'000 + 1'000'000);
    must(world.participant->cancel(id));
  }
}

TEST(Results, a_result_is_kept_for_as_long_as_the_job_asked_for) {
  KeptWorld world;
  const JobId id = world.add({.keep_result = 200ms});
  must(world.claim().complete(as_payload("42")));
  const JobInfo kept = world.info(id);
  EXPECT_EQ(kept.state, JobState::completed);
  EXPECT_EQ(kept.result, "42");
  EXPECT_EQ(kept.attempts, 1U);
  EXPECT_EQ(kept.worker, world.participant->number());
  EXPECT_NE(kept.started_at.time_since_epoch().count(), 0);
  EXPECT_NE(kept.ended_at.time_since_epoch().count(), 0);
  ASSERT_TRUE(world.comes_to(id, JobState::ended));
  EXPECT_EQ(world.engine.status().cells_used, 0U);
}

TEST(Results, a_result_that_does_not_fit_is_cut_and_says_so_and_its_job_is_completed) {
  KeptWorld world;
  const JobId id = world.add({.keep_result = 1min});
  Job job = world.claim();
  const std::size_t room = job.result_room();
  ASSERT_GT(room, 0U);
  ASSERT_LT(room, 2000U);
  must(job.complete(as_payload(std::string(2000, 'x'))));
  const JobInfo info = world.info(id);
  EXPECT_EQ(info.state, JobState::completed);
  EXPECT_EQ(info.result, std::string(room, 'x'));
  EXPECT_TRUE(info.result_cut);
}

TEST(Results, a_result_that_just_fits_is_whole) {
  KeptWorld world;
  const JobId id = world.add({.keep_result = 1min});
  Job job = world.claim();
  const std::string result(job.result_room(), 'x');
  must(job.complete(as_payload(result)));
  EXPECT_EQ(world.info(id).result, result);
  EXPECT_FALSE(world.info(id).result_cut);
}

TEST(Results, a_cell_whose_result_was_cut_has_a_whole_one_in_its_next_life) {
  KeptWorld world(with_capacity(64));
  const JobId cut = world.add({.keep_result = 1ms});
  must(world.claim().complete(as_payload(std::string(2000, 'x'))));
  ASSERT_TRUE(world.comes_to(cut, JobState::ended));
  JobId id;
  for (int n = 0; n < 64; ++n) {
    id = world.add({.keep_result = 1min});
    must(world.claim().complete(as_payload("whole")));
    EXPECT_FALSE(world.info(id).result_cut) << n;
  }
}

TEST(Results, a_result_that_was_not_asked_for_is_dropped_whatever_its_length) {
  KeptWorld world;
  const JobId id = world.add({});
  Job job = world.claim();
  EXPECT_EQ(job.result_room(), ~std::size_t{0});
  must(job.complete(as_payload(std::string(100'000, 'x'))));
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(Errors, of_what_a_run_said_the_end_is_kept_behind_the_reason) {
  KeptWorld world;
  const JobId id = world.add({.retry_policy = world.policy("fixed:1h")});
  must(world.claim().fail("it ended with 1", std::string(5000, '.') + "\nFATAL: no such table"));
  const std::string error = world.info(id).last_error;
  EXPECT_TRUE(error.starts_with("it ended with 1: [...] ")) << error;
  EXPECT_TRUE(error.ends_with("\nFATAL: no such table")) << error;
}

TEST(Results, the_error_of_an_earlier_attempt_is_no_result) {
  KeptWorld world;
  const JobId id = world.add({.retry_policy = world.policy("fixed:0ms"), .keep_result = 1min});
  must(world.claim().fail("busy"));
  must(world.claim().complete());
  EXPECT_EQ(world.info(id).result, "");
}

TEST(Waits, a_waiting_caller_is_woken_at_the_end_with_the_result) {
  longest_sleep_for_end_ns = ~std::uint64_t{0};
  KeptWorld world;
  const JobId id = world.add({.keep_result = 1min});
  Result<JobInfo> got;
  std::thread waiter([&] { got = world.engine.wait(id, 24h); });  // without a wake this hangs
  std::this_thread::sleep_for(20ms);
  must(world.claim().complete(as_payload("done")));
  waiter.join();
  EXPECT_EQ(must(got).result, "done");
}

TEST(Waits, a_caller_that_waits_for_a_plain_job_learns_that_it_is_over) {
  KeptWorld world;
  const JobId id = world.enqueue(*world.participant, "plain");
  Result<JobInfo> got;
  std::thread waiter([&] { got = world.engine.wait(id, generous); });
  std::this_thread::sleep_for(20ms);
  must(world.claim().complete());
  waiter.join();
  EXPECT_EQ(must(got).state, JobState::ended);
}

TEST(Waits, a_wait_ends_with_timed_out_and_one_for_a_job_that_never_was_with_not_found) {
  KeptWorld world;
  const JobId id = world.add({});
  EXPECT_EQ(code_of(world.engine.wait(id, 10ms)), ErrorCode::timed_out);
  EXPECT_EQ(code_of(world.engine.wait(JobId(~std::uint64_t{0} >> 8), 10ms)), ErrorCode::not_found);
}

TEST(Cancellation, a_delayed_job_is_cancelled_before_it_starts) {
  KeptWorld world;
  const JobId id = world.add({.delay = 50ms});
  EXPECT_EQ(must(world.participant->cancel(id)), Cancelled::before_start);
  std::this_thread::sleep_for(100ms);
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(must(world.participant->cancel(id)), Cancelled::already_over);
}

TEST(Cancellation, a_running_job_is_asked_to_stop_and_ends_as_cancelled_if_it_obeys) {
  KeptWorld world;
  const JobId id = world.add({.keep_result = 1min});
  Job job = world.claim();
  EXPECT_FALSE(job.should_stop());
  EXPECT_EQ(must(world.participant->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_TRUE(job.should_stop());
  must(job.cancel());
  EXPECT_EQ(world.state_of(id), JobState::cancelled);
}

TEST(Cancellation, the_next_job_of_a_lease_slot_is_not_asked_to_stop) {
  KeptWorld world;
  const JobId id = world.add({});
  Job job = world.claim();
  must(world.participant->cancel(id));
  must(job.complete());
  world.add({});
  EXPECT_FALSE(world.claim().should_stop());
}

TEST(Progresses, what_a_handler_says_last_is_shown_while_the_job_runs) {
  KeptWorld world;
  const JobId id = world.add({});
  Job job = world.claim();
  job.report_progress(7, "page 7 of 9");
  EXPECT_EQ(world.info(id).progress, 7U);
  EXPECT_EQ(world.info(id).progress_text, "page 7 of 9");
}

TEST(UniqueJobs, a_second_job_of_a_key_is_the_first_one_while_that_lives) {
  KeptWorld world;
  const UniqueJob first = must(world.participant->enqueue_unique(world.request("a"), "key"));
  const UniqueJob second = must(world.participant->enqueue_unique(world.request("b"), "key"));
  const UniqueJob other = must(world.participant->enqueue_unique(world.request("c"), "another key"));
  EXPECT_TRUE(first.is_new);
  EXPECT_FALSE(second.is_new);
  EXPECT_EQ(second.id, first.id);
  EXPECT_TRUE(other.is_new);
  must(world.claim().complete());
  must(world.claim().complete());
  EXPECT_TRUE(world.has_nothing());
  EXPECT_TRUE(must(world.participant->enqueue_unique(world.request("d"), "key")).is_new);
}

TEST(UniqueJobs, a_key_is_taken_for_its_window_after_the_end) {
  KeptWorld world;
  const JobId first = must(world.participant->enqueue_unique(world.request("a"), "key", 200ms)).id;
  must(world.claim().complete());
  EXPECT_EQ(must(world.participant->enqueue_unique(world.request("b"), "key", 200ms)).id, first);
  ASSERT_TRUE(world.comes_to(first, JobState::ended));
  EXPECT_TRUE(must(world.participant->enqueue_unique(world.request("c"), "key")).is_new);
}

TEST(UniqueJobs, of_many_processes_that_enqueue_one_key_at_a_time_one_makes_the_job) {
  KeptWorld world(with_capacity(4096));
  constexpr int processes = 6;
  constexpr int keys = 400;
  for (int round = 0; round < 2; ++round) {
    std::vector<Child> children;
    for (int n = 0; n < processes; ++n) {
      children.emplace_back([&world, round] {
        Engine engine = world.scratch.open({.embedded_keeper = false});
        auto producer = must(engine.attach(Role::producer));
        int made = 0;
        for (int key = 0; key < keys; ++key) {
          const std::string name = std::to_string(round) + "/" + std::to_string(key);
          const auto job = must(producer->enqueue_unique(world.request(name), name, {}, generous));
          made += job.is_new ? 1 : 0;
        }
        return made > 0 ? 1 : 0;
      });
    }
    for (Child& child : children) EXPECT_GE(child.wait(), 0);
    int jobs = 0;
    std::vector<std::string> seen;
    while (auto job = world.participant->claim()) {
      seen.emplace_back(as_text(job->payload()));
      must(job->complete());
      ++jobs;
    }
    std::ranges::sort(seen);
    EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end()) << "two jobs of one key";
    EXPECT_EQ(jobs, keys);
  }
}

TEST(UniqueJobs, no_key_is_refused_while_the_table_has_room) {
  for (const std::uint32_t asked : {64U, 1024U, 8192U}) {
    KeptWorld world(with_capacity(asked));
    const std::uint32_t capacity = world.engine.status().capacity;
    for (std::uint32_t n = 0; n < capacity; ++n) {
      EXPECT_TRUE(must(world.participant->enqueue_unique(world.request("x"), std::to_string(n))).is_new) << n;
    }
    EXPECT_EQ(code_of(world.participant->enqueue_unique(world.request("x"), "one more")), ErrorCode::would_block);
    for (std::uint32_t n = 0; n < capacity; ++n) {
      EXPECT_FALSE(must(world.participant->enqueue_unique(world.request("x"), std::to_string(n))).is_new) << n;
    }
  }
}

TEST(UniqueJobs, keys_that_all_begin_at_one_slot_live_side_by_side) {
  KeptWorld world(with_capacity(64));
  const std::uint32_t capacity = world.engine.status().capacity;
  std::vector<std::string> keys;
  for (std::uint32_t n = 0; keys.size() < capacity; ++n) {
    if (UniqueKey::of(std::to_string(n)).low % capacity == 0) keys.push_back(std::to_string(n));
  }
  for (const std::string& key : keys) {
    EXPECT_TRUE(must(world.participant->enqueue_unique(world.request("x"), key)).is_new) << key;
  }
  for (const std::string& key : keys) {
    EXPECT_FALSE(must(world.participant->enqueue_unique(world.request("x"), key)).is_new) << key;
  }
}

}  // namespace
}  // namespace ringmill::test
