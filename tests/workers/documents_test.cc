// The second of the programs that a user wrote on ringmill: documents go through a chain of extract, summarise and
// notify. Some are refused, some answers fail twice, one takes longer than its lease, one is cancelled, and the worker
// is replaced in between.
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <ringmill/graph.h>
#include <ringmill/worker.h>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr int encrypted = 7;
constexpr int long_one = 3;  // longer than its lease
constexpr int cancelled = 9;
constexpr int documents = 12;

CreateOptions engine_of_documents() {
  CreateOptions options = small_engine();
  options.levels = {"urgent", "batch"};
  options.weights = {9, 1};
  options.capacity = 1024;
  options.cell_size = 2048;
  options.reserve.reset();
  return options;
}

struct PageChain {
  JobId extract;
  JobId summarise;
  JobId notify;
};

class Documents : public testing::Test {
 protected:
  void submit() {
    const auto producer = must(engine_.attach(Role::producer));
    const JobOptions once{.max_attempts = 3, .keep_result = 10min};
    const JobOptions flaky{
        .max_attempts = 6, .retry_policy = must(engine_.retry_policy("fixed:5ms")), .keep_result = 10min};
    for (int n = 0; n < documents; ++n) {
      const std::string name = std::to_string(n);
      const Level level = must(engine_.level(n % 2 == 0 ? "urgent" : "batch"));
      const auto step = [&](std::string_view kind, std::chrono::milliseconds lease, const JobOptions& options) {
        return JobRequest{.kind = must(engine_.kind(kind)),
                          .level = level,
                          .payload = as_payload(name),
                          .lease = lease,
                          .durability = Durability::durable,
                          .options = options};
      };
      const std::array steps{step("extract", 200ms, once), step("summarise", 10s, flaky), step("notify", 10s, once)};
      const auto ids = must(JobGraph::chain(steps).enqueue(*producer, 10s));
      chains_.push_back({ids[0], ids[1], ids[2]});
    }
  }

  static int number_of(JobContext& job) { return std::stoi(std::string(as_text(job.payload()))); }
  std::string result_of_parent(JobContext& job) const {
    const auto parents = job.parents();
    const auto info = parents.empty() ? std::unexpected(Error(ErrorCode::not_found)) : engine_.job(parents[0]);
    return info ? info->result : "";
  }
  /// A piece of work with a heartbeat, that can be stopped.
  static bool nap(JobContext& job, std::chrono::milliseconds time) {
    for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;) {
      if (job.should_stop() || job.is_stopping()) return false;
      if (job.time_left() < 100ms && !job.extend(200ms)) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  static JobOutcome stopped(JobContext& job) {
    return job.should_stop() ? JobOutcome::cancel() : JobOutcome::release();
  }
  void teach(Worker& worker) {
    worker.on("extract", [this](JobContext& job) {
      const int number = number_of(job);
      if (number == encrypted) return JobOutcome::reject("document 7 is encrypted");
      if (number == cancelled) is_at_the_cancelled_one_ = true;
      if (!nap(job, number == long_one ? 500ms : number == cancelled ? 60s : 10ms)) return stopped(job);
      return JobOutcome::complete("text of document " + std::to_string(number) + std::string(600, '.'));
    });
    worker.on("summarise", [this](JobContext& job) {
      const std::string text = result_of_parent(job);
      if (text.empty()) return JobOutcome::reject("the text is gone");
      if (job.attempt() < 3) return JobOutcome::fail("the model answers 429");
      return JobOutcome::complete("summary(" + text.substr(0, text.find('.')) + ")");
    });
    worker.on("notify", [this](JobContext& job) {
      ++notified_[static_cast<std::size_t>(number_of(job))];
      return JobOutcome::complete("sent: " + result_of_parent(job));
    });
  }
  JobInfo job(JobId id) const { return must(engine_.job(id)); }

  const ScratchEngine scratch_{engine_of_documents()};
  Engine engine_{scratch_.open(OpenOptions{})};
  std::vector<PageChain> chains_;
  std::array<std::atomic<int>, documents> notified_{};
  std::atomic<bool> is_at_the_cancelled_one_{false};
};

TEST_F(Documents, each_ends_as_it_should_and_is_told_of_once) {
  submit();
  Worker first(engine_, {.threads = 3, .policy = Policy::strict, .prefetch = 1, .grace = 10s});
  teach(first);
  std::thread running([&] { must(first.run()); });
  ASSERT_TRUE(await([&] { return is_at_the_cancelled_one_ && notified_[0] != 0; }));
  // From the end backwards: the death of a parent would decide over its children first.
  const auto tool = must(engine_.attach(Role::tool));
  const PageChain& doomed = chains_[cancelled];
  EXPECT_EQ(must(tool->cancel(doomed.notify)), Cancelled::before_start);
  EXPECT_EQ(must(tool->cancel(doomed.summarise)), Cancelled::before_start);
  EXPECT_EQ(must(tool->cancel(doomed.extract)), Cancelled::asked_to_stop);
  ASSERT_TRUE(await([&] { return job(doomed.extract).state == JobState::cancelled; }));
  first.stop();  // a worker is replaced: what it runs is given back, or ended
  running.join();
  Worker second(engine_, {.threads = 3, .policy = Policy::strict, .prefetch = 1, .drain = true});
  teach(second);
  must(second.run());

  for (int n = 0; n < documents; ++n) {
    SCOPED_TRACE("document " + std::to_string(n));
    const PageChain& chain = chains_[static_cast<std::size_t>(n)];
    const bool is_well = n != encrypted && n != cancelled;
    EXPECT_EQ(notified_[static_cast<std::size_t>(n)], is_well ? 1 : 0);
    if (!is_well) continue;
    const std::string text = "text of document " + std::to_string(n);
    EXPECT_EQ(job(chain.extract).state, JobState::completed);
    EXPECT_EQ(job(chain.extract).attempts, 1U) << "a heartbeat is enough, and a replaced worker costs no attempt";
    EXPECT_EQ(job(chain.summarise).attempts, 3U);
    EXPECT_EQ(job(chain.notify).result, "sent: summary(" + text + ")");
  }
  EXPECT_EQ(job(doomed.summarise).state, JobState::cancelled);
  EXPECT_EQ(job(doomed.notify).state, JobState::cancelled);
  const PageChain& refused = chains_[encrypted];
  ASSERT_TRUE(await([&] { return job(refused.notify).state == JobState::dead; }));
  EXPECT_EQ(job(refused.extract).last_error, "document 7 is encrypted");
  EXPECT_EQ(job(refused.summarise).cause, DeathCause::parent_dead);
}

}  // namespace
}  // namespace ringmill::test
