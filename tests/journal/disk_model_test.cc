// The modelled disk itself: what it promises to tests of the journal, and what it never promises.
#include "tests/journal/disk_model.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t file_bytes = 16 * std::uint64_t{journal_unit};
constexpr SlotNumber slot = 3;

/// A disk with one file, and a process that has it open and may write.
struct DiskRig {
  explicit DiskRig(std::uint64_t seed = 1) : disk(std::make_shared<Disk>(seed)) {
    must(device->prepare(slot, file_bytes));
    EXPECT_TRUE(must(device->try_fence(slot)));
    spans = must(device->buffers(4, 2 * journal_unit));
  }

  /// Writes units full of `value` from buffer number `token`.
  void submit(std::uint64_t token, std::uint64_t unit, std::size_t units, unsigned char value) {
    const std::span<std::byte> data = spans.at(token).first(units * journal_unit);
    std::fill(data.begin(), data.end(), std::byte{value});
    device->submit(slot, unit * journal_unit, data, token);
  }
  /// Until nothing is in flight any more.
  std::vector<WriteOutcome> collect_all() {
    std::vector<WriteOutcome> outcomes;
    while (disk->writes_in_flight() > 0) device->collect(outcomes, 1ms);
    return outcomes;
  }

  std::shared_ptr<Disk> disk;
  std::unique_ptr<DiskModel> device = std::make_unique<DiskModel>(disk);
  std::vector<std::span<std::byte>> spans;
};

bool all_are(const std::vector<std::byte>& bytes, std::uint64_t from, std::uint64_t count, unsigned char value) {
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(from);
  return std::all_of(first, first + static_cast<std::ptrdiff_t>(count),
                     [&](std::byte b) { return b == std::byte{value}; });
}

/// How many of the unit's sectors are full of `value`.
std::uint64_t sectors_of(const Disk& disk, std::uint64_t unit, unsigned char value) {
  std::uint64_t found = 0;
  for (std::uint64_t n = 0; n < journal_unit / sector_bytes; ++n) {
    if (all_are(disk.contents(slot), unit * journal_unit + n * sector_bytes, sector_bytes, value)) ++found;
  }
  return found;
}

TEST(DiskModelInProcess, a_collected_write_survives_every_power_cut) {
  DiskRig rig;
  rig.submit(0, 2, 2, 0xaa);
  rig.collect_all();
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    ASSERT_EQ(sectors_of(*rig.disk->power_cut(seed), 2, 0xaa), 8u) << "seed " << seed;
  }
}

TEST(DiskModelInProcess, a_write_in_flight_is_kept_lost_or_torn_at_a_power_cut) {
  DiskRig rig;
  rig.submit(0, 2, 1, 0xaa);
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto after = rig.disk->power_cut(seed);
    const std::uint64_t kept = sectors_of(*after, 2, 0xaa);
    const std::uint64_t lost = sectors_of(*after, 2, 0);
    seen.insert(kept == 8 ? "whole" : lost == 8 ? "nothing" : kept + lost == 8 ? "some sectors" : "a torn sector");
  }
  EXPECT_EQ(seen, (std::set<std::string>{"whole", "nothing", "some sectors", "a torn sector"}));
}

TEST(DiskModelInProcess, a_power_cut_follows_from_its_seed) {
  DiskRig rig;
  rig.submit(0, 2, 2, 0xaa);
  rig.submit(1, 4, 2, 0xbb);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    ASSERT_EQ(rig.disk->power_cut(seed)->contents(slot), rig.disk->power_cut(seed)->contents(slot));
  }
}

TEST(DiskModelInProcess, a_power_cut_leaves_the_disk_that_it_was_asked_of_as_it_was) {
  DiskRig rig;
  rig.submit(0, 2, 2, 0xaa);
  const auto before = rig.disk->contents(slot);
  DiskModel other(rig.disk->power_cut(7));
  ASSERT_TRUE(must(other.try_fence(slot)));
  const auto spans = must(other.buffers(1, journal_unit));
  other.submit(slot, 5 * journal_unit, spans[0], 0);
  std::vector<WriteOutcome> outcomes;
  other.collect(outcomes, 1ms);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(rig.disk->contents(slot), before);
}

TEST(DiskModelInProcess, what_has_landed_is_read_and_may_still_be_lost) {
  std::uint64_t landed_and_lost = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    DiskRig rig(seed);
    rig.submit(0, 2, 1, 0xaa);
    rig.device->kill();
    rig.disk->let_all_land();
    if (sectors_of(*rig.disk, 2, 0xaa) != 8) continue;
    if (sectors_of(*rig.disk->power_cut(seed), 2, 0xaa) != 8) ++landed_and_lost;
  }
  EXPECT_GT(landed_and_lost, 10u);
}

TEST(DiskModelInProcess, a_sync_makes_durable_what_the_dead_have_written) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    DiskRig rig(seed);
    rig.submit(0, 2, 1, 0xaa);
    rig.device->kill();
    rig.disk->let_all_land();
    must(DiskModel(rig.disk).sync(slot));
    ASSERT_EQ(rig.disk->power_cut(seed)->contents(slot), rig.disk->contents(slot)) << "seed " << seed;
  }
}

TEST(DiskModelInProcess, outcomes_come_in_any_order) {
  std::set<std::vector<std::uint64_t>> orders;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    DiskRig rig(seed);
    for (std::uint64_t token = 0; token < 3; ++token) rig.submit(token, 2 + 2 * token, 1, 0xaa);
    std::vector<std::uint64_t> order;
    for (const WriteOutcome& outcome : rig.collect_all()) order.push_back(outcome.token);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST(DiskModelInProcess, writes_of_a_killed_process_hold_its_fence_until_they_have_landed) {
  std::uint64_t held = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    DiskRig rig(seed);
    rig.submit(0, 2, 1, 0xaa);
    rig.device.reset();
    DiskModel next(rig.disk);
    if (!must(next.try_fence(slot))) ++held;
    rig.disk->let_all_land();
    ASSERT_TRUE(must(next.try_fence(slot))) << "seed " << seed;
  }
  EXPECT_GT(held, 25u);
}

TEST(DiskModelInProcess, writes_of_a_killed_process_end_by_themselves_as_others_go_on) {
  DiskRig rig;
  rig.submit(0, 2, 1, 0xaa);
  rig.device.reset();
  DiskModel next(rig.disk);
  std::vector<std::byte> bytes(journal_unit);
  for (int n = 0; n < 1000; ++n) must(next.read(slot, 0, bytes));
  EXPECT_EQ(rig.disk->writes_in_flight(), 0u);
}

TEST(DiskModelInProcess, a_fence_is_had_by_one_process_at_a_time) {
  DiskRig rig;
  DiskModel other(rig.disk);
  EXPECT_FALSE(must(other.try_fence(slot)));
  rig.device->release(slot);
  EXPECT_TRUE(must(other.try_fence(slot)));
}

TEST(DiskModelInProcess, nothing_that_a_killed_process_does_has_any_effect) {
  DiskRig rig;
  rig.device->kill();
  rig.submit(0, 2, 1, 0xaa);
  std::vector<WriteOutcome> outcomes;
  rig.device->collect(outcomes, 1ms);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].error, EIO);
  EXPECT_EQ(sectors_of(*rig.disk, 2, 0), 8u);
}

TEST(DiskModelInProcess, a_write_that_fails_says_so_and_may_have_landed_in_part) {
  std::set<std::uint64_t> landed;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    DiskRig rig(seed);
    rig.disk->inject({.call = DiskCall::submit, .nth = 1, .kind = DiskFault::Kind::fail});
    rig.submit(0, 2, 1, 0xaa);
    const auto outcomes = rig.collect_all();
    ASSERT_EQ(outcomes.at(0).error, EIO);
    landed.insert(sectors_of(*rig.disk, 2, 0xaa));
  }
  EXPECT_GT(landed.size(), 4u);
}

TEST(DiskModelInProcess, a_later_sync_does_not_save_what_a_failed_one_gave_up) {
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    DiskRig rig(seed);
    rig.submit(0, 2, 1, 0xaa);
    rig.device->kill();
    rig.disk->let_all_land();
    const std::uint64_t landed = sectors_of(*rig.disk, 2, 0xaa);
    rig.disk->inject({.call = DiskCall::sync, .nth = 1, .kind = DiskFault::Kind::fail});
    DiskModel next(rig.disk);
    ASSERT_EQ(code_of(next.sync(slot)), ErrorCode::system);
    must(next.sync(slot));
    if (sectors_of(*rig.disk->power_cut(seed), 2, 0xaa) < landed) ++lost;
  }
  EXPECT_GT(lost, 25u);
}

TEST(DiskModelInProcess, a_misdirected_write_is_said_to_be_durable_and_stands_elsewhere) {
  DiskRig rig;
  rig.disk->inject({.call = DiskCall::submit, .nth = 1, .kind = DiskFault::Kind::misdirect});
  rig.submit(0, 2, 1, 0xaa);
  EXPECT_EQ(rig.collect_all().at(0).error, 0);
  std::vector<std::uint64_t> found;
  for (std::uint64_t unit = 0; unit < 16; ++unit) {
    if (sectors_of(*rig.disk, unit, 0xaa) == 8) found.push_back(unit);
  }
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0], 2u);
}

TEST(DiskModelInProcess, a_forgotten_write_is_said_to_be_durable_and_is_nowhere) {
  DiskRig rig;
  rig.disk->inject({.call = DiskCall::submit, .nth = 1, .kind = DiskFault::Kind::forget});
  rig.submit(0, 2, 1, 0xaa);
  EXPECT_EQ(rig.collect_all().at(0).error, 0);
  EXPECT_TRUE(all_are(rig.disk->contents(slot), 0, file_bytes, 0));
}

TEST(DiskModelInProcess, a_delayed_write_comes_after_later_ones) {
  DiskRig rig;
  rig.disk->inject({.call = DiskCall::submit, .nth = 1, .kind = DiskFault::Kind::delay, .calls = 20});
  rig.submit(0, 2, 1, 0xaa);
  rig.submit(1, 4, 1, 0xbb);
  const auto outcomes = rig.collect_all();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].token, 1u);
}

TEST(DiskModelInProcess, a_full_disk_refuses_new_files_until_there_is_space_again) {
  DiskRig rig;
  rig.disk->set_space(file_bytes - 1);
  EXPECT_EQ(code_of(rig.device->prepare(4, file_bytes)), ErrorCode::no_space);
  rig.disk->set_space(file_bytes);
  must(rig.device->prepare(4, file_bytes));
}

TEST(DiskModelInProcess, a_cut_while_a_file_is_made_leaves_none_or_a_short_one_or_all_of_it) {
  const auto disk = std::make_shared<Disk>(1);
  std::set<std::string> seen;
  std::uint64_t seed = 0;
  disk->watch([&] {
    for (int n = 0; n < 50; ++n) {
      const auto after = disk->power_cut(++seed);
      const bool none = after->slots().empty();
      seen.insert(none ? "none" : after->bytes_of(slot) == file_bytes ? "all" : "short");
    }
  });
  must(DiskModel(disk).prepare(slot, file_bytes));
  EXPECT_EQ(seen, (std::set<std::string>{"none", "short", "all"}));
}

TEST(DiskModelInProcess, a_short_file_is_made_anew) {
  DiskRig rig;
  must(rig.device->prepare(slot, 2 * file_bytes));
  EXPECT_EQ(must(rig.device->bytes_of(slot)), 2 * file_bytes);
}

TEST(DiskModelInProcess, a_buffer_that_is_touched_while_it_is_in_flight_is_noticed) {
  DiskRig rig;
  rig.submit(0, 2, 1, 0xaa);
  rig.spans[0][17] = std::byte{1};
  rig.collect_all();
  EXPECT_EQ(rig.disk->violations().size(), 1u);
}

TEST(DiskModelInProcess, a_write_without_the_fence_is_noticed) {
  DiskRig rig;
  rig.device->release(slot);
  rig.submit(0, 2, 1, 0xaa);
  EXPECT_EQ(rig.disk->violations().size(), 1u);
}

TEST(DiskModelInProcess, a_write_over_another_in_flight_is_noticed) {
  DiskRig rig;
  rig.submit(0, 2, 2, 0xaa);
  rig.submit(1, 3, 1, 0xbb);
  EXPECT_EQ(rig.disk->violations().size(), 1u);
}

TEST(DiskModelInProcess, a_flipped_bit_is_read_and_stays_after_a_power_cut) {
  DiskRig rig;
  rig.submit(0, 2, 1, 0xaa);
  rig.collect_all();
  rig.disk->flip(slot, 2 * journal_unit + 9, std::byte{4});
  EXPECT_EQ(rig.disk->contents(slot)[2 * journal_unit + 9], std::byte{0xae});
  EXPECT_EQ(rig.disk->power_cut(1)->contents(slot)[2 * journal_unit + 9], std::byte{0xae});
}

}  // namespace
}  // namespace ringmill::test
