// What a job has become, beside "it waits": engines whose shared memory is taken away, as a reboot does.
#include <chrono>
#include <string>
#include <thread>

#include "core/dead_letters/store.h"
#include "core/journal/format.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// One engine in one process at a time.
struct LaterLifeMachine {
  ScratchEngine scratch;
  std::optional<Engine> engine;
  std::unique_ptr<Participant> participant;

  explicit LaterLifeMachine(const CreateOptions& options = small_engine_with_room()) : scratch(options) {
    start(OpenOptions{});
  }

  /// All that was done so far is durable, and then the memory is lost.
  void reboot(const OpenOptions& options = {}) {
    settle();
    participant.reset();
    engine.reset();
    std::filesystem::remove(scratch.segment_file());
    start(options);
  }
  void settle() const { must(participant->wait_durable(participant->ticket(), generous)); }
  JobRequest request(std::string_view payload = "payload") {
    return {.kind = must(engine->kind("k")),
            .level = must(engine->level("default")),
            .payload = as_payload(payload),
            .durability = Durability::durable};
  }
  JobId add(const JobOptions& options) {
    JobRequest asked = request();
    asked.options = options;
    return must(participant->enqueue(asked));
  }
  Job claim() const { return must(participant->claim(generous)); }
  bool has_nothing() const { return code_of(participant->claim()) == ErrorCode::would_block; }
  JobInfo info(JobId id) const { return must(engine->job(id)); }

 private:
  void start(const OpenOptions& options) {
    engine.emplace(scratch.open(options));
    participant = must(engine->attach(Role::worker));
  }
};

/// Two times that are the same to what the clocks in between round.
void expect_near(std::chrono::system_clock::time_point one, std::chrono::system_clock::time_point other) {
  EXPECT_LT(std::chrono::abs(one - other), 50ms);
}

TEST(OptionsDurability, a_delayed_job_comes_back_delayed_until_the_time_that_it_had) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.delay = 1h});
  const JobInfo before = machine.info(id);
  for (int reboot = 0; reboot < 2; ++reboot) {
    machine.reboot();
    EXPECT_EQ(machine.info(id).state, JobState::delayed);
    expect_near(machine.info(id).due_at, before.due_at);
    EXPECT_TRUE(machine.has_nothing());
  }
}

TEST(OptionsDurability, a_job_that_names_a_moment_comes_back_with_that_moment) {
  LaterLifeMachine machine;
  const auto moment = std::chrono::ceil<std::chrono::hours>(std::chrono::system_clock::now()) + 1h;
  const JobId id = machine.add({.at = moment});
  machine.reboot();
  EXPECT_EQ(machine.info(id).state, JobState::delayed);
  EXPECT_EQ(machine.info(id).due_at, moment);
}

TEST(OptionsDurability, a_job_whose_time_has_come_while_the_engine_was_away_runs_at_once) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.delay = 300ms});
  machine.reboot(without_keeper);
  ASSERT_EQ(machine.info(id).state, JobState::delayed) << "the machine was too slow for this test";
  std::this_thread::sleep_for(310ms);
  const Engine keeping = machine.scratch.open();
  EXPECT_EQ(machine.claim().id(), id);
}

TEST(OptionsDurability, a_failed_attempt_comes_back_with_its_error_and_the_time_of_the_next) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.max_attempts = 5});
  EXPECT_EQ(must(machine.claim().retry_in(1h, "no such host")), Settled::waits);
  const JobInfo before = machine.info(id);
  machine.reboot();
  const JobInfo after = machine.info(id);
  EXPECT_EQ(after.state, JobState::delayed);
  EXPECT_EQ(after.attempts, 1U);
  EXPECT_EQ(after.max_attempts, 5U);
  EXPECT_EQ(after.last_error, "no such host");
  expect_near(after.due_at, before.due_at);
}

TEST(OptionsDurability, a_snooze_replaces_the_time_that_the_job_had_before) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.delay = 20ms});
  must(machine.claim().snooze(1h));
  const JobInfo before = machine.info(id);
  machine.reboot();
  EXPECT_EQ(machine.info(id).state, JobState::delayed);
  EXPECT_EQ(machine.info(id).attempts, 0U) << "a snooze is no attempt";
  expect_near(machine.info(id).due_at, before.due_at);
}

TEST(OptionsDurability, the_retry_policy_still_says_when_the_next_attempt_comes) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.retry_policy = must(machine.engine->retry_policy("fixed:2h"))});
  machine.reboot();
  EXPECT_EQ(must(machine.claim().fail("x")), Settled::waits);
  EXPECT_GT(machine.info(id).due_at, std::chrono::system_clock::now() + 1h) << "the default's first delay is 1 s";
}

TEST(OptionsDurability, a_kept_result_comes_back) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.keep_result = 1h});
  must(machine.claim().complete(as_payload("forty-two")));
  const JobInfo before = machine.info(id);
  machine.reboot();
  const JobInfo after = machine.info(id);
  EXPECT_EQ(after.state, JobState::completed);
  EXPECT_EQ(after.result, "forty-two");
  EXPECT_EQ(after.worker, before.worker);
  expect_near(after.started_at, before.started_at);
  expect_near(after.ended_at, before.ended_at);
  EXPECT_TRUE(machine.has_nothing());
}

TEST(OptionsDurability, a_result_that_was_cut_comes_back_and_still_says_so) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.keep_result = 1h});
  must(machine.claim().complete(as_payload(std::string(5000, 'x'))));
  const std::string kept = machine.info(id).result;
  machine.reboot();
  EXPECT_EQ(machine.info(id).state, JobState::completed);
  EXPECT_EQ(machine.info(id).result, kept);
  EXPECT_TRUE(machine.info(id).result_cut);
}

TEST(OptionsDurability, the_history_of_a_cancelled_job_comes_back) {
  LaterLifeMachine machine;
  const JobId id = machine.add({.keep_result = 1h});
  EXPECT_EQ(must(machine.participant->cancel(id)), Cancelled::before_start);
  machine.reboot();
  EXPECT_EQ(machine.info(id).state, JobState::cancelled);
  EXPECT_TRUE(machine.has_nothing());
}

TEST(OptionsDurability, a_dead_job_is_buried_and_does_not_wait_again) {
  LaterLifeMachine machine;
  const JobId id = machine.add({});
  must(machine.claim().reject("never"));
  machine.reboot();
  EXPECT_TRUE(machine.has_nothing());
  EXPECT_TRUE(await([&] {
    const auto store = DeadLetterStore::open(machine.scratch.directory(), DeadLetterStore::Access::read_only);
    return store && store->find(id).has_value();
  }));
  EXPECT_TRUE(machine.has_nothing());
}

TEST(OptionsDurability, a_unique_job_is_found_by_its_key) {
  LaterLifeMachine machine;
  const UniqueJob made = must(machine.participant->enqueue_unique(machine.request(), "invoice 17"));
  EXPECT_TRUE(made.is_new);
  machine.reboot();
  const UniqueJob found = must(machine.participant->enqueue_unique(machine.request(), "invoice 17"));
  EXPECT_FALSE(found.is_new);
  EXPECT_EQ(found.id, made.id);
}

TEST(OptionsDurability, jobs_whose_segment_is_retired_are_copied_with_all_that_they_have) {
  CreateOptions options = small_engine_with_room();
  options.journal_limit = std::uint64_t{4} << 20;
  LaterLifeMachine machine(options);
  const JobId kept = machine.add({.keep_result = 1h});
  must(machine.claim().complete(as_payload("forty-two")));
  const JobId failed = machine.add({.retry_policy = must(machine.engine->retry_policy("fixed:2h"))});
  EXPECT_EQ(must(machine.claim().fail("no such host")), Settled::waits);
  const JobInfo before = machine.info(failed);
  // Each of these durable jobs takes a block of its own: more than the journal holds at a time.
  for (std::uint64_t written = 0; written < 3 * options.journal_limit; written += 2 * journal_unit) {
    must(machine.participant->enqueue(machine.request()));
    must(machine.claim().complete());
    machine.settle();
  }
  machine.reboot();
  EXPECT_EQ(machine.info(kept).state, JobState::completed);
  EXPECT_EQ(machine.info(kept).result, "forty-two");
  EXPECT_EQ(machine.info(failed).state, JobState::delayed);
  EXPECT_EQ(machine.info(failed).last_error, "no such host");
  EXPECT_EQ(machine.info(failed).attempts, 1U);
  expect_near(machine.info(failed).due_at, before.due_at);
}

}  // namespace
}  // namespace ringmill::test
