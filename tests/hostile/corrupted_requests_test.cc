// Words in shared memory by which any process asks the keeper for something: a nonsense wish costs a look, no more.
#include <fstream>

#include "core/durability/journal_thread.h"
#include "ipc/invariant.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

/// Its tests write over shared memory: no invariant is asserted meanwhile.
struct CorruptedRequestsInProcess : ::testing::Test {
  SharedMemoryDistrust distrust;
};

using namespace std::chrono_literals;

struct Wishes {
  World world;
  Inside inside{world.scratch};
  Signals& signals = inside.segment().signals();
  const std::uint64_t limit = signals.generation_limit.load();

  void put_cell_at(std::uint64_t generation) {
    inside.table().state(100).store(StateWord::make(generation, 0, CellState::free, 0).bits());
  }
  /// How many steps the limit has gone up, in memory and in the directory, when the keeper has taken so many turns.
  std::uint64_t steps_after(int turns) {
    for (int n = 0; n < turns; ++n) inside.work().turn(false);
    std::ifstream file(world.scratch.directory() / "generation");
    std::uint64_t durable = 0;
    file >> durable;
    EXPECT_EQ(durable, signals.generation_limit.load());
    return (durable - limit) / generation_step;
  }
};

TEST_F(CorruptedRequestsInProcess, a_request_for_generations_that_no_cell_confirms_is_reset) {
  Wishes wishes;
  wishes.signals.generation_wanted.store(~std::uint64_t{0});
  EXPECT_EQ(wishes.steps_after(40), 0U);
  EXPECT_LE(wishes.signals.generation_wanted.load(), wishes.limit);
}

TEST_F(CorruptedRequestsInProcess, a_request_that_a_cell_confirms_is_granted_once_however_much_it_asks_for) {
  Wishes wishes;
  wishes.put_cell_at(wishes.limit - 10);
  wishes.signals.generation_wanted.store(~std::uint64_t{0});
  EXPECT_EQ(wishes.steps_after(40), 1U);
}

TEST_F(CorruptedRequestsInProcess, a_request_because_of_a_corrupted_cell_is_not_granted) {
  for (const std::uint64_t beyond : {std::uint64_t{2}, std::uint64_t{1} << 30}) {
    Wishes wishes;
    wishes.put_cell_at(wishes.limit + beyond);
    wishes.signals.generation_wanted.store(~std::uint64_t{0});
    EXPECT_EQ(wishes.steps_after(40), 0U);
  }
}

TEST_F(CorruptedRequestsInProcess, a_cell_just_beyond_the_limit_counts_because_it_was_used_up_to_it) {
  Wishes wishes;
  wishes.put_cell_at(wishes.limit + 1);
  wishes.signals.generation_wanted.store(wishes.limit + 1 + generation_margin);
  EXPECT_EQ(wishes.steps_after(1), 1U);
}

TEST_F(CorruptedRequestsInProcess, a_limit_that_differs_from_the_directory_is_corrected_and_logged) {
  Wishes wishes;
  EXPECT_EQ(wishes.steps_after(1), 0U);
  const LogCapture log;
  wishes.signals.generation_limit.store(most_generation);
  EXPECT_EQ(wishes.steps_after(1), 0U);
  EXPECT_EQ(wishes.signals.generation_limit.load(), wishes.limit);
  EXPECT_TRUE(log.has("generation"));
}

TEST_F(CorruptedRequestsInProcess, a_limit_below_what_the_directory_allows_is_raised_to_it) {
  Wishes wishes;
  wishes.signals.generation_limit.store(1);
  EXPECT_EQ(wishes.steps_after(1), 0U);
  EXPECT_EQ(wishes.signals.generation_limit.load(), wishes.limit);
}

TEST_F(CorruptedRequestsInProcess, a_request_for_a_round_that_no_ticket_names_costs_a_round_or_two) {
  World world;
  const auto producer = world.attach(Role::producer);
  const auto core = world.scratch.open_core();
  JournalWords& words = core->segment.journal();
  JournalWork work(*core, DeviceChoice::pwritev2);
  world.enqueue(*producer, "job");
  work.finish(10s);
  const std::uint64_t before = words.round_started.load();
  words.round_wanted.store(~std::uint64_t{0});
  for (int turn = 0; turn < 200; ++turn) work.turn(1ms);
  EXPECT_LE(words.round_started.load(), before + 2);
  EXPECT_LE(words.round_wanted.load(), words.round_started.load());
}

TEST_F(CorruptedRequestsInProcess, a_level_that_is_called_overfull_is_looked_at_once) {
  Wishes wishes;
  for (std::uint32_t n = 0; n < wishes.inside.segment().geometry().level_count; ++n) {
    wishes.inside.segment().level(n).overflow.store(~std::uint32_t{0});
  }
  ASSERT_TRUE(await([&] {
    wishes.inside.work().turn(false);
    return wishes.inside.segment().level(0).overflow.load() == 0;
  }));
  for (int turn = 0; turn < 100; ++turn) wishes.inside.work().turn(false);
  EXPECT_EQ(wishes.inside.segment().level(0).overflow.load(), 0U);
}

}  // namespace
}  // namespace ringmill::test
