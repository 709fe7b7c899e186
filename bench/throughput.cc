#include "bench/throughput.h"

#include <optional>
#include <thread>

#include "bench/clock.h"
#include "bench/process.h"
#include "bench/shared_block.h"

namespace ringmill::bench {
namespace {

std::uint64_t sum_of(const std::array<Count, most_processes_of_a_role>& counts) noexcept {
  std::uint64_t sum = 0;
  for (const Count& count : counts) sum += count.read();
  return sum;
}

}  // namespace

void RunControl::start_together() noexcept {
  ready.fetch_add(1, std::memory_order_acq_rel);
  while (!go.load(std::memory_order_acquire)) std::this_thread::sleep_for(std::chrono::microseconds{50});
}

std::expected<void, std::string> RunControl::await_ready(ProcessGroup& processes, std::size_t count) const {
  const bool began = wait_until([&] { return ready.load(std::memory_order_acquire) == count || !processes.all_run(); },
                                std::chrono::seconds{30});
  if (!began || !processes.all_run()) return std::unexpected("a process of the run did not start");
  return {};
}

std::expected<Throughput, std::string> measure_throughput(const ThroughputPlan& plan) {
  SharedBlock<RunControl> control;
  ProcessGroup processes;
  const bool pinned = plan.producers == 1 && plan.workers == 1;
  const auto start = [&](const Body& body, std::size_t index, std::size_t slot) {
    processes.start([&] { return body(*control, index) ? 0 : 1; }, pinned ? std::optional(slot) : std::nullopt);
  };
  for (std::size_t index = 0; index < plan.producers; ++index) start(plan.producer, index, 0);
  for (std::size_t index = 0; index < plan.workers; ++index) start(plan.worker, index, 1);

  if (auto ready = control->await_ready(processes, plan.producers + plan.workers); !ready) {
    return std::unexpected(ready.error());
  }
  if (auto prepared = plan.prepare(); !prepared) return std::unexpected(prepared.error());
  control->go.store(true, std::memory_order_release);

  std::this_thread::sleep_for(plan.warm_up);
  const std::uint64_t begin_ns = now_ns();
  const std::uint64_t begin_count = sum_of(control->done);
  std::this_thread::sleep_for(plan.window);
  const std::uint64_t end_count = sum_of(control->done);
  const std::uint64_t end_ns = now_ns();

  if (!processes.all_run()) return std::unexpected("a process of the run ended early");
  control->stop.store(true, std::memory_order_relaxed);
  if (plan.ending == Ending::kill) {
    processes.kill_all();
  } else if (!processes.join(std::chrono::seconds{10})) {
    return std::unexpected("a process of the run did not end well");
  }
  if (end_count == begin_count) return std::unexpected("nothing was done in the whole window");
  const std::chrono::nanoseconds window(end_ns - begin_ns);
  return Throughput{
      .window = window,
      .per_second = static_cast<double>(end_count - begin_count) / std::chrono::duration<double>(window).count()};
}

}  // namespace ringmill::bench
