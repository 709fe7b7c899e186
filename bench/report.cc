#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "bench/percentile.h"

namespace ringmill::bench {
namespace {

/// What a promise of the project compares: one figure, or one over another.
struct Target {
  const char* text;
  const char* figure;
  const char* over;  // empty: the figure itself
  bool at_least;     // else at most
  double bound;
};

constexpr Target targets[] = {
    {"1p1w, one call per job, over Boost's transfer alone", "lifecycle.memory.1p1w.single.jobs_per_s",
     "ref.boost_mq64.msgs_per_s", true, 3},
    {"1p1w, batches of 64, over Boost's transfer alone", "lifecycle.memory.1p1w.batch64.jobs_per_s",
     "ref.boost_mq64.msgs_per_s", true, 5},
    {"1p1w, batches of 64, jobs/s (the aim)", "lifecycle.memory.1p1w.batch64.jobs_per_s", "", true, 20e6},
    {"a thousand standing jobs over a million", "growth.1k.jobs_per_s", "growth.1m.jobs_per_s", false, 1.5},
    {"a thousand standing jobs over four million", "growth.1k.jobs_per_s", "growth.4m.jobs_per_s", false, 1.5},
    {"enqueue while the table grows, p999 us", "enqueue_while_growing.p999_us", "", false, 1000},
    {"shared memory when 4 M jobs have come and gone, bytes", "memory.at_rest.bytes", "", false, 16.0 * 1024 * 1024},
    {"SIGKILL to the job's next start, 10 jobs, p99 us", "handover.10.p99_us", "", false, 1000},
    {"SIGKILL to the job's next start, 1 M jobs, p99 us", "handover.1m.p99_us", "", false, 1000},
    {"enqueue to handler, spinning worker, p50 ns", "latency.spin.p50_ns", "", false, 1000},
    {"results of 1 KiB kept, jobs/s", "results.kept1k.jobs_per_s", "", true, 300e3},
    {"jobs refused at 10,000/s, results kept for an hour", "results.kept1k_at_10k_per_s.refused", "", false, 0},
    {"what ten browsers and a top cost a loaded engine", "look.cost", "", false, 0.02},
    {"shared memory per job, bytes", "memory.bytes_per_job", "", false, 300},
    {"journaled over memory, 1p1w, one call per job", "lifecycle.journaled.1p1w.single.jobs_per_s",
     "lifecycle.memory.1p1w.single.jobs_per_s", true, 0.7},
    {"journaled over memory, 1p1w, batches of 64", "lifecycle.journaled.1p1w.batch64.jobs_per_s",
     "lifecycle.memory.1p1w.batch64.jobs_per_s", true, 0.7},
    {"journaled over memory, 2p2w, one call per job", "lifecycle.journaled.2p2w.single.jobs_per_s",
     "lifecycle.memory.2p2w.single.jobs_per_s", true, 0.7},
    {"journaled over memory, 2p2w, batches of 64", "lifecycle.journaled.2p2w.batch64.jobs_per_s",
     "lifecycle.memory.2p2w.batch64.jobs_per_s", true, 0.7},
    {"one durable enqueue over a bare durable write, p50", "durable.single.p50_us", "ref.device.write4k_durable.p50_us",
     false, 1.3},
    {"64 callers that wait for the device over one", "durable.64waiters.jobs_per_s", "durable.single.jobs_per_s", true,
     20},
    {"durable calls of 1000 jobs over journaled batches", "lifecycle.durable.1p1w.batch1000.jobs_per_s",
     "lifecycle.journaled.1p1w.batch64.jobs_per_s", true, 0.2},
    {"the journal's stream over the bare disk's", "journal.payload1k.bytes_per_s", "ref.device.sequential.bytes_per_s",
     true, 0.6},
    {"recovery, jobs/s", "recovery.10m.jobs_per_s", "", true, 2e6},
    {"a million delayed jobs, the latest start, ms", "delayed.1m.error.max_ms", "", false, 50},
    {"an urgent job behind a million low ones, p99 us", "urgent_behind_1m.p99_us", "", false, 1000},
    {"an urgent job behind a level that is full, p99 us", "urgent_behind_full.p99_us", "", false, 1000},
    {"an urgent job beside a million of another kind that move, p99 us", "foreign_backlog.p99_us", "", false, 2000},
    {"journal bytes per job of 64 bytes, its end included", "journal.bytes_per_job", "", false, 116},
};

/// 12.3M, 456k, 789: three digits are what such figures are good for.
std::string short_number(double value) {
  if (value >= 1e9) return fmt::format("{:.3g}G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.3g}k", value / 1e3);
  return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

}  // namespace

void Report::add_figure(const std::string& name, double value) {
  if (!has(name)) order_.push_back(name);
  values_[name].push_back(value);
}

void Report::add_note(const std::string& workload, const std::string& name, double value) {
  notes_[workload][name].push_back(value);
}

void Report::add_failure(const std::string& workload, const std::string& why) {
  failures_.push_back(fmt::format("{}: {}", workload, why));
}

double Report::figure(const std::string& name) const { return median(values_.at(name)); }

void Report::print_figures() const {
  const std::string reference = "ref.boost_mq64.msgs_per_s";
  fmt::print("{:>9}  {:<44} {:>9} {:>9} {:>9}\n", "x boost", "figure", "median", "min", "max");
  for (const std::string& name : order_) {
    const auto [least, most] = std::ranges::minmax(values_.at(name));
    const bool comparable = has(reference) && name.ends_with("s_per_s");
    fmt::print("{:>9}  {:<44} {:>9} {:>9} {:>9}\n",
               comparable ? fmt::format("{:.2f}", figure(name) / figure(reference)) : "", name,
               short_number(figure(name)), short_number(least), short_number(most));
  }
  for (const auto& [workload, notes] : notes_) {
    std::string line;
    for (const auto& [name, values] : notes) line += fmt::format(" {}={}", name, short_number(median(values)));
    fmt::print("{:>9}  {}:{}\n", "note", workload, line);
  }
}

void Report::print_targets() const {
  for (const Target& target : targets) {
    const bool ratio = *target.over != '\0';
    if (!has(target.figure) || (ratio && !has(target.over))) continue;
    const double value = ratio ? figure(target.figure) / figure(target.over) : figure(target.figure);
    const bool reached = target.at_least ? value >= target.bound : value <= target.bound;
    fmt::print("{:>9}  {:<54} {:>8} {} {}\n", reached ? "reached" : "MISSED", target.text, short_number(value),
               target.at_least ? ">=" : "<=", short_number(target.bound));
  }
}

void Report::print() const {
  print_figures();
  fmt::print("\n");
  print_targets();
  for (const std::string& failure : failures_) fmt::print("{:>9}  {}\n", "FAILED", failure);
}

bool Report::write_json(const std::string& path, const Measurement& measurement) const {
  nlohmann::ordered_json document;
  document["machine"] = measurement.machine;
  document["commit"] = measurement.commit;
  document["quick"] = measurement.quick;
  for (const char* key : {"figures", "spread", "notes"}) document[key] = nlohmann::ordered_json::object();
  for (const std::string& name : order_) {
    const auto [least, most] = std::ranges::minmax(values_.at(name));
    document["figures"][name] = figure(name);
    document["spread"][name] = {least, figure(name), most};
  }
  for (const auto& [workload, notes] : notes_) {
    for (const auto& [name, values] : notes) document["notes"][workload + "." + name] = median(values);
  }
  document["failures"] = failures_;
  std::ofstream file(path);
  file << document.dump(2) << '\n';
  if (file.flush()) return true;
  fmt::print(stderr, "ringmill-bench: {} cannot be written\n", path);
  return false;
}

}  // namespace ringmill::bench
