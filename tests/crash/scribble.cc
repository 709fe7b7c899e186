// scribble: a hostile peer writes into each region of the shared memory, at rest and while other processes work. Each
// round is an engine of its own. Prints the seed of each round with a finding; ends with one line of JSON.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "tests/crash/scribble_rounds.h"

namespace {

using namespace ringmill::test;

struct Options {
  std::uint64_t rounds = 300;
  std::uint64_t seed = 0;
  std::string region;
  std::string mode;
};

int usage() {
  fmt::print(stderr, "usage: scribble [--rounds N] [--seed S] [--region R] [--mode rest|live]\n");
  return 2;
}

struct Counts {
  std::uint64_t rounds = 0;
  std::uint64_t crashed = 0;
  std::uint64_t hung = 0;
  std::uint64_t grew = 0;
  std::uint64_t slowest_ms = 0;
};

void run_region(std::string_view region, ScribbleMode mode, const Options& options, Counts& counts) {
  Counts here;
  for (std::uint64_t n = 0; n < options.rounds; ++n) {
    const std::uint64_t seed = options.seed + n;
    const ScribbleEnd end = run_scribble_round(mode, region, seed);
    ++here.rounds;
    here.slowest_ms = std::max(here.slowest_ms, end.ms);
    if (end.how == ScribbleEnd::How::fine) continue;
    here.crashed += end.how == ScribbleEnd::How::crashed ? 1 : 0;
    here.hung += end.how == ScribbleEnd::How::hung ? 1 : 0;
    here.grew += end.how == ScribbleEnd::How::grew ? 1 : 0;
    fmt::print("{} {} seed {}: {} (status {}, {} KiB, {} ms)\n", region, mode == ScribbleMode::live ? "live" : "rest",
               seed, name_of(end.how), end.status, end.most_resident_kib, end.ms);
    std::fflush(stdout);
  }
  fmt::print("{:<18} {} {:>5} rounds, {} crashed, {} hung, {} grew, slowest {} ms\n", region,
             mode == ScribbleMode::live ? "live" : "rest", here.rounds, here.crashed, here.hung, here.grew,
             here.slowest_ms);
  std::fflush(stdout);
  counts.rounds += here.rounds;
  counts.crashed += here.crashed;
  counts.hung += here.hung;
  counts.grew += here.grew;
  counts.slowest_ms = std::max(counts.slowest_ms, here.slowest_ms);
}

}  // namespace

int main(int count, char** words) {
  Options options;
  options.seed = std::random_device{}();
  for (int n = 1; n < count; n += 2) {
    const std::string_view word = words[n];
    if (n + 1 == count) return usage();
    if (word == "--rounds") {
      options.rounds = std::strtoull(words[n + 1], nullptr, 10);
    } else if (word == "--seed") {
      options.seed = std::strtoull(words[n + 1], nullptr, 10);
    } else if (word == "--region") {
      options.region = words[n + 1];
    } else if (word == "--mode") {
      options.mode = words[n + 1];
    } else {
      return usage();
    }
  }
  fmt::print("seed {}, {} rounds of each region\n", options.seed, options.rounds);
  Counts counts;
  for (const std::string& region : scribbled_regions()) {
    if (!options.region.empty() && region != options.region) continue;
    if (options.mode != "live") run_region(region, ScribbleMode::at_rest, options, counts);
    if (options.mode != "rest") run_region(region, ScribbleMode::live, options, counts);
  }
  if (counts.rounds == 0) return usage();
  const nlohmann::ordered_json result{{"rounds", counts.rounds},   {"seed", options.seed},
                                      {"crashed", counts.crashed}, {"hung", counts.hung},
                                      {"grew", counts.grew},       {"slowest_ms", counts.slowest_ms}};
  fmt::print("{}\n", result.dump());
  return counts.crashed + counts.hung + counts.grew == 0 ? 0 : 1;
}
