// A whole engine, its keeper and its journal thread, on a disk that fails, stands still or is full.
#include "tests/journal/troubled_disk.h"

#include <array>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t small_limit = std::uint64_t{4} << 20;

CreateOptions options_of_test() {
  CreateOptions options = small_engine();
  options.journal_limit = small_limit;
  return options;
}

/// An engine that works, with files and a first durable job, before anything is amiss.
class TroubledEngine {
 public:
  TroubledEngine() { must(enqueue("before the trouble", Durability::durable)); }

  const ScratchEngine& scratch() const noexcept { return scratch_; }
  Engine& engine() noexcept { return *engine_; }
  Participant& worker() noexcept { return *worker_; }
  DiskSwitches& disk() const noexcept { return keeper_->disk(); }
  const LogCapture& log() const noexcept { return log_; }
  JournalWords& words() const noexcept { return core_->segment.journal(); }
  bool is(JournalCondition condition) const noexcept {
    return words().condition == static_cast<std::uint32_t>(condition);
  }

  JobRequest request(std::string_view payload, Durability durability) {
    return {.kind = must(engine_->kind("k")),
            .payload = as_payload(payload),
            .durability = durability,
            .options = tried_for_ever_};
  }
  Result<JobId> enqueue(std::string_view payload, Durability durability) {
    return worker_->enqueue(request(payload, durability));
  }
  /// A journaled job whose block the device has and says nothing about.
  DurabilityTicket enqueue_into_silence() {
    disk().is_silent = true;
    const std::uint64_t before = disk().writes;
    must(enqueue("on its way", Durability::journaled));
    if (!await([&] { return disk().writes > before; })) throw std::runtime_error("the journal thread does not write");
    return worker_->ticket();
  }
  /// The next write fails, when the disk is no longer silent.
  DurabilityTicket enqueue_into_failure() {
    disk().failing_write = disk().writes + 1;
    return enqueue_into_silence();
  }
  /// The journal has failed when this returns.
  void fail() {
    enqueue_into_failure();
    disk().is_silent = false;
    if (!await([&] { return is(JournalCondition::failed); })) throw std::runtime_error("the journal has not failed");
  }

  void end_keeper() { keeper_.reset(); }
  /// All processes end, and shared memory is gone.
  void reboot() {
    worker_.reset();
    engine_.reset();
    core_.reset();
    keeper_.reset();
    std::filesystem::remove(scratch_.segment_file());
  }

 private:
  static constexpr JobOptions tried_for_ever_{.max_attempts = 0};

  ScratchEngine scratch_{options_of_test()};
  LogCapture log_;
  std::optional<TroubledKeeper> keeper_{std::in_place, scratch_};
  std::shared_ptr<EngineCore> core_ = scratch_.open_core();
  std::optional<Engine> engine_{scratch_.open(without_keeper)};
  std::unique_ptr<Participant> worker_ = must(engine_->attach(Role::worker));
};

/// What a participant of another thread was told by a call that waits. It has been woken for that: it came back long
/// before its time was over.
class Waiter {
 public:
  using Call = std::function<Result<void>(Participant&)>;
  Waiter(TroubledEngine& world, const Call& call) {
    world.words().somebody_waits = 0;  // what an earlier waiter may have left there
    outcome_ = std::async(std::launch::async, [&world, call] {
      const auto participant = must(world.engine().attach(Role::producer));
      const auto begun = std::chrono::steady_clock::now();
      const Result<void> result = call(*participant);
      EXPECT_LT(std::chrono::steady_clock::now() - begun, least_wait) << "it was not woken";
      return result;
    });
    if (!await([&] { return world.words().somebody_waits == 1; })) throw std::runtime_error("it does not fall asleep");
  }
  Result<void> outcome() { return outcome_.get(); }

 private:
  static constexpr std::chrono::seconds least_wait{10};  // a durable enqueue waits for the device for no less
  std::future<Result<void>> outcome_;
};

/// A producer that waits until its job is taken, and where it goes.
Waiter patient_producer(TroubledEngine& world, std::string_view payload, Durability durability) {
  return Waiter(world, [request = world.request(payload, durability)](Participant& participant) -> Result<void> {
    const auto id = participant.enqueue(request, generous);
    if (!id) return std::unexpected(id.error());
    return {};
  });
}

/// EIO of a write; or of the sync behind it, when the bytes are on the disk all the same.
class FailedDisk : public testing::TestWithParam<bool> {
 protected:
  FailedDisk() { world.disk().fails_in_the_sync = GetParam(); }
  TroubledEngine world;
};

TEST_P(FailedDisk, wakes_a_caller_that_waits_for_a_ticket_and_says_that_the_journal_failed) {
  const WithoutFallback without_fallback;
  const DurabilityTicket ticket = world.enqueue_into_failure();
  Waiter waiter(world, [ticket](Participant& participant) { return participant.wait_durable(ticket, generous); });
  world.disk().is_silent = false;
  EXPECT_EQ(code_of(waiter.outcome()), ErrorCode::journal_failed);
}

TEST_P(FailedDisk, wakes_a_caller_in_a_durable_enqueue_and_says_that_the_journal_failed) {
  const WithoutFallback without_fallback;
  world.enqueue_into_failure();
  Waiter waiter = patient_producer(world, "durable", Durability::durable);
  world.disk().is_silent = false;
  EXPECT_EQ(code_of(waiter.outcome()), ErrorCode::journal_failed);
}

TEST_P(FailedDisk, makes_the_promised_call_with_the_error) {
  std::vector<ErrorCode> calls;
  world.worker().when_durable(world.enqueue_into_failure(),
                              [&calls](const Result<void>& result) { calls.push_back(code_of(result)); });
  EXPECT_EQ(world.worker().poll_durable(), 1U);
  world.disk().is_silent = false;
  EXPECT_TRUE(await([&] { return world.worker().poll_durable() == 0; }));
  EXPECT_EQ(calls, std::vector{ErrorCode::journal_failed});
}

TEST_P(FailedDisk, is_reported_to_a_caller_that_asks_for_a_ticket_without_waiting) {
  const DurabilityTicket ticket = world.enqueue_into_failure();
  EXPECT_FALSE(must(world.worker().is_durable(ticket)));
  world.disk().is_silent = false;
  EXPECT_TRUE(await([&] { return !world.worker().is_durable(ticket).has_value(); }));
  EXPECT_EQ(code_of(world.worker().is_durable(ticket)), ErrorCode::journal_failed);
}

TEST_P(FailedDisk, refuses_journaled_and_durable_jobs_from_then_on) {
  world.fail();
  EXPECT_EQ(code_of(world.enqueue("x", Durability::journaled)), ErrorCode::journal_failed);
  EXPECT_EQ(code_of(world.enqueue("x", Durability::durable)), ErrorCode::journal_failed);
  const std::array<JobRequest, 2> batch{world.request("x", Durability::memory),
                                        world.request("x", Durability::journaled)};
  std::array<JobId, 2> ids;
  EXPECT_EQ(code_of(world.worker().enqueue_batch(batch, ids)), ErrorCode::journal_failed);
}

TEST_P(FailedDisk, is_in_the_status) {
  world.fail();
  EXPECT_EQ(world.engine().status().journal.last_error, "Input/output error");
}

TEST_P(FailedDisk, is_in_the_log_once_with_what_happened_and_what_to_do) {
  world.fail();
  std::this_thread::sleep_for(50ms);  // it would say it again in each of its turns
  EXPECT_EQ(world.log().count("journal of " + world.scratch().directory().string() + " failed"), 1U);
  EXPECT_TRUE(world.log().has("Input/output error"));
  EXPECT_TRUE(world.log().has("restart the process that keeps"));
}

TEST_P(FailedDisk, lets_jobs_of_durability_memory_come_and_end) {
  world.fail();
  const JobId id = must(world.enqueue("in memory", Durability::memory));
  while (world.engine().job(id)->state != JobState::ended) must(must(world.worker().claim(generous)).complete());
}

TEST_P(FailedDisk, lets_jobs_that_are_in_already_run_and_end) {
  Job running = must(world.worker().claim(generous));
  world.fail();
  EXPECT_TRUE(running.complete().has_value());
  Job next = must(world.worker().claim(generous));
  EXPECT_EQ(as_text(next.payload()), "on its way");
  EXPECT_TRUE(next.fail().has_value());
}

TEST_P(FailedDisk, acknowledges_nothing_afterwards_though_later_writes_succeed) {
  const std::uint64_t durable_before = world.words().round_durable;
  world.enqueue_into_failure();
  const DurabilityTicket later = world.enqueue_into_silence();
  world.disk().is_silent = false;
  EXPECT_EQ(code_of(world.worker().wait_durable(later, generous)), ErrorCode::journal_failed);
  must(must(world.worker().claim(generous)).complete());  // and what is marked now is not written
  EXPECT_EQ(code_of(world.worker().wait_durable(world.worker().ticket(), generous)), ErrorCode::journal_failed);
  EXPECT_EQ(world.words().round_durable, durable_before);
}

TEST_P(FailedDisk, is_written_again_with_all_that_waited_once_another_process_keeps) {
  world.fail();
  const DurabilityTicket waited = world.worker().ticket();
  world.end_keeper();
  {
    const Engine keeping = world.scratch().open();
    EXPECT_TRUE(await([&] { return world.worker().wait_durable(waited, 100ms).has_value(); }));
    EXPECT_TRUE(world.enqueue("after the trouble", Durability::durable).has_value());
    EXPECT_EQ(world.engine().status().journal.last_error, "");
  }
  world.reboot();
  Engine engine = world.scratch().open();
  const auto worker = must(engine.attach(Role::worker));
  std::set<std::string> back;
  while (auto job = worker->claim()) {
    back.emplace(as_text(job->payload()));
    must(job->complete());
  }
  EXPECT_EQ(back, (std::set<std::string>{"before the trouble", "on its way", "after the trouble"}));
}

TEST_P(FailedDisk, and_a_reboot_then_cost_nothing_that_was_acknowledged) {
  const JobId waiting = must(world.enqueue("waits", Durability::durable));
  Job first = must(world.worker().claim(generous));
  const JobId ended = first.id();
  must(first.complete());
  world.worker().release_prefetched();
  must(world.worker().wait_durable(world.worker().ticket(), generous));
  world.fail();
  world.reboot();
  const Engine engine = world.scratch().open();
  EXPECT_EQ(must(engine.job(ended)).state, JobState::ended);
  EXPECT_EQ(must(engine.job(waiting)).state, JobState::queued);
}

INSTANTIATE_TEST_SUITE_P(Either, FailedDisk, testing::Bool(), [](const auto& parameters) {
  return std::string(parameters.param ? "in_the_sync" : "in_the_write");
});

TEST(FailedTakeOver, a_sync_that_fails_then_is_reported_to_waiting_callers_and_is_tried_again) {
  const ScratchEngine scratch(options_of_test());
  const LogCapture log;
  Engine engine = scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  const JobRequest request{.kind = must(engine.kind("k")), .durability = Durability::durable};
  {
    const Engine keeping = scratch.open();
    must(producer->enqueue(request));  // so that there is something to take over
  }
  const TroubledKeeper keeper(scratch);
  keeper.disk().refuses_to_sync = true;
  EXPECT_EQ(code_of(producer->enqueue(request)), ErrorCode::journal_failed);
  EXPECT_TRUE(log.has("the troubled disk does not sync"));
  keeper.disk().refuses_to_sync = false;
  EXPECT_TRUE(await([&] { return producer->enqueue(request).has_value(); }));
}

constexpr std::string_view behind_text = "the disk does not keep up";

TEST(SlowDisk, that_says_nothing_for_a_second_is_called_behind_until_it_answers) {
  TroubledEngine world;
  world.enqueue_into_silence();
  EXPECT_EQ(world.engine().status().journal.last_error, "");
  EXPECT_TRUE(await([&] { return world.engine().status().journal.last_error == behind_text; }));
  EXPECT_GE(world.engine().status().journal.durable_lag, 1s);
  EXPECT_EQ(code_of(world.enqueue("x", Durability::journaled)), ErrorCode::would_block);
  world.disk().is_silent = false;
  EXPECT_TRUE(await([&] { return world.engine().status().journal.last_error.empty(); }));
  EXPECT_TRUE(world.enqueue("x", Durability::durable).has_value());
}

TEST(SlowDisk, that_holds_the_journal_thread_in_a_write_is_called_behind_as_well) {
  TroubledEngine world;
  world.disk().hangs = true;
  must(world.enqueue("on its way", Durability::journaled));
  EXPECT_TRUE(await([&] { return world.engine().status().journal.last_error == behind_text; }));
  EXPECT_EQ(code_of(world.enqueue("x", Durability::journaled)), ErrorCode::would_block);
  world.disk().hangs = false;
  EXPECT_TRUE(await([&] { return world.engine().status().journal.last_error.empty(); }));
  EXPECT_TRUE(world.enqueue("x", Durability::durable).has_value());
}

/// Each answer is news, and each round waits behind seven others. One job that fails again and again: the file does not
/// get full, which would make the disk wait for itself.
TEST(SlowDisk, that_answers_often_and_late_is_called_behind_as_well) {
  TroubledEngine world;
  world.disk().pace = 400ms;
  EXPECT_TRUE(await([&] {
    must(must(world.worker().claim(generous)).retry_in(0ms));
    return world.is(JournalCondition::behind);
  }));
  world.disk().pace = 0ms;
  EXPECT_TRUE(await([&] { return world.is(JournalCondition::working); }));
}

TEST(SlowDisk, wakes_a_producer_that_waits_when_it_has_caught_up) {
  const WithoutFallback without_fallback;
  TroubledEngine world;
  world.enqueue_into_silence();
  ASSERT_TRUE(await([&] { return world.is(JournalCondition::behind); }));
  Waiter waiter = patient_producer(world, "patient", Durability::journaled);
  world.disk().is_silent = false;
  EXPECT_TRUE(waiter.outcome().has_value());
}

TEST(SlowDisk, wakes_a_producer_that_waits_when_it_fails) {
  const WithoutFallback without_fallback;
  TroubledEngine world;
  world.enqueue_into_failure();
  ASSERT_TRUE(await([&] { return world.is(JournalCondition::behind); }));
  Waiter waiter = patient_producer(world, "patient", Durability::journaled);
  world.disk().is_silent = false;
  EXPECT_EQ(code_of(waiter.outcome()), ErrorCode::journal_failed);
}

/// Jobs are written and end until no file has room any more.
bool write_until_full(TroubledEngine& world) {
  world.disk().is_full = true;
  return await([&] {
    for (int n = 0; n < 64; ++n) {
      const auto id = world.enqueue("fills", Durability::journaled);
      if (!id && id.error().code() == ErrorCode::no_space) return true;
    }
    static_cast<void>(world.worker().wait_durable(world.worker().ticket(), 50ms));
    for (int n = 0; n < 64; ++n) {
      if (auto job = world.worker().claim()) must(job->complete());
    }
    return false;
  });
}

TEST(DiskWithoutSpace, refuses_with_a_clear_error_and_goes_on_by_itself) {
  TroubledEngine world;
  ASSERT_TRUE(write_until_full(world));
  EXPECT_EQ(code_of(world.enqueue("x", Durability::durable)), ErrorCode::no_space);
  EXPECT_TRUE(world.enqueue("y", Durability::memory).has_value());
  EXPECT_EQ(world.engine().status().journal.last_error, "No space left on device");
  EXPECT_TRUE(world.log().has("is full: journaled jobs are refused until there is space"));
  world.disk().is_full = false;
  EXPECT_TRUE(await([&] { return world.enqueue("z", Durability::durable).has_value(); }));
  EXPECT_EQ(world.engine().status().journal.last_error, "");
}

TEST(DiskWithoutSpace, lets_running_jobs_end_and_their_ends_are_durable_when_there_is_space) {
  TroubledEngine world;
  Job running = must(world.worker().claim(generous));
  const JobId id = running.id();
  ASSERT_TRUE(write_until_full(world));
  EXPECT_TRUE(running.complete().has_value());
  world.disk().is_full = false;
  EXPECT_TRUE(await([&] { return world.worker().wait_durable(world.worker().ticket(), 50ms).has_value(); }));
  world.reboot();
  const Engine engine = world.scratch().open();
  EXPECT_EQ(must(engine.job(id)).state, JobState::ended);
}

}  // namespace
}  // namespace ringmill::test
