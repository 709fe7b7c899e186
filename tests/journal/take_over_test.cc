// Hazard 4 in docs/hazards.md: a killed keeper's writes land after its death. RINGMILL_JOURNAL_KILLS says how many are
// killed.
#include "core/journal/take_over.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/journal/reader.h"
#include "core/journal/writer.h"
#include "tests/journal/device_test_support.h"
#include "tests/support/child.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using NoRoom = JournalWriter::NoRoom;
using std::chrono::milliseconds;

constexpr std::uint64_t own_engine = 0x7171;
constexpr JournalGeometry four_mebibytes{.segment_bytes = std::uint64_t{4} << 20, .most_segments = 8};

/// What a keeper tells from beyond its death.
struct Told {
  std::atomic<std::uint64_t> durable{0};
  std::atomic<std::uint64_t> in_flight{0};
  std::atomic<std::uint64_t> segment{0};
};

class SharedTold {
 public:
  SharedTold()
      : told_(new (::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Told) {}
  SharedTold(const SharedTold&) = delete;
  SharedTold& operator=(const SharedTold&) = delete;
  ~SharedTold() { ::munmap(told_, sizeof(Told)); }
  Told* operator->() const noexcept { return told_; }

 private:
  Told* told_;
};

std::unique_ptr<JournalWriter> take_over(const ScratchFolder& folder) {
  return must(JournalWriter::open(open_device(folder.path(), DeviceChoice::io_uring), own_engine, four_mebibytes, 1));
}

/// A block with one job, whose id and payload follow from the block's number.
bool write_block(JournalWriter& writer, std::uint32_t payload_bytes) {
  const auto room = writer.room(BlockBuilder::bytes_of_job(payload_bytes));
  if (!room) {
    if (room.error() == NoRoom::segments && writer.oldest_segment() < writer.newest_segment()) writer.retire_oldest();
    writer.collect(milliseconds(10));
    return false;
  }
  const std::uint64_t number = writer.open_block();
  const auto payload = (*room)->append_job({.payload_bytes = payload_bytes, .id = number});
  std::ranges::fill(payload, static_cast<std::byte>(number));
  writer.flush();
  return true;
}

/// Writes for ever, with as many blocks in flight as the writer has buffers.
int keep(const ScratchFolder& folder, const SharedTold& told, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto writer = take_over(folder);
  while (!writer->error()) {
    write_block(*writer, static_cast<std::uint32_t>(random() % (most_journaled_payload / 8)) * 8);
    writer->collect(std::chrono::nanoseconds(0));
    told->in_flight = writer->blocks_in_flight();
    told->segment = writer->open_segment();
    told->durable = writer->durable_block();
  }
  return 1;
}

/// Each block says what it should.
struct Checked final : JournalVisitor {
  std::uint64_t number = 0;
  std::uint64_t wrong = 0;

  void on_block(const JournalPlace&, const BlockHead& head) override {
    if (number != 0 && head.number != number + 1) ++wrong;
    number = head.number;
  }
  void on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) override {
    const auto expected = static_cast<std::byte>(place.block);
    const bool is_right = std::ranges::all_of(payload, [expected](std::byte byte) { return byte == expected; });
    if (record.id != place.block || !is_right) ++wrong;
  }
  void on_ended(const JournalPlace&, JobId) override { ++wrong; }
  void on_attempts(const JournalPlace&, JobId, std::uint16_t) override { ++wrong; }
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override { ++wrong; }
};

void expect_whole(const ScratchFolder& folder, std::uint64_t least_block) {
  const auto device = open_device(folder.path(), DeviceChoice::pwritev2);
  Checked checked;
  const JournalReport report = must(read_journal(*device, own_engine, checked));
  for (const JournalDamage& damage : report.damage) {
    ADD_FAILURE() << damage.reason << " in segment " << damage.segment << " at " << damage.offset;
  }
  EXPECT_EQ(checked.wrong, 0U);
  EXPECT_GE(report.last_block, least_block);
  EXPECT_LE(report.slots.size(), four_mebibytes.most_segments);
}

TEST(JournalTakeOver, a_keeper_that_is_killed_with_writes_in_flight_loses_nothing_that_was_durable) {
  const char* given = std::getenv("RINGMILL_JOURNAL_KILLS");
  const int kills = given != nullptr ? std::atoi(given) : 30;
  std::mt19937_64 random(printed_seed());
  const ScratchFolder folder;
  const SharedTold told;
  int with_writes = 0;
  int moved_on = 0;
  for (int kill = 0; kill < kills && !testing::Test::HasFailure(); ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    const std::uint64_t seed = random();
    const std::uint64_t wanted = told->durable + 1 + random() % 40;
    Child keeper([&] { return keep(folder, told, seed); });
    ASSERT_TRUE(await([&] { return told->durable >= wanted; }));
    with_writes += told->in_flight > 0 ? 1 : 0;
    keeper.kill();

    const std::uint64_t durable = told->durable;
    const auto writer = take_over(folder);
    ASSERT_GE(writer->durable_block(), durable);
    moved_on += writer->newest_segment() > told->segment ? 1 : 0;
    const std::uint64_t first = writer->open_block();
    for (int blocks = 0; blocks < 3;) blocks += write_block(*writer, 1000) ? 1 : 0;
    ASSERT_TRUE(await([&] {
      writer->collect(milliseconds(10));
      return writer->blocks_in_flight() == 0 || writer->error();
    }));
    ASSERT_FALSE(writer->error());
    told->durable = writer->durable_block();
    expect_whole(folder, first + 2);
  }
  fmt::print("{} kills, {} with writes in flight; {} times the next keeper took another segment\n", kills, with_writes,
             moved_on);
  EXPECT_GT(with_writes, 0) << "no kill has tested anything";
}

TEST(JournalTakeOver, a_fence_that_another_open_file_holds_sends_the_next_keeper_to_another_segment) {
  const ScratchFolder folder;
  std::uint64_t durable = 0;
  {
    const auto writer = take_over(folder);
    for (int blocks = 0; blocks < 3;) blocks += write_block(*writer, 1000) ? 1 : 0;
    ASSERT_TRUE(await([&] {
      writer->collect(milliseconds(10));
      return writer->blocks_in_flight() == 0;
    }));
    durable = writer->durable_block();
  }
  const auto holder = open_device(folder.path(), DeviceChoice::pwritev2);
  ASSERT_TRUE(await([&] { return must(holder->try_fence(0)); }));
  const auto writer = take_over(folder);
  EXPECT_EQ(writer->newest_segment(), 2U);
  EXPECT_EQ(writer->durable_block(), durable);
  EXPECT_EQ(writer->open_block(), durable + 1);
}

}  // namespace
}  // namespace ringmill::test
