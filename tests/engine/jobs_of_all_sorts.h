// One job of each sort, for what carries a whole engine over: a resize, a backup, an upgrade.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/graph.h>

#include "tests/support/core_test.h"

namespace ringmill::test {

inline std::string long_text() {
  std::string text(50'000, '\0');
  for (std::size_t n = 0; n < text.size(); ++n) text[n] = static_cast<char>('a' + n % 23);
  return text;
}

/// One job of each sort that waits, is kept, or has a part in the arena.
class JobsOfAllSorts {
 public:
  explicit JobsOfAllSorts(Engine& engine) {
    participant_ = must(engine.attach(Role::worker));
    const Level level = must(engine.level("default"));
    const Level tube = must(engine.add_level("tube"));
    const Kind kind = must(engine.kind("plain"));
    const auto request = [&](std::string_view payload, Durability durability, const JobOptions& options = {}) {
      return JobRequest{
          .kind = kind, .level = level, .payload = as_payload(payload), .durability = durability, .options = options};
    };
    const JobOptions kept{.keep_result = std::chrono::hours(1)};
    add(participant_->enqueue(request("to be kept", Durability::journaled, kept)));
    must(must(participant_->claim(generous)).complete(as_payload("its result")));
    add(participant_->enqueue(request("has failed", Durability::memory)));
    must(must(participant_->claim(generous)).retry_in(std::chrono::hours(1), "no luck"));
    for (const Durability durability : {Durability::memory, Durability::journaled}) {
      add(participant_->enqueue(noted(request("queued", durability))));
      large_.push_back(add(participant_->enqueue(noted(request(long_text_, durability)))));
      const JobOptions later{.retry_policy = must(engine.retry_policy("fixed:7s")),
                             .delay = std::chrono::hours(2),
                             .expires = std::chrono::hours(100)};
      add(participant_->enqueue(request("delayed", durability, later)));
      const std::string key = "key " + std::string(name_of(durability));
      const auto unique = must(participant_->enqueue_unique(noted(request("unique", durability)), key));
      keyed_.emplace_back(key, add(unique.id));
      JobRequest in_tube = request("in the tube", durability);
      in_tube.level = tube;
      add(participant_->enqueue(in_tube));
      const std::vector<JobRequest> two(2, noted(request("linked", durability)));
      for (const JobId id : must(JobGraph::chain(two).enqueue(*participant_))) add(id);
    }
    must(participant_->wait_durable(participant_->ticket(), generous));
    for (const JobId id : ids_) infos_.push_back(must(engine.job(id)));
    participant_.reset();
  }

  /// `tolerance`: of times that a journal has in milliseconds.
  void expect_in(const Engine& engine, std::chrono::nanoseconds tolerance = {}) const {
    for (const JobInfo& before : infos_) {
      const JobInfo now = must(engine.job(before.id));
      EXPECT_EQ(now.state, before.state) << before.id.to_string();
      EXPECT_EQ(now.kind, before.kind);
      EXPECT_EQ(now.level, before.level);
      EXPECT_EQ(now.attempts, before.attempts);
      EXPECT_EQ(now.payload_size, before.payload_size);
      EXPECT_EQ(now.last_error, before.last_error);
      EXPECT_EQ(now.result, before.result);
      EXPECT_EQ(now.parents, before.parents);
      EXPECT_EQ(now.tag, before.tag);
      EXPECT_EQ(now.trace_parent, before.trace_parent);
      EXPECT_EQ(now.retried_from, before.retried_from);
      EXPECT_LE(std::chrono::abs(now.enqueued_at - before.enqueued_at), tolerance);
      EXPECT_LE(std::chrono::abs(now.started_at - before.started_at), tolerance);
      EXPECT_LT(std::chrono::abs(now.due_at - before.due_at), std::chrono::seconds(1));
    }
  }
  /// How many of the durable ones are there, as they were.
  std::size_t count_in(const Engine& engine) const {
    return static_cast<std::size_t>(std::ranges::count_if(infos_, [&](const JobInfo& before) {
      const auto now = engine.job(before.id);
      return now && now->state == before.state;
    }));
  }
  void expect_to_run(Engine& engine) const {
    const auto worker = must(engine.attach(Role::worker));
    for (const auto& [key, id] : keyed_) {
      const auto found = must(
          worker->enqueue_unique({.kind = must(engine.kind("plain")), .level = must(engine.level("default"))}, key));
      EXPECT_EQ(found.id, id);
      EXPECT_FALSE(found.is_new);
    }
    // Per durability: queued, large, unique, in the tube, and two that are linked.
    for (int n = 0; n < 2 * 6; ++n) {
      Job job = must(worker->claim(generous));
      const bool is_large = std::ranges::find(large_, job.id()) != large_.end();
      EXPECT_TRUE(!is_large || as_text(job.payload()) == long_text_);
      must(job.complete());
    }
    EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  }

 private:
  /// The same job with something beside its payload.
  static JobRequest noted(JobRequest request) {
    request.tag = "order-17";
    request.trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.retried_from = JobId(0x1234);
    return request;
  }
  JobId add(Result<JobId> id) { return add(must(std::move(id))); }
  JobId add(JobId id) { return ids_.emplace_back(id); }

  const std::string long_text_ = long_text();
  std::unique_ptr<Participant> participant_;
  std::vector<JobId> ids_;
  std::vector<JobId> large_;
  std::vector<std::pair<std::string, JobId>> keyed_;
  std::vector<JobInfo> infos_;
};

}  // namespace ringmill::test
