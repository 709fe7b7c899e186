// From SIGKILL to a worker until the job it held starts on another worker, which waits for work.
//
// Three processes beside the bench, which is the keeper, the producer and the killer:
//   nursery  forks a victim when asked and reaps it; it has nothing of the engine, so every victim starts clean
//   victim   joins, maps the whole table in by reading every cell of it (as much as a worker has that went once around
//            the table: the kernel unmaps all of that at its death), claims the one job of level "default" and dies
//            holding it
//   rescuer  claims from level "default" alone, asleep in claim() by then
// The standing jobs are of level "low", which neither claims, so that what the rescuer starts can only be the job of
// the dead.
//
// In the run with many attached, one process more has so many threads, each asleep in claim() of level "high", which
// stays empty.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/percentile.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/standing_jobs.h"
#include "bench/subject.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

/// Each word but `stop` is written by one process, and says up to which kill it has come.
struct HandoverControl {
  std::atomic<std::uint32_t> victim_wanted{0};  // bench
  std::atomic<std::uint32_t> victim_holds{0};   // victim
  std::atomic<std::int32_t> victim_process{0};  // victim, before victim_holds
  std::atomic<std::uint32_t> victim_reaped{0};  // nursery
  std::atomic<std::uint32_t> rescue_wanted{0};  // bench
  std::atomic<std::uint32_t> rescue_waits{0};   // rescuer
  std::atomic<std::uint32_t> rescued{0};        // rescuer
  std::atomic<std::uint64_t> started_ns{0};     // rescuer, before rescued
  std::atomic<std::uint32_t> crowd{0};          // threads of the crowd that are attached
  std::atomic<bool> crowd_failed{false};
  std::atomic<bool> stop{false};
};

constexpr std::chrono::microseconds glance{100};

/// A busy handler and one that blocks in the kernel die on different paths; every other victim is busy.
[[noreturn]] void hold_until_killed(std::uint32_t number) {
  for (;;) {
    if (number % 2 == 0) pause();
    relax();
  }
}

bool be_victim(HandoverControl& control, const std::filesystem::path& directory, std::uint32_t number) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  if (auto only = subject->claim_only("default"); !only) return report_failure("subscribe", only.error());
  // Counts all states, so it reads every cell.
  if (subject->engine.status().capacity == 0) return report_failure("status", "no capacity");
  auto job = subject->participant->claim(std::chrono::seconds{5});
  if (!job) return report_failure("victim's claim", job.error().message());
  consume(job->payload());
  control.victim_process.store(getpid(), std::memory_order_relaxed);
  control.victim_holds.store(number, std::memory_order_release);
  hold_until_killed(number);
}

bool run_nursery(HandoverControl& control, const std::filesystem::path& directory) {
  std::uint32_t number = 0;
  while (!control.stop.load(std::memory_order_relaxed)) {
    if (control.victim_wanted.load(std::memory_order_acquire) == number) {
      std::this_thread::sleep_for(glance);
      continue;
    }
    ++number;
    ProcessGroup victim;
    victim.start([&] { return be_victim(control, directory, number) ? 0 : 1; });
    // A victim that ends well has not been killed.
    while (victim.all_run()) std::this_thread::sleep_for(glance);
    control.victim_reaped.store(number, std::memory_order_release);
  }
  return true;
}

bool run_rescuer(HandoverControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  if (auto only = subject->claim_only("default"); !only) return report_failure("subscribe", only.error());
  std::uint32_t number = 0;
  while (!control.stop.load(std::memory_order_relaxed)) {
    if (control.rescue_wanted.load(std::memory_order_acquire) == number) {
      std::this_thread::sleep_for(glance);
      continue;
    }
    ++number;
    control.rescue_waits.store(number, std::memory_order_release);
    auto job = subject->participant->claim(std::chrono::seconds{10});
    const std::uint64_t started = now_ns();
    if (!job) return report_failure("rescuer's claim", job.error().message());
    if (job->attempt() != 2) return report_failure("rescuer's claim", "this is not the job of the dead");
    consume(job->payload());
    if (auto done = job->complete(); !done) return report_failure("complete", done.error().message());
    control.started_ns.store(started, std::memory_order_relaxed);
    control.rescued.store(number, std::memory_order_release);
  }
  return true;
}

bool be_one_of_many(HandoverControl& control, Engine& engine) {
  auto participant = engine.attach(Role::worker);
  if (!participant) return report_failure("attaching", participant.error().message());
  const auto level = engine.level("high");
  if (!level) return report_failure("level", level.error().message());
  ClaimOptions options;
  options.levels = {*level};
  if (auto subscribed = (*participant)->subscribe(options); !subscribed) {
    return report_failure("subscribe", subscribed.error().message());
  }
  control.crowd.fetch_add(1, std::memory_order_release);
  while (!control.stop.load(std::memory_order_relaxed)) {
    if ((*participant)->claim(std::chrono::seconds{1})) return report_failure("claim", "nothing was enqueued there");
  }
  return true;
}

bool run_crowd(HandoverControl& control, const std::filesystem::path& directory, std::uint32_t size) {
  auto engine = Engine::open(directory, {.embedded_keeper = false});
  if (!engine) return report_failure("opening", engine.error().message());
  std::vector<std::jthread> threads;
  while (threads.size() < size) {
    threads.emplace_back([&] {
      if (!be_one_of_many(control, *engine)) control.crowd_failed.store(true);
    });
  }
  threads.clear();
  return !control.crowd_failed.load();
}

/// Waits until a peer has come to kill `number`.
bool reaches(const std::atomic<std::uint32_t>& progress, std::uint32_t number, ProcessGroup& processes) {
  return wait_until([&] { return progress.load(std::memory_order_acquire) == number || !processes.all_run(); },
                    std::chrono::seconds{15}, glance) &&
         progress.load(std::memory_order_acquire) == number;
}

std::expected<std::uint64_t, std::string> kill_one(HandoverControl& control, Subject& subject, ProcessGroup& processes,
                                                   std::uint32_t number) {
  const Message message{.words = {number}};
  auto id = subject.participant->enqueue(
      {.kind = subject.kind, .level = subject.level, .payload = message.bytes(), .durability = Durability::memory});
  if (!id) return std::unexpected(id.error().message());
  control.victim_wanted.store(number, std::memory_order_release);
  if (!reaches(control.victim_holds, number, processes)) return std::unexpected("no victim claimed the job");
  control.rescue_wanted.store(number, std::memory_order_release);
  if (!reaches(control.rescue_waits, number, processes)) return std::unexpected("the rescuer has gone");
  // Longer than any worker spins: the rescuer sleeps. Not the same each time, so that nothing runs in step with the
  // keeper.
  std::this_thread::sleep_for(std::chrono::microseconds{2000 + (number * 137) % 1000});
  const std::uint64_t killed = now_ns();
  if (kill(control.victim_process.load(std::memory_order_relaxed), SIGKILL) != 0)
    return std::unexpected("the victim had gone");
  if (!reaches(control.rescued, number, processes))
    return std::unexpected("no worker took over the job of the killed one");
  if (!reaches(control.victim_reaped, number, processes)) return std::unexpected("the victim did not die");
  return control.started_ns.load(std::memory_order_relaxed) - killed;
}

Measured outcome_of(std::vector<std::uint64_t> took_ns, std::chrono::nanoseconds measured) {
  const auto kills = static_cast<double>(took_ns.size());
  std::ranges::sort(took_ns);
  return Outcome{.measured = measured,
                 .figures = {{"p50_us", percentile(took_ns, 0.5) / 1000}, {"p99_us", percentile(took_ns, 0.99) / 1000}},
                 .notes = {{"kills", kills}, {"max_us", static_cast<double>(took_ns.back()) / 1000}}};
}

Measured run_handover(const Surroundings& surroundings, std::uint64_t standing, std::uint32_t crowd = 0) {
  auto scratch = ScratchEngine::create(surroundings.scratch, capacity_above_a_million);
  if (!scratch) return std::unexpected(scratch.error());
  SharedBlock<HandoverControl> control;
  ProcessGroup processes;
  processes.start([&] { return run_nursery(*control, scratch->directory()) ? 0 : 1; });
  processes.start([&] { return run_rescuer(*control, scratch->directory()) ? 0 : 1; });
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  if (auto filled = enqueue_standing_jobs(*subject, "low", standing); !filled) return std::unexpected(filled.error());
  if (!wait_until([&] { return subject->engine.keeps(); }, std::chrono::seconds{5})) {
    return std::unexpected("this process did not become the keeper");
  }
  if (crowd != 0) processes.start([&] { return run_crowd(*control, scratch->directory(), crowd) ? 0 : 1; });
  if (!wait_until([&] { return control->crowd.load(std::memory_order_acquire) == crowd; }, std::chrono::seconds{30})) {
    return std::unexpected("not all of the crowd came in");
  }
  constexpr std::uint32_t warm_up_kills = 5;
  std::vector<std::uint64_t> took_ns;
  const std::uint64_t begin = now_ns();
  for (std::uint32_t number = 1; number <= surroundings.lengths.kills + warm_up_kills; ++number) {
    auto took = kill_one(*control, *subject, processes, number);
    if (!took) return std::unexpected(took.error());
    if (number > warm_up_kills) took_ns.push_back(*took);
  }
  const std::chrono::nanoseconds measured(now_ns() - begin);
  control->stop.store(true, std::memory_order_relaxed);
  if (!processes.join(std::chrono::seconds{10})) return std::unexpected("a process of the run did not end well");
  return outcome_of(std::move(took_ns), measured);
}

}  // namespace

std::vector<Workload> handover_workloads() {
  const std::vector<std::string> figures{"p50_us", "p99_us"};
  return {
      {"handover.10", figures, [](const Surroundings& surroundings) { return run_handover(surroundings, 10); }},
      {"handover.600", figures, [](const Surroundings& surroundings) { return run_handover(surroundings, 10, 600); }},
      {"handover.1m", figures, [](const Surroundings& surroundings) { return run_handover(surroundings, 1'000'000); }}};
}

}  // namespace ringmill::bench
