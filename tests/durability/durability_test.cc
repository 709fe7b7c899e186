// What survives: engines whose shared memory is taken away, as a reboot does.
#include <array>
#include <set>

#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

/// An engine whose processes can all be ended and its shared memory removed, again and again.
struct Machine {
  ScratchEngine scratch{small_engine()};

  void reboot() const { std::filesystem::remove(scratch.segment_file()); }
};

JobRequest request(Engine& engine, std::string_view payload, Durability durability,
                   std::string_view level = "default") {
  return {.kind = must(engine.kind("k")),
          .level = must(engine.level(level)),
          .payload = as_payload(payload),
          .durability = durability};
}

JobId enqueue_durably(Engine& engine, std::string_view payload) {
  return must(must(engine.attach(Role::producer))->enqueue(request(engine, payload, Durability::durable)));
}

void wait_for_all(Participant& participant) { must(participant.wait_durable(participant.ticket(), generous)); }

TEST(Durability, a_durable_job_is_there_after_a_reboot_with_its_payload_kind_and_level) {
  Machine machine;
  JobId id;
  {
    Engine engine = machine.scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    id = must(producer->enqueue(request(engine, "a payload of some length", Durability::durable, "high")));
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  const auto worker = must(engine.attach(Role::worker));
  const Job job = must(worker->claim(generous));
  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(as_text(job.payload()), "a payload of some length");
  EXPECT_EQ(engine.kind_name(job.kind()), "k");
  EXPECT_EQ(engine.level_name(job.level()), "high");
  EXPECT_EQ(job.attempt(), 1U);
}

TEST(Durability, a_journaled_job_is_there_after_its_ticket_is_durable) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    must(producer->enqueue(request(engine, "later", Durability::journaled)));
    const DurabilityTicket ticket = producer->ticket();
    EXPECT_TRUE(await([&] { return must(producer->is_durable(ticket)); })) << "no caller asked, and the keeper does it";
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(as_text(must(must(engine.attach(Role::worker))->claim(generous)).payload()), "later");
}

TEST(Durability, an_engine_that_is_closed_at_once_has_journaled_what_was_enqueued) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    must(producer->enqueue(request(engine, "in a hurry", Durability::journaled)));
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(as_text(must(must(engine.attach(Role::worker))->claim(generous)).payload()), "in a hurry");
}

TEST(Durability, a_job_of_durability_memory_does_not_survive_a_reboot) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    must(producer->enqueue(request(engine, "gone", Durability::memory)));
    wait_for_all(*producer);
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(code_of(must(engine.attach(Role::worker))->claim()), ErrorCode::would_block);
}

TEST(Durability, a_job_does_not_come_back_once_its_completion_was_durable) {
  Machine machine;
  JobId id;
  {
    Engine engine = machine.scratch.open();
    id = enqueue_durably(engine, "done");
    const auto worker = must(engine.attach(Role::worker));
    must(must(worker->claim(generous)).complete());
    wait_for_all(*worker);
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(code_of(must(engine.attach(Role::worker))->claim()), ErrorCode::would_block);
  EXPECT_EQ(must(engine.job(id)).state, JobState::ended);
}

TEST(Durability, a_cancelled_job_does_not_come_back) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    const JobId id = enqueue_durably(engine, "never mind");
    const auto tool = must(engine.attach(Role::tool));
    EXPECT_EQ(must(tool->cancel(id)), Cancelled::before_start);
    wait_for_all(*tool);
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(code_of(must(engine.attach(Role::worker))->claim()), ErrorCode::would_block);
}

TEST(Durability, attempts_come_back) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    enqueue_durably(engine, "stubborn");
    const auto worker = must(engine.attach(Role::worker));
    for (int n = 0; n < 3; ++n) must(must(worker->claim(generous)).retry_in(std::chrono::milliseconds(0)));
    wait_for_all(*worker);
  }
  machine.reboot();
  Engine engine = machine.scratch.open();
  EXPECT_EQ(must(must(engine.attach(Role::worker))->claim(generous)).attempt(), 4U);
}

TEST(Durability, a_running_job_waits_again_after_a_reboot) {
  Machine machine;
  {
    Engine engine = machine.scratch.open();
    enqueue_durably(engine, "was running");
    const auto worker = must(engine.attach(Role::worker));
    const Job running = must(worker->claim(generous));
    wait_for_all(*worker);
    machine.reboot();  // while it runs
  }
  Engine engine = machine.scratch.open();
  EXPECT_EQ(as_text(must(must(engine.attach(Role::worker))->claim(generous)).payload()), "was running");
}

TEST(Durability, ids_never_repeat_over_many_reboots) {
  Machine machine;
  std::set<JobId> seen;
  for (int boot = 0; boot < 4; ++boot) {
    Engine engine = machine.scratch.open();
    const auto worker = must(engine.attach(Role::worker));
    // What came back ends, so that its cell begins another life.
    while (auto job = worker->claim()) must(job->complete());
    for (int n = 0; n < 200; ++n) {
      const bool lost = n % 3 == 0;
      const JobId id = must(worker->enqueue(request(engine, "x", lost ? Durability::memory : Durability::journaled)));
      EXPECT_TRUE(seen.insert(id).second) << "boot " << boot << " gives " << id.to_string() << " a second time";
      if (n % 2 == 0) must(must(worker->claim(generous)).complete());
    }
    worker->release_prefetched();
    wait_for_all(*worker);
    machine.reboot();
  }
}

TEST(Durability, a_job_that_ended_before_it_was_written_is_never_written) {
  Machine machine;
  Engine engine = machine.scratch.open(without_keeper);
  const auto worker = must(engine.attach(Role::worker));
  for (int n = 0; n < 100; ++n) {
    must(worker->enqueue(request(engine, "short", Durability::journaled)));
    must(must(worker->claim(generous)).complete());
  }
  const Engine keeping = machine.scratch.open();  // only now there is a keeper
  wait_for_all(*worker);
  const JournalStatus journal = engine.status().journal;
  EXPECT_EQ(journal.records_written, 0U);
  EXPECT_GT(journal.jobs_elided, 0U);
}

TEST(Durability, a_promised_call_is_made_when_the_ticket_is_durable) {
  Machine machine;
  Engine engine = machine.scratch.open();
  const auto producer = must(engine.attach(Role::producer));
  must(producer->enqueue(request(engine, "x", Durability::journaled)));
  int calls = 0;
  producer->when_durable(producer->ticket(), [&calls](Result<void> result) {
    EXPECT_TRUE(result.has_value());
    ++calls;
  });
  EXPECT_TRUE(await([&] { return producer->poll_durable() == 0; }));
  EXPECT_EQ(calls, 1);
}

TEST(Durability, without_a_keeper_a_ticket_does_not_become_durable) {
  Machine machine;
  Engine engine = machine.scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  must(producer->enqueue(request(engine, "x", Durability::journaled)));
  EXPECT_EQ(code_of(producer->wait_durable(producer->ticket(), std::chrono::milliseconds(20))), ErrorCode::timed_out);
  EXPECT_FALSE(must(producer->is_durable(producer->ticket())));
}

TEST(Durability, while_the_disk_does_not_keep_up_journaled_jobs_wait_with_a_clear_answer_and_others_do_not) {
  Machine machine;
  Engine engine = machine.scratch.open(without_keeper);
  const auto worker = must(engine.attach(Role::worker));
  must(worker->enqueue(request(engine, "before", Durability::journaled)));
  Job running = must(worker->claim(generous));
  const auto core = machine.scratch.open_core();
  core->segment.journal().condition.store(static_cast<std::uint32_t>(JournalCondition::behind));
  const JobRequest journaled = request(engine, "x", Durability::journaled);
  EXPECT_EQ(code_of(worker->enqueue(journaled)), ErrorCode::would_block);
  EXPECT_EQ(code_of(worker->enqueue(journaled, std::chrono::milliseconds(5))), ErrorCode::timed_out);
  EXPECT_TRUE(worker->enqueue(request(engine, "y", Durability::memory)).has_value());
  EXPECT_TRUE(running.complete().has_value()) << "an end never waits for the disk";
  const Engine keeping = machine.scratch.open();  // whose journal thread finds that all is well
  EXPECT_TRUE(worker->enqueue(journaled, generous).has_value());
}

TEST(Durability, jobs_enqueued_under_a_keeper_that_was_killed_are_made_durable_by_the_next_one) {
  Machine machine;
  std::vector<JobId> ids;
  {
    Child first([&machine] {
      const Engine engine = machine.scratch.open();
      ::pause();
      return 0;
    });
    Engine engine = machine.scratch.open(without_keeper);
    EXPECT_TRUE(await([&engine] { return engine.status().keeper_alive; }));
    const auto producer = must(engine.attach(Role::producer));
    for (int n = 0; n < 100; ++n) ids.push_back(must(producer->enqueue(request(engine, "x", Durability::journaled))));
    first.kill();
    for (int n = 0; n < 100; ++n) ids.push_back(must(producer->enqueue(request(engine, "y", Durability::journaled))));
    const Engine second = machine.scratch.open();
    wait_for_all(*producer);
  }
  machine.reboot();
  const Engine engine = machine.scratch.open();
  for (const JobId id : ids) EXPECT_EQ(must(engine.job(id)).state, JobState::queued) << id.to_string();
}

}  // namespace
}  // namespace ringmill::test
