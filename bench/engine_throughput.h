// Throughput through an engine of its own: its producers and workers join it, and the bench's own process keeps it.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include <ringmill/engine.h>

#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {

/// As Body, with the process's place in the engine.
using EngineBody = std::function<bool(RunControl& control, std::size_t index, Subject& subject)>;

struct EnginePlan {
  EngineBody produce;
  EngineBody work;
  /// Of the same number: so many producers, and so many workers.
  std::size_t pairs = 1;
  /// Runs with the keeper before the processes go: fills the table.
  std::function<std::expected<void, std::string>(Subject& keeper)> prepare = [](Subject&) {
    return std::expected<void, std::string>{};
  };
  /// What is said with the figure.
  std::function<std::vector<Number>(Engine& engine)> notes;
};

/// The figure jobs_per_s of an engine with the default options.
Measured measure_engine(const Surroundings& surroundings, const EnginePlan& plan);

/// What the journal had to do, and what it did not.
std::vector<Number> journal_notes(Engine& engine);

}  // namespace ringmill::bench
