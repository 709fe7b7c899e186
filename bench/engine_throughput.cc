#include "bench/engine_throughput.h"

#include <optional>
#include <utility>

#include "bench/scratch.h"

namespace ringmill::bench {

Measured measure_engine(const Surroundings& surroundings, const EnginePlan& plan) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  std::optional<Subject> keeper;
  const auto joined = [&](Role role, const EngineBody& body) -> Body {
    return [&scratch, role, &body](RunControl& control, std::size_t index) {
      auto subject = Subject::join(scratch->directory(), role, false);
      if (!subject) return report_failure("joining", subject.error());
      return body(control, index, *subject);
    };
  };
  ThroughputPlan processes{.producer = joined(Role::producer, plan.produce),
                           .worker = joined(Role::worker, plan.work),
                           .producers = plan.pairs,
                           .workers = plan.pairs,
                           .warm_up = surroundings.lengths.warm_up,
                           .window = surroundings.lengths.throughput};
  processes.prepare = [&]() -> std::expected<void, std::string> {
    auto opened = Subject::join(scratch->directory(), Role::tool, true);
    if (!opened) return std::unexpected(opened.error());
    keeper.emplace(std::move(*opened));
    return plan.prepare(*keeper);
  };
  auto throughput = measure_throughput(processes);
  if (!throughput) return std::unexpected(throughput.error());
  return Outcome{.measured = throughput->window,
                 .figures = {{"jobs_per_s", throughput->per_second}},
                 .notes = plan.notes(keeper->engine)};
}

std::vector<Number> journal_notes(Engine& engine) {
  const JournalStatus journal = engine.status().journal;
  return {{"journal_bytes", static_cast<double>(journal.bytes_written)},
          {"never_written", static_cast<double>(journal.jobs_elided)}};
}

}  // namespace ringmill::bench
