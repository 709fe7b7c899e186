// ringmill-bench: measures everything once per round, one after the other, so that a machine that gets slower in the
// middle of a run slows the reference and the subject alike. Google Benchmark runs each measurement and hands over
// what it gave.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/report.h"
#include "bench/scratch.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

/// Takes what Google Benchmark measured into the report; its own table would show times, and our figures are counters.
class Collector : public benchmark::BenchmarkReporter {
 public:
  explicit Collector(Report& report) : report_(report) {}

  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const std::string& workload = run.run_name.function_name;
      if (run.error_occurred) {
        report_.add_failure(workload, run.error_message);
        continue;
      }
      for (const auto& [name, counter] : run.counters) {
        if (name.starts_with(note_prefix)) {
          report_.add_note(workload, name.substr(note_prefix.size()), counter.value);
        } else {
          report_.add_figure(workload + "." + name, counter.value);
        }
      }
    }
  }

  /// Tells figures from notes among the counters of a run.
  static constexpr std::string_view note_prefix = "note ";

 private:
  Report& report_;
};

/// In an order that puts what is compared side by side.
std::vector<Workload> all_workloads() {
  std::vector<Workload> all;
  for (auto make :
       {peer_workloads, lifecycle_workloads, growth_workloads, latency_workloads, handover_workloads, memory_workloads,
        durable_workloads, recovery_workloads, dead_letter_workloads, delayed_workloads, priority_workloads,
        foreign_workloads, level_workloads, follow_up_workloads, result_workloads, look_workloads, c_call_workloads}) {
    std::ranges::move(make(), std::back_inserter(all));
  }
  return all;
}

bool any_figure_matches(const Workload& workload, const std::regex& wanted) {
  return std::ranges::any_of(workload.figures, [&](const std::string& figure) {
    return std::regex_search(workload.name + "." + figure, wanted);
  });
}

void register_with_harness(const Workload& workload, const Surroundings& surroundings) {
  benchmark::RegisterBenchmark(workload.name.c_str(),
                               [&workload, &surroundings](benchmark::State& state) {
                                 for ([[maybe_unused]] auto iteration : state) {
                                   const Measured measured = workload.run(surroundings);
                                   if (!measured) {
                                     state.SkipWithError(measured.error().c_str());
                                     break;
                                   }
                                   state.SetIterationTime(std::chrono::duration<double>(measured->measured).count());
                                   for (const Number& figure : measured->figures)
                                     state.counters[figure.name] = figure.value;
                                   for (const Number& note : measured->notes)
                                     state.counters[std::string(Collector::note_prefix) + note.name] = note.value;
                                 }
                               })
      ->UseManualTime()
      ->Iterations(1);
}

struct Options {
  bool quick = false;
  std::string only = ".";
  std::string json;
  std::string commit;
};

int run(const Options& options) {
  const std::regex wanted(options.only);
  std::vector<Workload> workloads = all_workloads();
  std::erase_if(workloads, [&](const Workload& workload) { return !any_figure_matches(workload, wanted); });
  if (workloads.empty()) {
    fmt::print(stderr, "ringmill-bench: no figure's name matches {}\n", options.only);
    return 2;
  }
  // The keeper would log each of the deaths that handover.* causes.
  spdlog::stderr_logger_mt("ringmill")->set_level(spdlog::level::warn);
  Scratch scratch;
  const Surroundings surroundings{.lengths = options.quick ? quick_lengths : full_lengths, .scratch = scratch.folder()};
  for (const Workload& workload : workloads) register_with_harness(workload, surroundings);

  const Measurement measurement{.machine = describe_machine(), .commit = options.commit, .quick = options.quick};
  Report report;
  Collector collector(report);
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint32_t round = 1; round <= surroundings.lengths.rounds; ++round) {
    benchmark::RunSpecifiedBenchmarks(&collector);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin);
    fmt::print(stderr, "round {} of {} done after {} s\n", round, surroundings.lengths.rounds, seconds.count());
  }
  report.print();
  if (!options.json.empty() && !report.write_json(options.json, measurement)) return 3;
  return report.failed() ? 1 : 0;
}

}  // namespace
}  // namespace ringmill::bench

int main(int argc, char** argv) {
  CLI::App app{"Measures ringmill beside what it is compared with; docs/benchmarks.md says what each figure means."};
  ringmill::bench::Options options;
  app.add_flag("--quick", options.quick, "every figure within 4 minutes");
  app.add_option("--only", options.only, "only what gives a figure whose name matches this regular expression");
  app.add_option("--json", options.json, "write figures and spread to this file");
  app.add_option("--commit", options.commit, "what the JSON says was measured");
  CLI11_PARSE(app, argc, argv);
  try {
    return ringmill::bench::run(options);
  } catch (const std::regex_error& error) {
    fmt::print(stderr, "ringmill-bench: --only {}: {}\n", options.only, error.what());
    return 2;
  }
}
