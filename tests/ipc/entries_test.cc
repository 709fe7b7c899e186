// Participants' entries: allocated as they are needed, and never touched before.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "core/engine/opening.h"
#include "ipc/registry.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

std::vector<std::uint32_t> enter_many(EngineCore& core, std::size_t count) {
  std::vector<std::uint32_t> numbers;
  while (numbers.size() < count) numbers.push_back(must(core.registry.enter(Role::worker)));
  return numbers;
}

void leave_all(EngineCore& core, const std::vector<std::uint32_t>& numbers) {
  for (const std::uint32_t number : numbers) core.registry.leave(number);
}

/// Entries whose memory the file has.
std::uint64_t entries_in_file(const ScratchEngine& scratch, const Geometry& geometry) {
  const File file(::open(scratch.segment_file().c_str(), O_RDONLY | O_CLOEXEC));
  struct stat facts {};
  if (::fstat(file.descriptor(), &facts) != 0) return 0;
  const std::uint64_t beside = geometry.bytes - most_participants * sizeof(ParticipantEntry);
  return (static_cast<std::uint64_t>(facts.st_blocks) * 512 - beside) / sizeof(ParticipantEntry);
}

TEST(EntriesInProcess, a_new_engine_has_memory_for_a_few) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  EXPECT_EQ(entries_in_file(scratch, core->segment.geometry()), entries_in_a_step);
  EXPECT_EQ(core->segment.participants_end(), entries_in_a_step);
}

TEST(EntriesInProcess, more_are_allocated_before_a_participant_takes_one) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  const auto numbers = enter_many(*core, 100);
  const std::uint32_t end = core->segment.participants_end();
  EXPECT_EQ(end, 112U) << "four of keepers and a hundred, in whole steps";
  EXPECT_EQ(entries_in_file(scratch, core->segment.geometry()), end);
  EXPECT_EQ(scratch.open_core()->segment.participants_end(), end) << "a process that comes later";
  leave_all(*core, numbers);
}

TEST(EntriesInProcess, an_entry_that_was_left_is_taken_before_more_are_allocated) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  const auto numbers = enter_many(*core, entries_in_a_step - keeper_entries);
  core->registry.leave(numbers.front());
  EXPECT_EQ(must(core->registry.enter(Role::worker)), numbers.front());
  EXPECT_EQ(core->segment.participants_end(), entries_in_a_step);
  leave_all(*core, numbers);
}

TEST(EntriesInProcess, a_process_that_may_write_allocates_what_a_scribbled_end_promises) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  core->segment.signals().participants_end.store(~std::uint64_t{0});
  EXPECT_EQ(core->segment.participants_end(), most_participants);
  EXPECT_EQ(entries_in_file(scratch, core->segment.geometry()), most_participants);
}

TEST(EntriesInProcess, a_process_that_only_looks_believes_no_end_beyond_the_memory) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  const SegmentHeader& header = core->segment.header();
  const auto looking = Segment::open(scratch.segment_file(), header.engine_id.load(), ::geteuid(), 0600,
                                     Segment::Access::read_only, false);
  ASSERT_TRUE(looking.has_value()) << looking.error().message();
  const auto numbers = enter_many(*core, 20);
  EXPECT_EQ(looking->participants_end(), 2 * entries_in_a_step);
  core->segment.signals().participants_end.store(500);
  EXPECT_EQ(looking->participants_end(), 2 * entries_in_a_step);
  EXPECT_EQ(looking->participant_of(400), nullptr);
  EXPECT_EQ(entries_in_file(scratch, core->segment.geometry()), 2 * entries_in_a_step) << "looking took memory";
  core->segment.signals().participants_end.store(2 * entries_in_a_step);
  leave_all(*core, numbers);
}

TEST(EntriesInProcess, a_scribbled_end_of_none_hides_no_entry_from_a_process_that_knew_it) {
  const ScratchEngine scratch;
  const auto core = scratch.open_core();
  const auto numbers = enter_many(*core, 20);
  core->segment.signals().participants_end.store(0);
  EXPECT_EQ(core->segment.participants_end(), 2 * entries_in_a_step);
  const std::uint32_t next = must(core->registry.enter(Role::worker));
  EXPECT_GT(core->segment.signals().participants_end.load_once().unbounded(), next) << "an entering thread mends it";
  core->registry.leave(next);
  leave_all(*core, numbers);
}

/// An engine whose shared memory lies in a tmpfs that something else has filled.
class FullTmpfs {
 public:
  FullTmpfs() {
    CreateOptions options = small_engine();
    options.shm_dir = tmpfs_.path();
    must(Engine::create(folder_.path() / "engine", options));
    filler_ = File(::open((tmpfs_.path() / "filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::vector<char> page(page_bytes, 'x');
    while (::write(filler_.descriptor(), page.data(), page.size()) > 0) {
    }
  }
  std::shared_ptr<EngineCore> open_core() const { return must(open_engine(folder_.path() / "engine", false)); }
  void make_room() const {
    if (::ftruncate(filler_.descriptor(), 0) != 0) throw std::runtime_error("ftruncate failed");
  }

 private:
  SmallTmpfs tmpfs_{"size=16m"};
  ScratchFolder folder_;
  File filler_;
};

TEST(FullTmpfsForEntries, a_participant_without_memory_for_its_entry_gets_a_clear_error_and_comes_in_later) {
  const FullTmpfs full;
  const auto core = full.open_core();
  std::vector<std::uint32_t> numbers = enter_many(*core, entries_in_a_step - keeper_entries);
  const auto refused = core->registry.enter(Role::worker);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::no_space);
  EXPECT_NE(refused.error().message().find("tmpfs"), std::string::npos) << refused.error().message();
  full.make_room();
  numbers.push_back(must(core->registry.enter(Role::worker)));
  leave_all(*core, numbers);
}

TEST(FullTmpfsForEntries, a_scribbled_end_kills_no_process) {
  const FullTmpfs full;
  full.open_core()->segment.signals().participants_end.store(most_participants);
  Child child([&] {
    const auto core = full.open_core();
    std::uint32_t walked = 0;
    for_each_entry(core->segment, [&walked](std::uint32_t, const ParticipantEntry& entry) {
      walked += entry.state.load() == 0 ? 1U : 0U;
    });
    return walked == 0 ? 0 : 1;  // what this process could not have allocated it does not believe
  });
  EXPECT_EQ(child.wait(), 0) << "minus the signal that ended it";
}

}  // namespace
}  // namespace ringmill::test
