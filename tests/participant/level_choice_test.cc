// Which level a claim looks at: shares by weight, or urgency alone.
#include <array>
#include <vector>

#include "core/participant/level_choice.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"

namespace ringmill::test {
namespace {

constexpr std::array<std::uint32_t, 3> levels{4, 7, 9};
constexpr std::array<std::uint32_t, 3> weights{6, 3, 1};

LevelChoice choice_of(Policy policy) {
  LevelChoice choice;
  choice.subscribe(levels, weights, policy);
  return choice;
}

TEST(LevelChoiceInProcess, in_each_round_a_level_is_first_as_often_as_its_weight_says) {
  LevelChoice choice = choice_of(Policy::weighted);
  for (int round = 0; round < 20; ++round) {
    std::array<int, 3> turns{};
    for (int turn = 0; turn < 10; ++turn) ++turns[choice.first()];
    EXPECT_EQ(turns, (std::array<int, 3>{6, 3, 1}));
  }
}

TEST(LevelChoiceInProcess, strict_begins_with_the_most_urgent_each_time) {
  LevelChoice choice = choice_of(Policy::strict);
  for (int turn = 0; turn < 20; ++turn) EXPECT_EQ(choice.first(), 0U);
}

TEST(LevelChoiceInProcess, each_level_is_looked_at_once_whichever_is_first) {
  const LevelChoice choice = choice_of(Policy::weighted);
  using Order = std::vector<std::uint32_t>;
  const auto order = [&choice](std::uint32_t first) {
    Order seen;
    for (std::uint32_t n = 0; n < choice.count(); ++n) seen.push_back(choice.at(n, first));
    return seen;
  };
  EXPECT_EQ(order(0), (Order{4, 7, 9}));
  EXPECT_EQ(order(1), (Order{7, 4, 9}));
  EXPECT_EQ(order(2), (Order{9, 4, 7}));
}

/// All three levels have jobs, more than are claimed.
struct FullLevels : World {
  std::unique_ptr<Participant> worker = attach();

  FullLevels() {
    for (std::uint16_t n = 0; n < 3; ++n) {
      for (int job = 0; job < 80; ++job) {
        must(worker->enqueue({.kind = kind, .level = level_at(engine, n)}));
      }
    }
  }
  std::array<int, 3> claim(int count, Policy policy) {
    must(worker->subscribe({.policy = policy, .prefetch = 1}));
    const Inside inside(scratch);
    std::array<int, 3> claimed{};
    for (int n = 0; n < count; ++n) {
      Job job = must(worker->claim());
      ++claimed[number_of(inside.segment(), job.level())];
      must(job.complete());
    }
    return claimed;
  }
};

TEST(LevelsInProcess, full_levels_are_claimed_by_their_weights) {
  FullLevels world;
  EXPECT_EQ(world.claim(100, Policy::weighted), (std::array<int, 3>{60, 30, 10}));
}

TEST(LevelsInProcess, strict_takes_the_most_urgent_level_alone_while_it_has_jobs) {
  FullLevels world;
  EXPECT_EQ(world.claim(80, Policy::strict), (std::array<int, 3>{80, 0, 0}));
}

TEST(LevelsInProcess, strict_goes_on_with_the_next_level_when_the_first_is_empty) {
  FullLevels world;
  EXPECT_EQ(world.claim(170, Policy::strict), (std::array<int, 3>{80, 80, 10}));
}

TEST(LevelsInProcess, a_worker_of_one_level_takes_no_job_of_another) {
  FullLevels world;
  must(world.worker->subscribe({.levels = {level_at(world.engine, 2)}}));
  int count = 0;
  while (auto job = world.worker->claim()) {
    EXPECT_EQ(job->level(), level_at(world.engine, 2));
    must(job->complete());
    ++count;
  }
  EXPECT_EQ(count, 80);
}

}  // namespace
}  // namespace ringmill::test
