#include "tests/crash/all_calls.h"

#include <array>
#include <random>
#include <string>
#include <vector>

#include <ringmill/graph.h>

namespace ringmill::test {

namespace {

using namespace std::chrono_literals;

/// Reads every byte: a payload that reaches out of bounds is seen by the sanitizer, or by the kernel.
void read_all(std::span<const std::byte> bytes) {
  std::byte sum{};
  for (const std::byte byte : bytes) sum ^= byte;
  volatile std::byte sink = sum;
  static_cast<void>(sink);
}

class Caller {
 public:
  Caller(Engine& engine, std::uint64_t seed) : engine_(&engine), random_(seed), large_(60'000, 'l') {
    for (std::size_t n = 0; n < large_.size(); ++n) large_[n] = static_cast<char>('a' + n % 23);
  }

  void run(std::chrono::steady_clock::time_point end) {
    auto attached = engine_->attach(Role::worker);
    if (!attached) return;
    participant_ = std::move(*attached);
    while (std::chrono::steady_clock::now() < end) {
      if (!prepare()) continue;
      enqueue();
      enqueue_others();
      claim();
      look();
    }
    held_.clear();
    participant_.reset();
  }

 private:
  bool one_in(std::uint64_t n) { return random_() % n == 0; }

  /// A kind, a level and options of this turn.
  bool prepare() {
    const auto kind = engine_->kind("kind-" + std::to_string(random_() % 4));
    const std::vector<std::string> names = engine_->levels();
    if (!kind || names.empty()) return false;
    const auto level = engine_->level(names[random_() % names.size()]);
    if (!level) return false;
    options_ = {};
    options_.max_attempts = 2;
    if (one_in(2)) options_.keep_result = 20ms;
    if (one_in(4)) options_.delay = 2ms;
    if (one_in(8)) options_.expires = 5ms;
    if (const auto policy = engine_->retry_policy("fixed:3ms"); policy && one_in(2)) options_.retry_policy = *policy;
    constexpr std::array<std::size_t, 6> sizes{0, 5, 40, 100, 2'000, 60'000};
    request_ = {.kind = *kind, .level = *level, .payload = as_payload(large_).first(sizes[random_() % sizes.size()])};
    if (one_in(3)) request_.durability = Durability::memory;
    if (one_in(2)) request_.options = options_;
    return true;
  }

  void enqueue() {
    if (const auto id = participant_->enqueue(request_, 1ms)) ids_.push_back(*id);
    if (one_in(4)) {
      const std::array<JobRequest, 5> requests{request_, request_, request_, request_, request_};
      std::array<JobId, 5> ids;
      static_cast<void>(participant_->enqueue_batch(requests, ids, 1ms));
    }
    if (one_in(4)) {
      const std::string key = "key-" + std::to_string(random_() % 4);
      static_cast<void>(participant_->enqueue_unique(request_, key, 5ms, 1ms));
    }
    if (ids_.size() > 64) ids_.erase(ids_.begin(), ids_.begin() + 32);
  }

  /// Jobs that wait for others, and come together.
  void enqueue_others() {
    if (ids_.empty() || !one_in(4)) return;
    request_.durability = Durability::journaled;
    const std::array<JobId, 1> after{ids_[random_() % ids_.size()]};
    const std::array<std::uint32_t, 1> earlier{0};
    std::array<LinkedRequest, 3> jobs{};
    for (LinkedRequest& job : jobs) job.request = request_;
    jobs[0].after = after;
    jobs[1].after_earlier = jobs[2].after_earlier = earlier;
    jobs[2].on_parent_dead = OnParentDead::run;
    std::array<JobId, 3> ids;
    if (participant_->enqueue_together(jobs, ids, 1ms)) ids_.push_back(ids[2]);
  }

  void claim() {
    if (one_in(4)) {
      std::array<Job, 4> jobs;
      static_cast<void>(participant_->claim_batch(jobs, 1ms));
      for (const Job& job : jobs) read_all(job.payload());
      if (one_in(2)) static_cast<void>(participant_->complete_batch(jobs));
      return;  // the others are given back
    }
    if (one_in(16)) {
      ClaimOptions options{.levels = {request_.level}, .kinds = {request_.kind}};
      static_cast<void>(participant_->subscribe(one_in(2) ? options : ClaimOptions{.policy = Policy::strict}));
    }
    if (one_in(16)) participant_->release_prefetched();
    for (int n = 0; n < 2; ++n) {
      if (auto job = participant_->claim(1ms)) handle(*std::move(job));
    }
  }

  void handle(Job job) {
    read_all(job.payload());
    static_cast<void>(job.parents());
    static_cast<void>(job.time_left());
    static_cast<void>(job.should_stop());
    job.report_progress(random_(), "on its way");
    if (one_in(8)) static_cast<void>(job.extend(20ms));
    const LinkedRequest follow_up{.request = request_};
    switch (random_() % 10) {
      case 0:
        static_cast<void>(job.fail(std::string(random_() % 1'500, 'e')));
        return;
      case 1:
        static_cast<void>(job.retry_in(1ms, "again"));
        return;
      case 2:
        static_cast<void>(job.reject("never"));
        return;
      case 3:
        static_cast<void>(job.snooze(2ms));
        return;
      case 4:
        static_cast<void>(job.release());
        return;
      case 5:
        static_cast<void>(job.cancel());
        return;
      case 6:
        static_cast<void>(job.follow_up(follow_up, 1ms));
        static_cast<void>(job.complete(as_payload("with a follow-up")));
        return;
      case 7:
        held_.push_back(std::move(job));
        if (held_.size() > 6) held_.erase(held_.begin());
        return;
      default:
        static_cast<void>(job.complete(as_payload(large_).first(random_() % 900)));
        return;
    }
  }

  void look() {
    if (ids_.empty()) return;
    const JobId id = ids_[random_() % ids_.size()];
    if (one_in(4)) static_cast<void>(participant_->cancel(id));
    if (one_in(8)) static_cast<void>(engine_->job(id));
    if (one_in(8)) static_cast<void>(engine_->wait(id, 1ms));
    if (one_in(16)) static_cast<void>(engine_->status());
    if (one_in(16)) static_cast<void>(participant_->wait_durable(participant_->ticket(), 2ms));
    if (one_in(32)) change_levels();
    if (one_in(32)) change_rules();
  }

  /// None is removed: that waits ten seconds for the journal, whose words may be corrupted.
  void change_levels() {
    static_cast<void>(engine_->add_level("tube-" + std::to_string(random_() % 3), {.weight = 2, .ring = 16}));
  }

  void change_rules() {
    const KindLimits limits{.rate = {.count = 1000}, .burst = 10, .concurrency = 2};
    static_cast<void>(engine_->limit(request_.kind, one_in(2) ? limits : KindLimits{}));
    if (one_in(2)) static_cast<void>(engine_->pause(request_.kind));
    if (one_in(2)) static_cast<void>(engine_->pause(request_.level));
    static_cast<void>(engine_->resume(request_.kind));
    static_cast<void>(engine_->resume(request_.level));
  }

  Engine* engine_;
  std::mt19937_64 random_;
  std::string large_;
  std::unique_ptr<Participant> participant_;
  JobOptions options_;
  JobRequest request_;
  std::vector<JobId> ids_;
  std::vector<Job> held_;
};

}  // namespace

void make_all_calls(Engine& engine, std::uint64_t seed, std::chrono::steady_clock::time_point end) {
  Caller(engine, seed).run(end);
}

}  // namespace ringmill::test
