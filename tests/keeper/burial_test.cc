// Dead jobs on their way to the dead letters: one whose letter cannot be as it should holds up no other.
#include <thread>

#include "core/dead_letters/store.h"
#include "core/keeper/burial.h"
#include "tests/support/core_test.h"
#include "tests/support/dead_letters.h"
#include "tests/support/inside.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions engine_with_arena() {
  CreateOptions options = small_engine();
  options.max_payload = 4U << 20;
  options.arena = 16U << 20;
  return options;
}

/// An engine without a keeper; the burial is ours, and begins when dead jobs are there.
struct Graveyard {
  World world{engine_with_arena()};
  Inside inside{world.scratch};
  std::unique_ptr<Participant> worker = world.attach();

  JobId add_dead(std::string_view payload) {
    const JobId id = world.enqueue(*worker, payload);
    must(must(worker->claim()).reject("no"));
    return id;
  }
  /// Hands all dead jobs over in the order of `ids`.
  void hand_over(Burial& burial, const std::vector<JobId>& ids) {
    std::vector<CellIndex> cells;
    for (const JobId id : ids) cells.push_back(index_of(id));
    burial.add(cells);
  }
  bool leaves_the_table(JobId id, std::chrono::milliseconds longest = 10s) const {
    const JobTable table = inside.table();
    return await([&] { return table.word(index_of(id)).generation() > generation_of(id); }, longest);
  }
  DeadLetterStore store() const { return open_store_to_read(world.scratch.directory()); }
};

TEST(BurialInProcess, a_letter_that_is_too_large_is_cut_and_does_not_hold_up_the_others) {
  Graveyard yard;
  open_store(yard.world.scratch.directory(), {.bytes = 1U << 20});
  const LogCapture log;
  const JobId large = yard.add_dead(std::string(2U << 20, 'x'));
  const JobId small = yard.add_dead("small");
  Burial burial(yard.inside.core(), yard.inside.number());
  yard.hand_over(burial, {large, small});
  ASSERT_TRUE(yard.leaves_the_table(large));
  ASSERT_TRUE(yard.leaves_the_table(small));
  EXPECT_EQ(must(yard.store().find(large)).payload_cut_from, 2U << 20);
  EXPECT_EQ(must(yard.store().find(small)).payload_cut_from, 0U);
  EXPECT_TRUE(log.has(large.to_string()));
}

/// Letters are full and told to block: those for which there is room go all the same.
TEST(BurialInProcess, one_that_finds_no_room_does_not_hold_up_those_that_do) {
  Graveyard yard;
  auto store =
      open_store(yard.world.scratch.directory(), {.bytes = 1U << 20, .when_full = DeadLetterLimits::WhenFull::block});
  must(store.bury(std::vector{letter_of(1, std::string(700U << 10, 'x'))}));
  const LogCapture log;
  const JobId large = yard.add_dead(std::string(600U << 10, 'x'));
  std::vector<JobId> ids{large};
  for (int n = 0; n < 20; ++n) ids.push_back(yard.add_dead("small"));
  Burial burial(yard.inside.core(), yard.inside.number());
  yard.hand_over(burial, ids);
  for (const JobId id : ids) {
    if (id == large) continue;
    EXPECT_TRUE(yard.leaves_the_table(id)) << id.to_string();
  }
  EXPECT_EQ(yard.world.state_of(large), JobState::dead);
  EXPECT_FALSE(yard.leaves_the_table(large, 0s));
  EXPECT_TRUE(log.has("stay in the table"));
  must(store.remove(std::vector{letter_of(1).id}));
  EXPECT_TRUE(yard.leaves_the_table(large)) << "there is room now";
}

TEST(BurialInProcess, a_letter_of_a_corrupted_payload_goes_without_it_and_says_so) {
  Graveyard yard;
  const LogCapture log;
  const JobId hurt = yard.add_dead(std::string(100'000, 'x'));
  const JobId hurt_inline = yard.add_dead("small");
  const JobId sound = yard.add_dead("sound");
  yard.inside.table().header(index_of(hurt)).extent.store(~std::uint32_t{0});
  yard.inside.table().header(index_of(hurt_inline)).payload_bytes.store(1U << 30);
  Burial burial(yard.inside.core(), yard.inside.number());
  yard.hand_over(burial, {hurt, hurt_inline, sound});
  for (const JobId id : {hurt, hurt_inline, sound}) ASSERT_TRUE(yard.leaves_the_table(id)) << id.to_string();
  EXPECT_EQ(must(yard.store().find(hurt)).payload_cut_from, 100'000U);
  EXPECT_EQ(must(yard.store().find(sound)).payload_cut_from, 0U);
  EXPECT_EQ(as_text(must(yard.store().find(sound)).payload), "sound");
  EXPECT_TRUE(log.has("cannot be read"));
}

TEST(BurialInProcess, hundreds_of_dead_jobs_are_buried_each_once) {
  Graveyard yard;
  std::vector<JobId> ids;
  for (int n = 0; n < 200; ++n) ids.push_back(yard.add_dead(std::to_string(n)));
  std::vector<JobId> twice = ids;
  twice.insert(twice.end(), ids.begin(), ids.end());
  Burial burial(yard.inside.core(), yard.inside.number());
  yard.hand_over(burial, twice);
  for (const JobId id : ids) ASSERT_TRUE(yard.leaves_the_table(id));
  EXPECT_EQ(must(yard.store().totals()).letters, ids.size());
}

TEST(BurialInProcess, what_waits_at_the_end_of_a_term_is_buried_before_it_ends) {
  Graveyard yard;
  std::vector<JobId> ids;
  for (int n = 0; n < 200; ++n) ids.push_back(yard.add_dead(std::to_string(n)));
  {
    Burial burial(yard.inside.core(), yard.inside.number());
    yard.hand_over(burial, ids);
  }
  EXPECT_EQ(must(yard.store().totals()).letters, ids.size());
}

}  // namespace
}  // namespace ringmill::test
