#include "core/journal/writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "core/journal/reader.h"
#include "tests/journal/device_test_support.h"
#include "tests/journal/disk_model.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using NoRoom = JournalWriter::NoRoom;
using std::chrono::nanoseconds;

constexpr std::uint64_t engine = 0x5151;
constexpr JournalGeometry small{.segment_bytes = 16 * journal_unit, .most_segments = 8};
/// Each block of these tests has one unit, but for the one that is kept free: so many fit into a segment.
constexpr std::uint64_t blocks_in_segment = 14;

/// What a reader finds.
struct Contents final : JournalVisitor {
  std::set<std::uint64_t> ids;
  std::vector<BlockHead> heads;
  JournalReport report;

  void on_block(const JournalPlace&, const BlockHead& head) override { heads.push_back(head); }
  void on_job(const JournalPlace&, const JobRecord&, std::span<const std::byte>) override {}
  void on_ended(const JournalPlace&, JobId id) override { ids.insert(id.value()); }
  void on_attempts(const JournalPlace&, JobId, std::uint16_t) override {}
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}
};

Contents contents_of(const Disk& disk) {
  DiskModel device(disk.copy());
  Contents contents;
  contents.report = must(read_journal(device, engine, contents));
  return contents;
}

/// A writer on a disk model.
struct Keeper {
  explicit Keeper(std::shared_ptr<Disk> on, const JournalGeometry& geometry = small, std::uint64_t least_epoch = 1)
      : disk(std::move(on)) {
    auto device = std::make_unique<DiskModel>(disk);
    model = device.get();
    writer = must(JournalWriter::open(std::move(device), engine, geometry, least_epoch));
  }

  /// One record in a block of its own. False: no room, and why.
  bool put(std::uint64_t id, bool copying_forward = false) {
    for (int tries = 0; tries < 10'000; ++tries) {
      const auto room = writer->room(sizeof(ShortRecord), copying_forward);
      if (room) {
        (*room)->append_ended(JobId(id));
        writer->flush();
        return true;
      }
      why = room.error();
      if (why != NoRoom::buffers) return false;
      writer->collect(nanoseconds(1));
    }
    throw std::runtime_error("buffers do not come back");
  }
  void settle() {
    for (int tries = 0; tries < 10'000 && writer->blocks_in_flight() > 0 && !writer->error(); ++tries) {
      writer->collect(nanoseconds(1));
    }
  }
  void put_durably(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t id = first; id <= last; ++id) ASSERT_TRUE(put(id));
    settle();
    ASSERT_FALSE(writer->error());
  }
  /// Writes until there is no room; the ids count on from `id`.
  void fill(std::uint64_t& id, bool copying_forward = false) {
    while (put(id, copying_forward)) ++id;
    settle();
  }

  std::shared_ptr<Disk> disk;
  DiskModel* model = nullptr;
  std::unique_ptr<JournalWriter> writer;
  NoRoom why = NoRoom::failed;
};

class JournalWriterInProcess : public testing::Test {
 protected:
  ~JournalWriterInProcess() override {
    for (const std::string& violation : disk_->violations()) ADD_FAILURE() << violation;
  }
  /// The write number `nth`, from 1 on, counted from now.
  void inject(DiskCall call, std::uint64_t nth, DiskFault::Kind kind, std::uint64_t calls = 3) {
    disk_->inject({.call = call, .nth = disk_->calls(call) + nth, .kind = kind, .calls = calls});
  }

  std::shared_ptr<Disk> disk_ = std::make_shared<Disk>(printed_seed());
};

TEST_F(JournalWriterInProcess, a_new_journal_begins_with_segment_one_and_block_one) {
  const Keeper keeper(disk_, small, 7);
  EXPECT_EQ(keeper.writer->oldest_segment(), 1U);
  EXPECT_EQ(keeper.writer->newest_segment(), 1U);
  EXPECT_EQ(keeper.writer->open_segment(), 1U);
  EXPECT_EQ(keeper.writer->open_block(), 1U);
  EXPECT_EQ(keeper.writer->durable_block(), 0U);
  EXPECT_EQ(keeper.writer->epoch(), 7U);
  EXPECT_EQ(keeper.writer->free_segments(), 7U);
}

TEST_F(JournalWriterInProcess, what_was_written_is_read_back) {
  Keeper keeper(disk_);
  keeper.put_durably(1, 40);
  EXPECT_EQ(keeper.writer->durable_block(), 40U);
  const Contents found = contents_of(*disk_);
  EXPECT_EQ(found.ids.size(), 40U);
  EXPECT_TRUE(found.report.damage.empty());
  EXPECT_EQ(found.report.last_block, 40U);
  EXPECT_EQ(found.report.last_segment, keeper.writer->newest_segment());
}

TEST_F(JournalWriterInProcess, records_share_a_block_until_it_is_flushed) {
  Keeper keeper(disk_);
  for (std::uint64_t id = 1; id <= 50; ++id) {
    (*keeper.writer->room(sizeof(ShortRecord)))->append_ended(JobId(id));
    EXPECT_EQ(keeper.writer->open_block(), 1U);
  }
  EXPECT_EQ(keeper.writer->flush(), 1U);
  EXPECT_EQ(keeper.writer->flush(), 1U) << "there was nothing in it";
  keeper.settle();
  EXPECT_EQ(contents_of(*disk_).ids.size(), 50U);
}

TEST_F(JournalWriterInProcess, a_block_counts_only_when_all_before_it_are_durable) {
  Keeper keeper(disk_);
  inject(DiskCall::submit, 1, DiskFault::Kind::delay, 50);
  for (const std::uint64_t id : {1U, 2U, 3U}) EXPECT_TRUE(keeper.put(id));
  for (int n = 0; n < 40; ++n) keeper.writer->collect(nanoseconds(1));
  EXPECT_EQ(keeper.writer->durable_block(), 0U);
  EXPECT_EQ(keeper.writer->blocks_in_flight(), 3U);
  keeper.settle();
  EXPECT_EQ(keeper.writer->durable_block(), 3U);
}

TEST_F(JournalWriterInProcess, a_head_says_what_was_durable_when_it_was_written) {
  Keeper keeper(disk_);
  keeper.put_durably(1, 1);
  inject(DiskCall::submit, 1, DiskFault::Kind::delay, 20);
  EXPECT_TRUE(keeper.put(2));
  EXPECT_TRUE(keeper.put(3));
  keeper.settle();
  keeper.put_durably(4, 4);
  std::vector<std::uint64_t> said;
  for (const BlockHead& head : contents_of(*disk_).heads) said.push_back(head.durable);
  EXPECT_EQ(said, (std::vector<std::uint64_t>{0, 1, 1, 3}));
}

TEST_F(JournalWriterInProcess, after_a_failed_write_nothing_is_acknowledged_any_more) {
  Keeper keeper(disk_);
  keeper.put_durably(1, 1);
  inject(DiskCall::submit, 1, DiskFault::Kind::fail);
  EXPECT_TRUE(keeper.put(2));
  keeper.settle();
  ASSERT_TRUE(keeper.writer->error());
  EXPECT_EQ(keeper.writer->error()->code(), ErrorCode::system);
  EXPECT_FALSE(keeper.put(3));
  EXPECT_EQ(keeper.why, NoRoom::failed);
  for (int n = 0; n < 20; ++n) keeper.writer->collect(nanoseconds(1));
  EXPECT_EQ(keeper.writer->durable_block(), 1U);
}

TEST_F(JournalWriterInProcess, later_blocks_that_were_written_do_not_count_after_a_failed_one) {
  Keeper keeper(disk_);
  inject(DiskCall::submit, 1, DiskFault::Kind::fail);
  for (const std::uint64_t id : {1U, 2U, 3U}) keeper.put(id);
  for (int n = 0; n < 20; ++n) keeper.writer->collect(nanoseconds(1));
  EXPECT_TRUE(keeper.writer->error());
  EXPECT_EQ(keeper.writer->durable_block(), 0U);
}

TEST_F(JournalWriterInProcess, a_head_that_cannot_be_written_is_a_failure) {
  Keeper keeper(disk_);
  inject(DiskCall::submit, blocks_in_segment + 1, DiskFault::Kind::fail);
  std::uint64_t id = 1;
  keeper.fill(id);
  EXPECT_EQ(keeper.why, NoRoom::failed);
  EXPECT_EQ(id, blocks_in_segment + 1);
  EXPECT_TRUE(keeper.writer->error());
  EXPECT_EQ(keeper.writer->newest_segment(), 1U);
}

TEST_F(JournalWriterInProcess, the_next_keeper_goes_on_where_the_last_one_ended) {
  std::uint64_t first_epoch = 0;
  {
    Keeper keeper(disk_);
    keeper.put_durably(1, 3);
    first_epoch = keeper.writer->epoch();
  }
  Keeper keeper(disk_);
  EXPECT_EQ(keeper.writer->newest_segment(), 1U);
  EXPECT_EQ(keeper.writer->durable_block(), 3U);
  EXPECT_EQ(keeper.writer->open_block(), 4U);
  EXPECT_GT(keeper.writer->epoch(), first_epoch);
  keeper.put_durably(4, 5);
  const Contents found = contents_of(*disk_);
  EXPECT_EQ(found.ids.size(), 5U);
  EXPECT_TRUE(found.report.damage.empty());
  EXPECT_EQ(found.report.last_epoch, keeper.writer->epoch());
}

TEST_F(JournalWriterInProcess, while_the_fence_is_held_the_next_keeper_goes_on_in_another_segment) {
  {
    Keeper keeper(disk_);
    keeper.put_durably(1, 3);
  }
  inject(DiskCall::fence, 1, DiskFault::Kind::busy);
  Keeper keeper(disk_);
  EXPECT_EQ(keeper.writer->newest_segment(), 2U);
  EXPECT_EQ(keeper.writer->oldest_segment(), 1U);
  EXPECT_EQ(keeper.writer->open_block(), 4U);
  keeper.put_durably(4, 5);
  const Contents found = contents_of(*disk_);
  EXPECT_EQ(found.ids.size(), 5U);
  EXPECT_TRUE(found.report.damage.empty());
}

TEST_F(JournalWriterInProcess, where_no_other_segment_is_to_be_had_the_next_keeper_waits_for_the_fence) {
  std::uint64_t id = 1;
  {
    Keeper keeper(disk_);
    keeper.fill(id);
  }
  inject(DiskCall::fence, 1, DiskFault::Kind::busy);
  const Keeper keeper(disk_);
  EXPECT_EQ(keeper.writer->newest_segment(), 7U) << "the eighth is kept for copying forward";
  EXPECT_EQ(keeper.writer->open_block(), id);
}

TEST_F(JournalWriterInProcess, behind_damage_the_next_keeper_begins_a_new_segment) {
  {
    Keeper keeper(disk_);
    for (const std::uint64_t id : {1U, 2U, 3U}) keeper.put_durably(id, id);
  }
  disk_->flip(0, 2 * journal_unit + 100, std::byte{1});
  Keeper keeper(disk_);
  EXPECT_EQ(keeper.writer->newest_segment(), 2U);
  EXPECT_EQ(keeper.writer->open_block(), 4U);
  keeper.put_durably(4, 4);
  const Contents found = contents_of(*disk_);
  EXPECT_EQ(found.ids, (std::set<std::uint64_t>{1, 3, 4}));
  EXPECT_EQ(found.report.damage.size(), 1U);
}

TEST_F(JournalWriterInProcess, a_segment_whose_head_is_damaged_is_not_written_over) {
  {
    Keeper keeper(disk_);
    keeper.put_durably(1, 20);
  }
  disk_->flip(0, 8, std::byte{0xff});
  Keeper keeper(disk_);
  keeper.put_durably(21, 60);
  EXPECT_EQ(contents_of(*disk_).ids.size(), 60U);
}

TEST(JournalTornEndInProcess, a_block_that_was_torn_does_not_count_should_it_become_whole_after_the_next_keeper_came) {
  const auto disk = std::make_shared<Disk>(printed_seed());
  {
    Keeper keeper(disk);
    keeper.put_durably(1, 4);
  }
  const std::uint64_t last = contents_of(*disk).heads.back().offset_in_units * std::uint64_t{journal_unit};
  constexpr std::byte bit{0x10};
  disk->flip(0, last + 300, bit);
  Keeper keeper(disk);
  EXPECT_EQ(keeper.writer->open_block(), 4U);
  EXPECT_EQ(keeper.writer->newest_segment(), 2U);
  disk->flip(0, last + 300, bit);
  keeper.put_durably(20, 20);
  EXPECT_EQ(contents_of(*disk).ids, (std::set<std::uint64_t>{1, 2, 3, 20}));
}

/// All files are in use but the one that is kept, and the last block of the newest one lacks a bit. Where that is.
std::uint64_t tear_the_end_of_a_full_journal(const std::shared_ptr<Disk>& disk, SlotNumber slot, std::byte bit) {
  std::uint64_t id = 1;
  Keeper keeper(disk);
  keeper.put_durably(id, blocks_in_segment * 6 + 4);
  const std::uint64_t last = contents_of(*disk).heads.back().offset_in_units * std::uint64_t{journal_unit};
  disk->flip(slot, last + 300, bit);
  return last;
}

TEST(JournalTornEndInProcess, a_block_that_was_torn_is_ended_for_good_where_no_other_segment_is_to_be_had) {
  const auto disk = std::make_shared<Disk>(printed_seed());
  constexpr std::byte bit{0x10};
  constexpr SlotNumber newest = 6;
  const std::uint64_t last = tear_the_end_of_a_full_journal(disk, newest, bit);
  const std::size_t were = contents_of(*disk).ids.size();
  {
    const Keeper keeper(disk);
    ASSERT_EQ(keeper.writer->newest_segment(), 7U) << "it goes on where it was";
  }
  // A second cut, before that one has written a block, completes what the first one has torn.
  disk->flip(newest, last + 300, bit);
  EXPECT_EQ(contents_of(*disk).ids.size(), were) << "a block counts that the keeper before did not see";
  Keeper keeper(disk);
  keeper.put_durably(1000, 1000);
  const Contents found = contents_of(*disk);
  EXPECT_EQ(found.ids.size(), were + 1);
  EXPECT_TRUE(found.report.damage.empty());
}

TEST(JournalLivesInProcess, the_head_of_a_segment_that_a_dead_keeper_began_does_no_harm_when_it_lands_late) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 40; ++n) {
    SCOPED_TRACE("run " + std::to_string(n));
    const auto disk = std::make_shared<Disk>(seed + n);
    {
      Keeper dying(disk);
      dying.put_durably(1, blocks_in_segment - 2);
      const std::uint64_t writes = disk->calls(DiskCall::submit);
      disk->inject({.call = DiskCall::submit, .nth = writes + 1, .kind = DiskFault::Kind::delay, .calls = 100});
      ASSERT_FALSE(dying.writer->room(3 * journal_unit)) << "too much for what is left";
      ASSERT_EQ(disk->calls(DiskCall::submit), writes + 1) << "the next head is on its way";
      dying.model->kill();
    }
    { Keeper(disk).put_durably(50, 51); }
    disk->let_all_land();
    { Keeper(disk).put_durably(52, 52); }
    const Contents found = contents_of(*disk);
    EXPECT_TRUE(found.report.damage.empty());
    EXPECT_EQ(found.ids.size(), blocks_in_segment - 2 + 3);
    EXPECT_TRUE(disk->violations().empty());
  }
}

TEST_F(JournalWriterInProcess, files_of_another_engine_are_refused) {
  { const Keeper keeper(disk_); }
  const auto opened = JournalWriter::open(std::make_unique<DiskModel>(disk_), engine + 1, small, 1);
  EXPECT_EQ(code_of(opened), ErrorCode::incompatible);
}

TEST_F(JournalWriterInProcess, a_file_is_used_again_only_after_a_durable_block_has_said_so) {
  Keeper keeper(disk_);
  keeper.put_durably(1, 3 * blocks_in_segment);
  ASSERT_EQ(keeper.writer->segments_in_use(), 3U);
  inject(DiskCall::submit, 1, DiskFault::Kind::delay, 20);
  keeper.writer->retire_oldest();
  EXPECT_EQ(keeper.writer->oldest_segment(), 2U);
  keeper.writer->flush();
  for (int n = 0; n < 10; ++n) keeper.writer->collect(nanoseconds(1));
  EXPECT_EQ(keeper.writer->segments_in_use(), 3U);
  keeper.settle();
  EXPECT_EQ(keeper.writer->segments_in_use(), 2U);
  EXPECT_EQ(contents_of(*disk_).report.oldest, 2U);
}

TEST_F(JournalWriterInProcess, no_block_says_that_a_segment_is_over_before_its_survivors_are_durable) {
  Keeper keeper(disk_);
  constexpr std::uint64_t before = 2 * blocks_in_segment - 4;
  keeper.put_durably(1, before);
  inject(DiskCall::submit, 1, DiskFault::Kind::delay, 20);
  (*keeper.writer->room(sizeof(ShortRecord), true))->append_ended(JobId(1));
  keeper.writer->retire_oldest();
  keeper.writer->flush();
  keeper.put(100);
  for (int n = 0; n < 10; ++n) keeper.writer->collect(nanoseconds(1));
  ASSERT_EQ(keeper.writer->durable_block(), before);
  keeper.settle();
  while (keeper.writer->segments_in_use() > 2) keeper.writer->collect(nanoseconds(1));
  const Contents found = contents_of(*disk_);
  for (const BlockHead& head : found.heads) EXPECT_EQ(head.oldest, head.number <= before + 2 ? 1U : 2U) << head.number;
  EXPECT_EQ(found.report.oldest, 2U);
  EXPECT_TRUE(found.ids.contains(1));
}

TEST_F(JournalWriterInProcess, the_number_of_files_stays_within_the_limit_however_much_is_written) {
  Keeper keeper(disk_);
  for (std::uint64_t id = 1; id <= 100 * blocks_in_segment; ++id) {
    ASSERT_TRUE(keeper.put(id));
    while (keeper.writer->free_segments() < 3 && keeper.writer->oldest_segment() < keeper.writer->newest_segment()) {
      keeper.writer->retire_oldest();
      keeper.settle();
    }
    ASSERT_LE(disk_->slots().size(), small.most_segments);
    ASSERT_EQ(keeper.writer->bytes_on_disk(), disk_->slots().size() * small.segment_bytes);
  }
  keeper.settle();
  EXPECT_GE(keeper.writer->newest_segment(), 100U);
  const Contents found = contents_of(*disk_);
  EXPECT_TRUE(found.report.damage.empty());
  EXPECT_EQ(found.report.segments, keeper.writer->segments_in_use());
  EXPECT_EQ(*found.ids.rbegin(), 100 * blocks_in_segment);
}

TEST_F(JournalWriterInProcess, the_last_segment_is_kept_for_copying_forward) {
  Keeper keeper(disk_);
  std::uint64_t id = 1;
  keeper.fill(id);
  EXPECT_EQ(keeper.why, NoRoom::segments);
  EXPECT_EQ(keeper.writer->free_segments(), 1U);
  EXPECT_TRUE(keeper.put(id++, true));
  EXPECT_EQ(keeper.writer->free_segments(), 0U);
  EXPECT_FALSE(keeper.put(id)) << "others stay out of it";
  keeper.writer->retire_oldest();
  keeper.settle();
  while (keeper.writer->free_segments() == 0) keeper.writer->collect(nanoseconds(1));
  EXPECT_TRUE(keeper.put(id)) << "now it is a segment like others";
}

TEST_F(JournalWriterInProcess, a_journal_that_is_full_to_the_last_byte_can_still_free_its_oldest_segment) {
  Keeper keeper(disk_);
  std::uint64_t id = 1;
  keeper.fill(id);
  keeper.fill(id, true);
  EXPECT_EQ(keeper.writer->free_segments(), 0U);
  for (int turn = 0; turn < 20; ++turn) {
    keeper.writer->retire_oldest();
    for (int n = 0; n < 1'000 && keeper.writer->free_segments() == 0; ++n) keeper.writer->collect(nanoseconds(1));
    ASSERT_GE(keeper.writer->free_segments(), 1U) << turn;
    keeper.fill(id, true);
    ASSERT_EQ(keeper.writer->free_segments(), 0U);
  }
  EXPECT_TRUE(contents_of(*disk_).report.damage.empty());
}

TEST_F(JournalWriterInProcess, a_full_disk_stops_others_but_not_copying_forward) {
  disk_->set_space(2 * small.segment_bytes);
  Keeper keeper(disk_);
  std::uint64_t id = 1;
  keeper.fill(id);
  EXPECT_EQ(keeper.why, NoRoom::segments);
  EXPECT_TRUE(keeper.writer->no_space());
  EXPECT_FALSE(keeper.writer->error());
  EXPECT_EQ(id, blocks_in_segment + 1);
  EXPECT_TRUE(keeper.put(id++, true)) << "its file was made in advance";
}

TEST_F(JournalWriterInProcess, a_disk_with_space_again_is_written_again) {
  disk_->set_space(2 * small.segment_bytes);
  Keeper keeper(disk_);
  std::uint64_t id = 1;
  keeper.fill(id);
  ASSERT_TRUE(keeper.writer->no_space());
  disk_->set_space(std::nullopt);
  EXPECT_TRUE(keeper.put(id));
  EXPECT_FALSE(keeper.writer->no_space());
}

TEST_F(JournalWriterInProcess, a_disk_without_space_for_a_first_segment_is_no_space) {
  disk_->set_space(small.segment_bytes / 2);
  EXPECT_EQ(code_of(JournalWriter::open(std::make_unique<DiskModel>(disk_), engine, small, 1)), ErrorCode::no_space);
}

/// Lives and deaths of keepers on one disk. RINGMILL_JOURNAL_RUNS says on how many, one after the other.
class Lives {
 public:
  explicit Lives(std::uint64_t seed) : random_(seed), disk_(std::make_shared<Disk>(random_.next())) {}

  void live_and_die() {
    Keeper keeper(disk_);
    ASSERT_GT(keeper.writer->epoch(), epoch_);
    ASSERT_GE(keeper.writer->durable_block(), durable_);
    const std::uint64_t before = keeper.writer->durable_block();
    // What the dead one wrote beyond that does not count, or does.
    std::erase_if(blocks_, [&](const auto& block) { return block.first > durable_; });
    for (std::uint64_t steps = random_.below(120); steps > 0; --steps) step(keeper);
    // No reader can know of an epoch from which nothing is durable.
    if (keeper.writer->durable_block() > before) epoch_ = keeper.writer->epoch();
    durable_ = std::max(durable_, keeper.writer->durable_block());
    if (random_.one_in(4)) {
      for (const std::string& violation : disk_->violations()) ADD_FAILURE() << violation;
      keeper.model->kill();
      disk_ = disk_->power_cut(random_.next());
    }
  }

  void check() const {
    const Contents found = contents_of(*disk_);
    for (const JournalDamage& damage : found.report.damage) ADD_FAILURE() << damage.reason << damage.segment;
    EXPECT_GE(found.report.last_block, durable_);
    std::uint64_t expected = 0;
    for (const BlockHead& head : found.heads) {
      EXPECT_TRUE(expected == 0 || head.number == expected) << head.number << " instead of " << expected;
      expected = head.number + 1;
    }
    for (const auto& [number, block] : blocks_) {
      if (number > durable_ || block.segment < found.report.oldest) continue;
      EXPECT_TRUE(found.ids.contains(block.id)) << "block " << number << " of segment " << block.segment;
    }
    for (const std::string& violation : disk_->violations()) ADD_FAILURE() << violation;
  }

 private:
  struct Block {
    std::uint64_t id;
    std::uint64_t segment;
  };

  void step(Keeper& keeper) {
    JournalWriter& writer = *keeper.writer;
    if (random_.one_in(4)) writer.collect(nanoseconds(random_.below(2)));
    if (const auto room = writer.room(sizeof(ShortRecord)); room) {
      (*room)->append_ended(JobId(++id_));
      blocks_[writer.open_block()] = {id_, writer.open_segment()};
      writer.flush();
    } else if (room.error() == NoRoom::segments) {
      writer.collect(nanoseconds(1));
    }
    if (writer.free_segments() < 4 && writer.oldest_segment() < writer.newest_segment()) writer.retire_oldest();
  }

  DiskRandom random_;
  std::shared_ptr<Disk> disk_;
  std::map<std::uint64_t, Block> blocks_;  // by number
  std::uint64_t id_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t durable_ = 0;
};

TEST(JournalLivesInProcess, whatever_was_durable_outlives_kills_and_power_cuts) {
  const std::uint64_t seed = printed_seed();
  const char* given = std::getenv("RINGMILL_JOURNAL_RUNS");
  const std::uint64_t runs = given != nullptr ? std::stoull(given) : 20;
  for (std::uint64_t n = 0; n < runs && !testing::Test::HasFailure(); ++n) {
    SCOPED_TRACE("run " + std::to_string(n));
    Lives lives(seed + n);
    for (int life = 0; life < 12 && !testing::Test::HasFailure(); ++life) {
      lives.live_and_die();
      lives.check();
    }
  }
}

}  // namespace
}  // namespace ringmill::test
