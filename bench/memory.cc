// What a job costs in shared memory, all regions of the engine included but the arena: how large that is, is chosen.
#include <algorithm>
#include <chrono>

#include <ringmill/engine.h>

#include "bench/scratch.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

std::expected<double, std::string> bytes_per_job(const Surroundings& surroundings, std::uint32_t capacity) {
  auto scratch = ScratchEngine::create(surroundings.scratch, capacity);
  if (!scratch) return std::unexpected(scratch.error());
  auto engine = Engine::open(scratch->directory(), {.embedded_keeper = false});
  if (!engine) return std::unexpected(engine.error().message());
  const EngineStatus status = engine->status();
  return static_cast<double>(status.memory_bytes - status.arena_bytes) / status.capacity;
}

/// The figure is the worse of a small and a big engine: fixed parts weigh more in the small one.
Measured run_memory(const Surroundings& surroundings) {
  auto by_default = bytes_per_job(surroundings, 0);
  if (!by_default) return std::unexpected(by_default.error());
  auto million = bytes_per_job(surroundings, 1'000'000);
  if (!million) return std::unexpected(million.error());
  return Outcome{.measured = std::chrono::nanoseconds{1},  // nothing is timed
                 .figures = {{"bytes_per_job", std::max(*by_default, *million)}},
                 .notes = {{"at_default_capacity", *by_default}, {"at_1m", *million}}};
}

}  // namespace

std::vector<Workload> memory_workloads() { return {{"memory", {"bytes_per_job"}, run_memory}}; }

}  // namespace ringmill::bench
