// What a follow-up costs: claim, follow up, complete, over claim, enqueue, complete. One participant does both in
// turns, with a thousand jobs in the level, so that no claim waits. A follow-up of a journaled job has the keeper free
// its parent's cell later, in this same process: that is in the figure as well.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include <ringmill/engine.h>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/scratch.h"
#include "bench/subject.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

constexpr std::uint64_t standing = 1000;
constexpr std::uint64_t jobs_in_a_turn = 2000;

struct Spent {
  std::uint64_t jobs = 0;
  std::uint64_t ns = 0;
  double ns_each() const noexcept {
    return static_cast<double>(ns) / static_cast<double>(std::max<std::uint64_t>(jobs, 1));
  }
};

enum class Way { enqueue, follow_up };

std::expected<void, std::string> take_turn(Subject& subject, const JobRequest& request, Way way, Spent& spent) {
  const std::uint64_t begin = now_ns();
  for (std::uint64_t n = 0; n < jobs_in_a_turn; ++n) {
    auto job = subject.participant->claim(std::chrono::seconds{5});
    if (!job) return std::unexpected(job.error().message());
    const auto next = way == Way::follow_up ? job->follow_up({.request = request}, std::chrono::seconds{5})
                                            : subject.participant->enqueue(request, std::chrono::seconds{5});
    if (!next) return std::unexpected(next.error().message());
    if (auto done = job->complete(); !done) return std::unexpected(done.error().message());
  }
  spent.jobs += jobs_in_a_turn;
  spent.ns += now_ns() - begin;
  return {};
}

std::expected<std::pair<Spent, Spent>, std::string> compare(const Surroundings& surroundings, Durability durability) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  const Message message{.words = {1}};
  const JobRequest request{
      .kind = subject->kind, .level = subject->level, .payload = message.bytes(), .durability = durability};
  for (std::uint64_t n = 0; n < standing; ++n) {
    if (auto id = subject->participant->enqueue(request); !id) return std::unexpected(id.error().message());
  }
  Spent enqueues;
  Spent follow_ups;
  Spent ignored;
  const auto end = std::chrono::steady_clock::now() + surroundings.lengths.throughput;
  for (bool warm = false; !warm || std::chrono::steady_clock::now() < end; warm = true) {
    if (auto turn = take_turn(*subject, request, Way::enqueue, warm ? enqueues : ignored); !turn) {
      return std::unexpected(turn.error());
    }
    if (auto turn = take_turn(*subject, request, Way::follow_up, warm ? follow_ups : ignored); !turn) {
      return std::unexpected(turn.error());
    }
  }
  return std::pair(enqueues, follow_ups);
}

Measured run_follow_ups(const Surroundings& surroundings) {
  const std::uint64_t begin = now_ns();
  const auto journaled = compare(surroundings, Durability::journaled);
  if (!journaled) return std::unexpected(journaled.error());
  const auto memory = compare(surroundings, Durability::memory);
  if (!memory) return std::unexpected(memory.error());
  return Outcome{.measured = std::chrono::nanoseconds(now_ns() - begin),
                 .figures = {{"cost", journaled->second.ns_each() / journaled->first.ns_each()},
                             {"memory_cost", memory->second.ns_each() / memory->first.ns_each()}},
                 .notes = {{"enqueue_ns", journaled->first.ns_each()},
                           {"follow_up_ns", journaled->second.ns_each()},
                           {"memory_enqueue_ns", memory->first.ns_each()},
                           {"memory_follow_up_ns", memory->second.ns_each()}}};
}

}  // namespace

std::vector<Workload> follow_up_workloads() { return {{"follow_up", {"cost", "memory_cost"}, run_follow_ups}}; }

}  // namespace ringmill::bench
