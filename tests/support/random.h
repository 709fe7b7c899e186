// Randomness that can be repeated: the seed is printed, and RINGMILL_SEED sets it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include <fmt/core.h>

namespace ringmill::test {

inline std::uint64_t printed_seed() {
  const char* given = std::getenv("RINGMILL_SEED");
  const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device{}();
  fmt::print("seed {} (repeat with RINGMILL_SEED={})\n", seed, seed);
  return seed;
}

}  // namespace ringmill::test
