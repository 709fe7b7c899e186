// A participant, a job or an engine in the wrong hands: another thread's, or a forked child's. Every call says so, and
// not a byte of the shared memory changes.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/memory.h"
#include "tests/support/shared_block.h"
#include "tests/support/undestroyed.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// A participant that holds one job and has claimed others in advance, while one more waits.
struct MisuseRig {
  World world;
  std::shared_ptr<EngineCore> core = world.scratch.open_core();
  std::unique_ptr<Participant> participant = world.attach();
  JobId held;
  JobId waiting;
  Job job;

  MisuseRig() {
    for (int n = 0; n < 8; ++n) world.enqueue(*participant, "x");
    must(must(participant->claim()).complete());  // fast: the next claim takes several
    job = must(participant->claim());
    held = job.id();
    waiting = world.enqueue(*participant, "waiting");
  }

  std::string memory() const { return memory_of(core->segment); }
};

/// What a call answered; nothing when it did what was asked.
template <class T>
std::optional<ErrorCode> answer_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().code());
}

struct Call {
  std::string_view name;
  std::function<std::optional<ErrorCode>(MisuseRig&)> make;
};

/// Every call of Participant and Job that can fail. Those that only look (number, held, id, payload, ...) need no
/// thread, and wake() is for others.
const std::vector<Call>& calls() {
  static const std::vector<Call> all{
      {"enqueue", [](MisuseRig& rig) { return answer_of(rig.participant->enqueue(rig.world.request("y"))); }},
      {"enqueue with a wait",
       [](MisuseRig& rig) { return answer_of(rig.participant->enqueue(rig.world.request("y"), 1s)); }},
      {"enqueue_batch",
       [](MisuseRig& rig) {
         const std::vector<JobRequest> requests(3, rig.world.request("y"));
         std::vector<JobId> ids(3);
         return answer_of(rig.participant->enqueue_batch(requests, ids));
       }},
      {"subscribe", [](MisuseRig& rig) { return answer_of(rig.participant->subscribe({})); }},
      {"claim", [](MisuseRig& rig) { return answer_of(rig.participant->claim()); }},
      {"claim with a wait", [](MisuseRig& rig) { return answer_of(rig.participant->claim(1s)); }},
      {"claim_batch",
       [](MisuseRig& rig) {
         std::vector<Job> jobs(3);
         return answer_of(rig.participant->claim_batch(jobs));
       }},
      {"cancel of a job that waits", [](MisuseRig& rig) { return answer_of(rig.participant->cancel(rig.waiting)); }},
      {"complete", [](MisuseRig& rig) { return answer_of(rig.job.complete()); }},
      {"fail", [](MisuseRig& rig) { return answer_of(rig.job.fail()); }},
      {"extend", [](MisuseRig& rig) { return answer_of(rig.job.extend(1s)); }},
      {"release", [](MisuseRig& rig) { return answer_of(rig.job.release()); }},  // last: the Job lets go
  };
  return all;
}

/// Names of the calls that did not answer `expected`, or changed the shared memory.
std::string wrong_answers(MisuseRig& rig, ErrorCode expected) {
  std::string wrong;
  const std::string before = rig.memory();
  const auto judge = [&](std::string_view name, bool answered) {
    if (!answered) wrong += std::string(name) + " did not tell; ";
    if (rig.memory() != before) wrong += std::string(name) + " changed the shared memory; ";
  };
  for (const Call& call : calls()) judge(call.name, call.make(rig) == expected);
  judge("release_prefetched", (rig.participant->release_prefetched(), true));
  return wrong;
}

TEST(MisuseInProcess, every_call_on_another_thread_is_told_and_changes_nothing) {
  MisuseRig rig;
  std::string wrong;
  std::thread([&] { wrong = wrong_answers(rig, ErrorCode::wrong_thread); }).join();
  EXPECT_EQ(wrong, "");
}

TEST(MisuseAfterFork, every_call_in_the_child_is_told_and_changes_nothing) {
  MisuseRig rig;
  Child child([&rig] {
    const std::string wrong = wrong_answers(rig, ErrorCode::after_fork);
    std::fputs(wrong.c_str(), stderr);
    return wrong.empty() ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(MisuseInProcess, a_job_that_another_thread_could_not_settle_is_settled_by_its_own) {
  MisuseRig rig;
  std::thread([&] { static_cast<void>(rig.job.complete()); }).join();
  EXPECT_TRUE(rig.job.complete().has_value());
  EXPECT_EQ(rig.world.state_of(rig.held), JobState::ended);
}

TEST(MisuseInProcess, complete_batch_on_another_thread_completes_nothing) {
  MisuseRig rig;
  std::size_t completed = 1;
  std::thread([&] { completed = rig.participant->complete_batch(std::span(&rig.job, 1)); }).join();
  EXPECT_EQ(completed, 0U);
  EXPECT_EQ(rig.world.state_of(rig.held), JobState::running);
  EXPECT_TRUE(rig.job.complete().has_value());
}

TEST(MisuseAfterFork, complete_batch_in_the_child_completes_nothing) {
  MisuseRig rig;
  Child child([&rig] { return static_cast<int>(rig.participant->complete_batch(std::span(&rig.job, 1))); });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(rig.job.complete().has_value());
}

TEST(MisuseInProcess, a_job_that_another_thread_destroys_waits_again_when_its_participant_leaves) {
  MisuseRig rig;
  std::thread([&] { const Job taken_along = std::move(rig.job); }).join();
  EXPECT_EQ(rig.world.state_of(rig.held), JobState::running);
  rig.participant.reset();
  EXPECT_EQ(rig.world.state_of(rig.held), JobState::queued);
}

TEST(MisuseAfterFork, a_child_that_destroys_its_copies_leaves_the_shared_memory_as_it_is) {
  MisuseRig rig;
  const std::string before = rig.memory();
  Child child([&rig] {
    { const Job taken_along = std::move(rig.job); }
    rig.participant.reset();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(rig.memory() == before);
}

TEST(MisuseAfterFork, a_child_that_wakes_its_copy_leaves_the_shared_memory_as_it_is) {
  MisuseRig rig;
  const std::string before = rig.memory();
  Child child([&rig] {
    rig.participant->wake();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(rig.memory() == before);
}

TEST(MisuseAfterFork, a_child_that_opens_for_itself_works_beside_its_parent) {
  MisuseRig rig;
  Child child([&rig] {
    Engine engine = rig.world.scratch.open(without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    must(must(worker->claim()).complete());
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(rig.world.engine.status().totals.completed, 2U);
  EXPECT_EQ(rig.world.state_of(rig.held), JobState::running);
  EXPECT_TRUE(rig.job.complete().has_value());
}

TEST(MisuseOfAParticipant, one_that_another_thread_destroys_is_reaped_when_its_own_thread_ends) {
  World world;
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  SharedBlock<std::atomic<int>> ended;
  Child child([&] {
    Engine engine = world.scratch.open(without_keeper);
    std::thread([&] {
      auto participant = must(engine.attach(Role::worker));
      const Undestroyed<Job> job(must(participant->claim()));
      std::thread([&] { participant.reset(); }).join();
    }).join();
    *ended = 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *ended == 1; }));
  const Engine keeping = world.scratch.open();
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::queued; }));
}

TEST(MisuseAfterFork, the_parents_engine_tells_the_child_and_changes_nothing) {
  MisuseRig rig;
  const std::string before = rig.memory();
  Child child([&rig] {
    Engine& engine = rig.world.engine;
    const bool told = answer_of(engine.attach(Role::worker)) == ErrorCode::after_fork &&
                      answer_of(engine.kind("new")) == ErrorCode::after_fork &&
                      answer_of(engine.level("default")) == ErrorCode::after_fork &&
                      answer_of(engine.job(rig.held)) == ErrorCode::after_fork;
    return told ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(rig.memory() == before);
}

}  // namespace
}  // namespace ringmill::test
