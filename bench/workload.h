// What a benchmark is to the harness: a name, the figures it gives, and one run of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace ringmill::bench {

/// How long the parts of one run take. A figure is the median over `rounds` runs.
struct Lengths {
  std::uint32_t rounds;
  std::chrono::milliseconds warm_up;
  std::chrono::milliseconds throughput;
  std::chrono::milliseconds latency_spin;
  std::chrono::milliseconds latency_sleep;
  std::uint32_t kills;
  std::uint32_t jobs_of_a_level;
  std::uint32_t turns_of_looks;
};

inline constexpr Lengths full_lengths{.rounds = 5,
                                      .warm_up = std::chrono::milliseconds{500},
                                      .throughput = std::chrono::milliseconds{2000},
                                      .latency_spin = std::chrono::milliseconds{4000},
                                      .latency_sleep = std::chrono::milliseconds{8000},
                                      .kills = 200,
                                      .jobs_of_a_level = 10'000,
                                      .turns_of_looks = 10};
inline constexpr Lengths quick_lengths{.rounds = 3,
                                       .warm_up = std::chrono::milliseconds{150},
                                       .throughput = std::chrono::milliseconds{500},
                                       .latency_spin = std::chrono::milliseconds{1000},
                                       .latency_sleep = std::chrono::milliseconds{2000},
                                       .kills = 100,
                                       .jobs_of_a_level = 1'000,
                                       .turns_of_looks = 4};

/// Where and how long.
struct Surroundings {
  Lengths lengths;
  std::filesystem::path scratch;
};

struct Number {
  std::string name;  // the last part of a figure's name: "jobs_per_s"
  double value;
};

/// What one run gave. Notes say how it was measured (a depth, a count of kills); they are printed, but are no figures.
struct Outcome {
  std::chrono::nanoseconds measured;
  std::vector<Number> figures;
  std::vector<Number> notes;
};

using Measured = std::expected<Outcome, std::string>;

struct Workload {
  std::string name;                  // all but the last part of its figures' names
  std::vector<std::string> figures;  // the last parts
  std::function<Measured(const Surroundings&)> run;
};

std::vector<Workload> peer_workloads();
std::vector<Workload> lifecycle_workloads();
std::vector<Workload> latency_workloads();
std::vector<Workload> handover_workloads();
std::vector<Workload> growth_workloads();
std::vector<Workload> memory_workloads();
std::vector<Workload> durable_workloads();
std::vector<Workload> recovery_workloads();
std::vector<Workload> dead_letter_workloads();
std::vector<Workload> delayed_workloads();
std::vector<Workload> priority_workloads();
std::vector<Workload> level_workloads();
std::vector<Workload> foreign_workloads();
std::vector<Workload> follow_up_workloads();
std::vector<Workload> result_workloads();
std::vector<Workload> look_workloads();
std::vector<Workload> c_call_workloads();

}  // namespace ringmill::bench
