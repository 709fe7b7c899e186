// The ring of hints: order, laps, room, counters that lag behind, and corrupted counters.
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/invariant.h"
#include "ipc/ring.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t ring_slots = 8;

/// A level and its slots in private memory, zeroed as a new segment is.
struct RingRig {
  LevelEntry level{};
  std::array<std::atomic<std::uint64_t>, ring_slots> slots{};

  Ring view() { return Ring(&level, slots.data(), ring_slots); }
};

constexpr auto all_dead = [](std::uint64_t) { return false; };
constexpr auto all_live = [](std::uint64_t) { return true; };

/// What stands from the head to the first slot that was not filled in its lap.
std::vector<std::uint64_t> hints_of(const Ring& ring) {
  std::vector<std::uint64_t> hints;
  for (std::uint64_t position = ring.head();; ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) != Ring::Turn::now) return hints;
    hints.push_back(Ring::hint_of(word));
  }
}

TEST(RingInProcess, zeroed_memory_is_an_empty_ring) {
  RingRig rig;
  const Ring ring = rig.view();
  EXPECT_EQ(ring.head(), ring_slots);
  EXPECT_EQ(ring.tail(), ring_slots);
  EXPECT_EQ(ring.turn_of(ring.slot(ring.head()), ring.head()), Ring::Turn::before);
}

TEST(RingInProcess, hints_stand_in_the_order_in_which_they_were_pushed) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= 5; ++hint) ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
  EXPECT_EQ(hints_of(ring), (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
}

TEST(RingInProcess, a_full_ring_moves_no_hint) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= ring_slots; ++hint) ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
  const std::uint64_t head = ring.head();
  EXPECT_EQ(ring.push(ring_slots + 1, all_live), Ring::Pushed::full);
  EXPECT_EQ(ring.head(), head);  // a claimer beside us finds the first one first, at each moment
  EXPECT_EQ(ring.tail(), head + ring_slots);
}

TEST(RingInProcess, order_is_kept_over_many_laps) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= 100 * ring_slots; ++hint) {
    ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
    ASSERT_EQ(hints_of(ring), std::vector<std::uint64_t>{hint});
    ring.raise_head(ring.tail());
  }
}

TEST(RingInProcess, a_ring_full_of_live_hints_says_full) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= ring_slots; ++hint) ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
  EXPECT_EQ(ring.push(99, all_live), Ring::Pushed::full);
}

TEST(RingInProcess, a_refused_push_loses_none_of_the_live_hints) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= ring_slots; ++hint) ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
  ASSERT_EQ(ring.push(99, all_live), Ring::Pushed::full);
  EXPECT_EQ(hints_of(ring), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(RingInProcess, a_full_ring_makes_room_where_its_first_hint_is_dead) {
  RingRig rig;
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= ring_slots; ++hint) ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
  ASSERT_EQ(ring.push(99, [](std::uint64_t hint) { return hint != 1; }), Ring::Pushed::done);
  EXPECT_EQ(hints_of(ring), (std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7, 8, 99}));
}

TEST(RingInProcess, a_tail_that_lags_behind_is_helped_on) {
  RingRig rig;
  Ring ring = rig.view();
  // Killed between ring.P2 and ring.P3: the slots are filled, the tail does not say so.
  std::uint64_t position = ring.tail();
  for (std::uint64_t hint = 1; hint <= 3; ++hint) ASSERT_EQ(ring.push_at(position, hint, all_live), Ring::Pushed::done);
  ASSERT_EQ(ring.tail(), ring_slots);
  Ring other = rig.view();
  ASSERT_EQ(other.push(4, all_live), Ring::Pushed::done);
  EXPECT_EQ(hints_of(ring), (std::vector<std::uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(ring.tail(), ring_slots + 4);
}

TEST(RingInProcess, a_batch_shows_in_the_tail_when_it_is_raised) {
  RingRig rig;
  Ring ring = rig.view();
  std::uint64_t position = ring.tail();
  for (std::uint64_t hint = 1; hint <= 3; ++hint) ASSERT_EQ(ring.push_at(position, hint, all_live), Ring::Pushed::done);
  ring.raise_tail(position);
  EXPECT_EQ(ring.tail(), ring_slots + 3);
}

TEST(RingInProcess, a_view_with_an_old_head_pushes_into_the_room_that_others_made) {
  RingRig rig;
  Ring old_view = rig.view();
  ASSERT_EQ(old_view.push(1, all_live), Ring::Pushed::done);
  Ring other = rig.view();
  for (std::uint64_t hint = 2; hint <= ring_slots; ++hint) ASSERT_EQ(other.push(hint, all_live), Ring::Pushed::done);
  other.raise_head(other.tail());
  EXPECT_EQ(old_view.push(9, all_live), Ring::Pushed::done);
  EXPECT_EQ(hints_of(old_view), std::vector<std::uint64_t>{9});
}

TEST(RingInProcess, head_and_tail_never_go_back) {
  const SharedMemoryDistrust distrust;  // the positions that are raised to were never filled
  RingRig rig;
  Ring ring = rig.view();
  ring.raise_head(ring_slots + 5);
  ring.raise_tail(ring_slots + 6);
  ring.raise_head(ring_slots + 2);
  ring.raise_tail(ring_slots + 1);
  EXPECT_EQ(ring.head(), ring_slots + 5);
  EXPECT_EQ(ring.tail(), ring_slots + 6);
}

TEST(RingInProcess, order_is_kept_when_the_lap_field_wraps) {
  RingRig rig;
  const std::uint64_t last_lap = Ring::lap_mask;
  const std::uint64_t begin = last_lap * ring_slots;
  for (auto& slot : rig.slots) slot.store((last_lap - 1) << Ring::hint_bits);
  rig.level.head.store(begin);
  rig.level.tail.store(begin);
  Ring ring = rig.view();
  for (std::uint64_t hint = 1; hint <= 4 * ring_slots; ++hint) {
    ASSERT_EQ(ring.push(hint, all_live), Ring::Pushed::done);
    ASSERT_EQ(hints_of(ring), std::vector<std::uint64_t>{hint});
    ring.raise_head(ring.tail());
  }
}

TEST(RingInProcess, a_push_ends_whatever_the_counters_say) {
  const SharedMemoryDistrust distrust;
  constexpr std::array<std::uint64_t, 6> values{
      0, 1, ring_slots, ring_slots + 3, std::uint64_t{1} << 40, ~std::uint64_t{0}};
  for (const std::uint64_t head : values) {
    for (const std::uint64_t tail : values) {
      RingRig rig;
      rig.level.head.store(head);
      rig.level.tail.store(tail);
      Ring ring = rig.view();
      int asked = 0;
      static_cast<void>(ring.push(7, [&asked](std::uint64_t) { return ++asked % 2 == 0; }));
      EXPECT_LE(asked, 1000) << "head " << head << " tail " << tail;
    }
  }
}

TEST(RingInProcess, a_push_ends_whatever_the_slots_say) {
  const SharedMemoryDistrust distrust;
  for (std::uint64_t lap = 0; lap < 6; ++lap) {
    RingRig rig;
    for (std::uint64_t n = 0; n < ring_slots; ++n) rig.slots[n].store((lap * (n + 1)) << Ring::hint_bits | n);
    Ring ring = rig.view();
    int asked = 0;
    static_cast<void>(ring.push(7, [&asked](std::uint64_t) { return ++asked > 0; }));
    EXPECT_LE(asked, 1000) << "lap " << lap;
  }
}

TEST(RingInProcess, each_hint_of_many_pushers_stands_once) {
  constexpr std::uint64_t pushers = 4;
  constexpr std::uint64_t each = 2000;
  constexpr std::uint64_t room = 16384;
  LevelEntry level{};
  const auto slots = std::make_unique<std::atomic<std::uint64_t>[]>(room);
  std::vector<std::thread> threads;
  for (std::uint64_t pusher = 0; pusher < pushers; ++pusher) {
    threads.emplace_back([&, pusher] {
      Ring ring(&level, slots.get(), room);
      for (std::uint64_t n = 0; n < each; ++n) ring.push(pusher * each + n + 1, all_dead);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::uint64_t> hints = hints_of(Ring(&level, slots.get(), room));
  EXPECT_EQ(hints.size(), pushers * each);
  EXPECT_EQ(std::set<std::uint64_t>(hints.begin(), hints.end()).size(), pushers * each);
}

TEST(RingInProcess, each_of_many_pushers_keeps_its_own_order) {
  constexpr std::uint64_t each = 2000;
  constexpr std::uint64_t room = 16384;
  LevelEntry level{};
  const auto slots = std::make_unique<std::atomic<std::uint64_t>[]>(room);
  std::vector<std::thread> threads;
  for (std::uint64_t pusher = 0; pusher < 4; ++pusher) {
    threads.emplace_back([&, pusher] {
      Ring ring(&level, slots.get(), room);
      for (std::uint64_t n = 0; n < each; ++n) ring.push(pusher << 20 | (n + 1), all_dead);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::array<std::uint64_t, 4> last{};
  for (const std::uint64_t hint : hints_of(Ring(&level, slots.get(), room))) {
    EXPECT_EQ(hint & 0xfffff, last[hint >> 20] + 1);
    last[hint >> 20] = hint & 0xfffff;
  }
}

}  // namespace
}  // namespace ringmill::test
