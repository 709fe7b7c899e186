// The state word: its fields do not touch each other.
#include <cstdint>

#include <gtest/gtest.h>

#include "ipc/state_word.h"

namespace ringmill::test {
namespace {

TEST(StateWordInProcess, the_fields_come_back_at_their_least_and_most) {
  for (const std::uint64_t generation : {std::uint64_t{1}, most_generation}) {
    for (const std::uint32_t owner : {0U, 1023U}) {
      for (const CellState state : {CellState::free, CellState::burying}) {
        for (const std::uint64_t version : {std::uint64_t{0}, std::uint64_t{1023}}) {
          const StateWord word = StateWord::make(generation, owner, state, version);
          EXPECT_EQ(word.generation(), generation);
          EXPECT_EQ(word.owner(), owner);
          EXPECT_EQ(word.state(), state);
          EXPECT_EQ(word.version(), version);
        }
      }
    }
  }
}

TEST(StateWordInProcess, a_transition_raises_the_version_and_keeps_the_generation) {
  const StateWord next = StateWord::make(7, 0, CellState::queued, 41).next(CellState::running, 3);
  EXPECT_EQ(next, StateWord::make(7, 3, CellState::running, 42));
}

TEST(StateWordInProcess, a_version_that_wraps_leaves_the_other_fields_alone) {
  const StateWord next = StateWord::make(7, 5, CellState::running, 1023).next(CellState::running, 5);
  EXPECT_EQ(next, StateWord::make(7, 5, CellState::running, 0));
}

TEST(StateWordInProcess, an_id_names_its_cell_and_its_generation) {
  const JobId id = job_id_of(StateWord::make(most_generation, 0, CellState::queued, 3), index_mask);
  EXPECT_EQ(index_of(id), index_mask);
  EXPECT_EQ(generation_of(id), most_generation);
}

}  // namespace
}  // namespace ringmill::test
