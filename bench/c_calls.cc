// What a call of the C interface costs over the same call of the C++ interface: 64 enqueues, claims and completions of
// plain jobs, one by one and as one batch, in turns by two participants of one thread. The C calls go through
// libringmill.so.0, as those of a program in C do. Times are medians over the turns, in nanoseconds per call; for a
// batch per job.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/ringmill.h>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/scratch.h"
#include "bench/subject.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace c_calls {
namespace {

constexpr std::uint32_t jobs_in_a_turn = Participant::most_in_batch;
enum Step : std::size_t { enqueues, claims, completions, steps };
constexpr std::array<const char*, steps> step_names{"enqueue", "claim", "complete"};

/// The jobs of one turn, by one interface. Each step returns false if it fails.
using Turn = std::array<std::function<bool()>, steps>;

/// Nanoseconds per job of each turn, by step.
struct Times {
  std::array<std::vector<double>, steps> ns;
  double median(Step step) {
    std::vector<double>& all = ns[step];
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    return all[all.size() / 2];
  }
};

bool take(const Turn& turn, Times* times) {
  for (std::size_t step = 0; step < steps; ++step) {
    const std::uint64_t begin = now_ns();
    if (!turn[step]()) return report_failure(step_names[step], "a job was refused, or is gone");
    const std::uint64_t end = now_ns();
    if (times != nullptr) times->ns[step].push_back(static_cast<double>(end - begin) / jobs_in_a_turn);
  }
  return true;
}

/// By way of C++.
class Direct {
 public:
  Direct(Subject& subject, const Message& message) : participant_(subject.participant.get()) {
    requests_.fill({.kind = subject.kind, .level = subject.level, .payload = message.bytes()});
  }
  Turn single() {
    return {[this] {
              for (JobRequest& request : requests_) {
                if (!participant_->enqueue(request)) return false;
              }
              return true;
            },
            [this] {
              for (Job& job : jobs_) {
                auto claimed = participant_->claim();
                if (!claimed) return false;
                job = *std::move(claimed);
              }
              return true;
            },
            [this] {
              return std::all_of(jobs_.begin(), jobs_.end(), [](Job& job) { return job.complete().has_value(); });
            }};
  }
  Turn batch() {
    return {[this] { return participant_->enqueue_batch(requests_, ids_).value_or(0) == jobs_in_a_turn; },
            [this] { return participant_->claim_batch(jobs_).value_or(0) == jobs_in_a_turn; },
            [this] { return participant_->complete_batch(jobs_) == jobs_in_a_turn; }};
  }

 private:
  Participant* participant_;
  std::array<JobRequest, jobs_in_a_turn> requests_;
  std::array<JobId, jobs_in_a_turn> ids_;
  std::array<Job, jobs_in_a_turn> jobs_;
};

/// By way of C.
class ByC {
 public:
  ByC(const std::filesystem::path& directory, const Message& message) {
    rm_open_options options{};
    options.size = sizeof options;
    options.flags = RM_OPEN_NO_KEEPER;
    if (rm_open(directory.c_str(), &options, &engine_, nullptr) != RM_OK) return;
    if (rm_attach(engine_, RM_WORKER, 0, &participant_, nullptr) != RM_OK) return;
    rm_subscription subscription{};
    subscription.size = sizeof subscription;
    subscription.prefetch = RM_MOST_BATCH;
    rm_request request{};
    request.size = sizeof request;
    request.payload = {message.bytes().data(), message.bytes().size()};
    is_ready_ = rm_subscribe(participant_, &subscription, nullptr) == RM_OK &&
                rm_kind(engine_, {"bench", 5}, &request.kind, nullptr) == RM_OK &&
                rm_level(engine_, {"default", 7}, &request.level, nullptr) == RM_OK;
    requests_.fill(request);
    for (rm_claimed& job : jobs_) job.size = sizeof job;
    for (rm_settlement& settlement : list_) {
      settlement.size = sizeof settlement;
      settlement.what = RM_COMPLETE;
    }
  }
  ByC(const ByC&) = delete;
  ByC& operator=(const ByC&) = delete;
  ~ByC() {
    rm_participant_release(participant_);
    rm_engine_release(engine_);
  }
  bool is_ready() const noexcept { return is_ready_; }

  Turn single() {
    return {[this] {
              for (std::size_t n = 0; n < jobs_in_a_turn; ++n) {
                if (rm_enqueue(participant_, &requests_[n], 1, &ids_[n], nullptr, 0, nullptr) != RM_OK) return false;
              }
              return true;
            },
            [this] {
              std::uint32_t got = 0;
              for (rm_claimed& job : jobs_) {
                if (rm_claim(participant_, &job, 1, &got, 0, nullptr) != RM_OK) return false;
              }
              return true;
            },
            [this] {
              for (const rm_claimed& job : jobs_) {
                list_[0].lease = job.lease;
                if (rm_settle(participant_, list_.data(), 1, nullptr) != RM_OK) return false;
              }
              return true;
            }};
  }
  Turn batch() {
    return {[this] {
              return rm_enqueue(participant_, requests_.data(), jobs_in_a_turn, ids_.data(), nullptr, 0, nullptr) ==
                     RM_OK;
            },
            [this] {
              std::uint32_t got = 0;
              return rm_claim(participant_, jobs_.data(), jobs_in_a_turn, &got, 0, nullptr) == RM_OK &&
                     got == jobs_in_a_turn;
            },
            [this] {
              for (std::size_t n = 0; n < jobs_in_a_turn; ++n) list_[n].lease = jobs_[n].lease;
              return rm_settle(participant_, list_.data(), jobs_in_a_turn, nullptr) == RM_OK;
            }};
  }

 private:
  rm_engine* engine_ = nullptr;
  rm_participant* participant_ = nullptr;
  bool is_ready_ = false;
  std::array<rm_request, jobs_in_a_turn> requests_{};
  std::array<rm_id, jobs_in_a_turn> ids_{};
  std::array<rm_claimed, jobs_in_a_turn> jobs_{};
  std::array<rm_settlement, jobs_in_a_turn> list_{};
};

Measured run_c_calls(const Surroundings& surroundings) {
  const std::uint64_t begin = now_ns();
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  const Message message{.words = {1}};
  Direct direct(*subject, message);
  ByC by_c(scratch->directory(), message);
  if (!by_c.is_ready()) return std::unexpected("libringmill.so.0 cannot open the engine");
  Outcome outcome{};
  for (const bool is_batch : {false, true}) {
    const Turn turn_direct = is_batch ? direct.batch() : direct.single();
    const Turn turn_by_c = is_batch ? by_c.batch() : by_c.single();
    Times direct_times;
    Times c_times;
    const auto end = std::chrono::steady_clock::now() + surroundings.lengths.throughput;
    for (bool warm = false; !warm || std::chrono::steady_clock::now() < end; warm = true) {
      if (!take(turn_direct, warm ? &direct_times : nullptr) || !take(turn_by_c, warm ? &c_times : nullptr)) {
        return std::unexpected("a turn failed");
      }
    }
    for (const Step step : {enqueues, claims, completions}) {
      const double direct_ns = direct_times.median(step);
      const double c_ns = c_times.median(step);
      const std::string name = fmt::format("{}_{}", is_batch ? "batch" : "single", step_names[step]);
      outcome.figures.push_back({name + "_extra_ns", c_ns - direct_ns});
      outcome.notes.push_back({name + "_ns", direct_ns});
    }
  }
  outcome.measured = std::chrono::nanoseconds(now_ns() - begin);
  return outcome;
}

}  // namespace
}  // namespace c_calls

std::vector<Workload> c_call_workloads() {
  std::vector<std::string> figures;
  for (const char* size : {"single", "batch"}) {
    for (const char* step : c_calls::step_names) figures.push_back(fmt::format("{}_{}_extra_ns", size, step));
  }
  return {{"c_calls", figures, c_calls::run_c_calls}};
}

}  // namespace ringmill::bench
