// Arguments that are each plain, in mixtures: levels out of order and named twice, policies, durabilities and times of
// several kinds within one call.
#include <array>
#include <thread>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct Mixture : World {
  explicit Mixture(const OpenOptions& opening = without_keeper) : World(small_engine_with_room(), opening) {}

  JobId add(Level to, const JobOptions& options = {}, Durability durability = Durability::journaled) {
    return must(worker->enqueue({.kind = kind, .level = to, .durability = durability, .options = options}));
  }
  Level named(std::string_view name) const { return must(engine.level(name)); }

  std::unique_ptr<Participant> worker = attach();
};

TEST(MixedArgumentsInProcess, levels_named_out_of_order_and_twice_are_claimed_by_urgency_each_once) {
  Mixture mixture;
  const Level high = mixture.named("high");
  const Level low = mixture.named("low");
  const JobId last = mixture.add(low);
  const JobId other = mixture.add(mixture.level);
  const JobId first = mixture.add(high);
  must(mixture.worker->subscribe({.levels = {low, high, low}, .policy = Policy::strict, .prefetch = 1}));
  Job job = must(mixture.worker->claim());
  EXPECT_EQ(job.id(), first);
  EXPECT_EQ(job.level(), high);
  must(job.complete());
  job = must(mixture.worker->claim());
  EXPECT_EQ(job.id(), last);
  EXPECT_EQ(job.level(), low);
  must(job.complete());
  EXPECT_EQ(code_of(mixture.worker->claim()), ErrorCode::would_block) << "that level was not asked for";
  EXPECT_EQ(mixture.state_of(other), JobState::queued);
}

TEST(MixedArgumentsInProcess, a_batch_over_levels_out_of_order_puts_each_job_into_its_own) {
  Mixture mixture;
  const std::array names{"low", "high", "default", "low", "low", "high"};
  std::vector<JobRequest> requests;
  for (const char* const name : names) {
    requests.push_back({.kind = mixture.kind, .level = mixture.named(name)});
  }
  std::vector<JobId> ids(requests.size());
  ASSERT_EQ(must(mixture.worker->enqueue_batch(requests, ids)), requests.size());
  for (std::size_t n = 0; n < ids.size(); ++n) EXPECT_EQ(must(mixture.engine.job(ids[n])).level, names[n]) << n;
  must(mixture.worker->subscribe({.levels = {mixture.named("low")}}));
  for (const std::size_t n : {0U, 3U, 4U}) {
    Job job = must(mixture.worker->claim());
    EXPECT_EQ(job.id(), ids[n]);
    must(job.complete());
  }
}

TEST(MixedArguments, jobs_of_one_kind_wait_each_as_its_own_policy_says) {
  Mixture mixture{OpenOptions{}};
  const RetryPolicy soon = must(mixture.engine.retry_policy("fixed:30ms"));
  const RetryPolicy late = must(mixture.engine.retry_policy("fixed:1h"));
  const JobOptions soon_options{.retry_policy = soon};
  const JobOptions late_options{.max_attempts = 2, .retry_policy = late};
  const JobId patient = mixture.add(mixture.level, late_options);
  const JobId eager = mixture.add(mixture.level, soon_options);
  for (int n = 0; n < 2; ++n) must(must(mixture.worker->claim(generous)).fail("no"));
  Job again = must(mixture.worker->claim(generous));
  EXPECT_EQ(again.id(), eager);
  EXPECT_EQ(mixture.state_of(patient), JobState::delayed);
  EXPECT_EQ(must(mixture.engine.job(patient)).max_attempts, 2U);
  must(again.complete());
}

TEST(MixedArgumentsInProcess, a_bundle_of_memory_and_journaled_jobs_is_refused_and_leaves_nothing) {
  Mixture mixture;
  for (const bool memory_first : {true, false}) {
    std::array<LinkedRequest, 3> jobs;
    for (std::size_t n = 0; n < jobs.size(); ++n) {
      const bool in_memory = (n == 1) != memory_first;
      jobs[n].request = {.kind = mixture.kind,
                         .level = mixture.level,
                         .durability = in_memory ? Durability::memory : Durability::journaled};
    }
    std::array<JobId, 3> ids;
    EXPECT_EQ(code_of(mixture.worker->enqueue_together(jobs, ids)), ErrorCode::invalid_argument);
    EXPECT_EQ(mixture.engine.status().cells_used, 0U);
  }
}

TEST(MixedArguments, a_bundle_of_journaled_and_durable_jobs_is_on_the_disk_when_the_call_returns) {
  for (const std::size_t durable : {0U, 1U, 2U}) {
    Mixture mixture{OpenOptions{}};
    std::array<LinkedRequest, 3> jobs;
    for (std::size_t n = 0; n < jobs.size(); ++n) {
      jobs[n].request = {.kind = mixture.kind,
                         .level = mixture.level,
                         .durability = n == durable ? Durability::durable : Durability::journaled};
    }
    std::array<JobId, 3> ids;
    const auto core = mixture.scratch.open_core();
    const std::uint64_t ticket = mixture.worker->ticket().round;
    must(mixture.worker->enqueue_together(jobs, ids, generous));
    EXPECT_GE(core->segment.journal().round_durable.load(), ticket);
    for (const JobId id : ids) EXPECT_FALSE(core->segment.marks().is_marked(index_of(id))) << id.to_string();
  }
}

TEST(MixedArgumentsInProcess, a_batch_of_all_durabilities_marks_what_the_journal_has_to_know) {
  Mixture mixture;
  const auto core = mixture.scratch.open_core();
  const std::array durabilities{Durability::memory, Durability::journaled, Durability::memory};
  std::vector<JobRequest> requests;
  for (const Durability durability : durabilities) {
    requests.push_back({.kind = mixture.kind, .level = mixture.level, .durability = durability});
  }
  std::vector<JobId> ids(requests.size());
  must(mixture.worker->enqueue_batch(requests, ids));
  for (std::size_t n = 0; n < ids.size(); ++n) {
    EXPECT_EQ(core->segment.marks().is_marked(index_of(ids[n])), durabilities[n] != Durability::memory) << n;
  }
}

}  // namespace
}  // namespace ringmill::test
