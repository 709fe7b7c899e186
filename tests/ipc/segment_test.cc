// The segment's file: what is refused, and by which error.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <cstddef>

#include "ipc/shared_word.h"
#include "tests/support/core_test.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

/// What the compiler refuses to view in shared memory (ipc/shared_word.h).
struct WithDestructor {
  std::atomic<std::uint64_t> word;
  ~WithDestructor() {}
};
struct WithVirtualCall {
  virtual void call();
  std::atomic<std::uint64_t> word;
};
struct Large {
  std::uint64_t words[4];
};
static_assert(SharedStruct<LevelEntry> && SharedStruct<SharedWord<std::uint32_t>>);
static_assert(!SharedStruct<WithDestructor> && !SharedStruct<WithVirtualCall> && !SharedStruct<std::string>);
static_assert(!SharedStruct<int*> && !SharedStruct<std::atomic<Large>>);

constexpr std::uint64_t engine_id = 77;

SegmentConfig small_config() {
  SegmentConfig config;
  config.engine_id = engine_id;
  config.capacity = 128;
  config.cell_bytes = 128;
  config.default_lease_ms = 1000;
  config.levels = {"one", "two"};
  config.weights = {2, 1};
  return config;
}

/// A segment's file of its own, made and not open.
struct SegmentRig {
  ScratchFolder folder{"/dev/shm"};
  std::filesystem::path path = folder.path() / "segment";

  SegmentRig() { must(Segment::create(path, small_config(), 1, 1000)); }
  Result<Segment> open(std::uint64_t id = engine_id, uid_t owner = ::geteuid()) const {
    return Segment::open(path, id, owner, 0600, Segment::Access::read_write, false);
  }
  template <class T>
  void write(std::size_t offset, T value) const {
    const File file = must(open_file(path, O_RDWR));
    ASSERT_EQ(::pwrite(file.descriptor(), &value, sizeof value, static_cast<off_t>(offset)),
              static_cast<ssize_t>(sizeof value));
  }
};

/// As ipc/layout.h says it: of all fields before it but `state`.
std::uint64_t checksum_of(const SegmentHeader& header) {
  const std::array<std::uint64_t, 15> fields{header.magic,
                                             header.version,
                                             header.engine_id,
                                             header.boot_id[0],
                                             header.boot_id[1],
                                             header.bytes,
                                             std::uint64_t{header.capacity} << 32 | header.cell_bytes,
                                             header.level_count,
                                             header.default_lease_ms,
                                             header.created_at_ns,
                                             header.first_generation,
                                             header.level_ring_slots,
                                             header.arena_bytes,
                                             header.max_payload,
                                             header.keep_memory_ms};
  return XXH3_64bits(fields.data(), sizeof fields);
}

TEST(SegmentInProcess, a_new_one_opens_with_what_it_was_made_of) {
  const SegmentRig rig;
  const Segment segment = must(rig.open());
  EXPECT_EQ(segment.geometry().capacity, 128U);
  EXPECT_EQ(segment.geometry().cell_bytes, 128U);
  EXPECT_EQ(segment.geometry().level_count, 2U);
}

TEST(SegmentInProcess, is_filled_before_anybody_can_see_it) {
  const SegmentRig rig;
  const auto other = rig.folder.path() / "other";
  bool was_there = true;
  must(Segment::create(other, small_config(), 1, 1000, [&](Segment& fresh) -> Result<void> {
    was_there = std::filesystem::exists(other);
    fresh.header().first_generation.store(7);
    return {};
  }));
  EXPECT_FALSE(was_there);
  const Segment segment = must(Segment::open(other, engine_id, ::geteuid(), 0600, Segment::Access::read_only, false));
  EXPECT_EQ(segment.header().first_generation.load(), 7U);
}

TEST(SegmentInProcess, that_could_not_be_filled_leaves_no_file) {
  const SegmentRig rig;
  const auto made = Segment::create(rig.folder.path() / "other", small_config(), 1, 1000, [](Segment&) -> Result<void> {
    return std::unexpected(Error(ErrorCode::corrupt, "not today"));
  });
  EXPECT_EQ(code_of(made), ErrorCode::corrupt);
  EXPECT_EQ(rig.folder.names(), std::vector<std::string>{"segment"});
}

TEST(SegmentInProcess, making_leaves_one_file) {
  const SegmentRig rig;
  EXPECT_EQ(rig.folder.names(), std::vector<std::string>{"segment"});
}

TEST(SegmentInProcess, every_byte_is_allocated_at_once_but_for_later_entries) {
  const SegmentRig rig;
  struct stat facts {};
  ASSERT_EQ(::stat(rig.path.c_str(), &facts), 0);
  const auto later = static_cast<off_t>((most_participants - entries_in_a_step) * sizeof(ParticipantEntry));
  EXPECT_GE(facts.st_blocks * 512, facts.st_size - later);
}

TEST(SegmentInProcess, another_layout_version_is_incompatible) {
  const SegmentRig rig;
  rig.write(offsetof(SegmentHeader, version), layout_version + 1);
  EXPECT_EQ(code_of(rig.open()), ErrorCode::incompatible);
}

TEST(SegmentInProcess, another_magic_is_corrupt) {
  const SegmentRig rig;
  rig.write(offsetof(SegmentHeader, magic), std::uint64_t{1});
  EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt);
}

TEST(SegmentInProcess, a_changed_field_does_not_match_the_checksum) {
  const SegmentRig rig;
  rig.write(offsetof(SegmentHeader, default_lease_ms), std::uint32_t{5});
  const auto opened = rig.open();
  EXPECT_EQ(code_of(opened), ErrorCode::corrupt);
  EXPECT_NE(opened.error().message().find("checksum"), std::string::npos) << opened.error().message();
}

TEST(SegmentInProcess, impossible_sizes_are_corrupt) {
  for (const std::uint32_t capacity : {0U, 63U, 65U, most_cells + 64, ~0U}) {
    const SegmentRig rig;
    rig.write(offsetof(SegmentHeader, capacity), capacity);
    EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt) << capacity;
  }
}

TEST(SegmentInProcess, a_file_that_is_cut_short_is_corrupt) {
  const SegmentRig rig;
  for (const std::uintmax_t bytes : {std::uintmax_t{8192}, std::uintmax_t{64}, std::uintmax_t{0}}) {
    std::filesystem::resize_file(rig.path, bytes);
    EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt) << bytes << " bytes";
  }
}

TEST(SegmentInProcess, a_file_that_has_grown_is_corrupt) {
  const SegmentRig rig;
  std::filesystem::resize_file(rig.path, std::filesystem::file_size(rig.path) + page_bytes);
  EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt);
}

TEST(SegmentInProcess, one_that_is_not_ready_is_corrupt) {
  const SegmentRig rig;
  rig.write(offsetof(SegmentHeader, state), std::uint32_t{0});
  EXPECT_EQ(code_of(rig.open()), ErrorCode::corrupt);
}

TEST(SegmentInProcess, that_of_another_engine_is_incompatible) {
  const SegmentRig rig;
  EXPECT_EQ(code_of(rig.open(engine_id + 1)), ErrorCode::incompatible);
}

TEST(SegmentInProcess, that_of_another_user_is_refused) {
  const SegmentRig rig;
  EXPECT_EQ(code_of(rig.open(engine_id, ::geteuid() + 1)), ErrorCode::permission_denied);
}

TEST(SegmentInProcess, a_mode_that_lets_in_more_is_refused) {
  const SegmentRig rig;
  ASSERT_EQ(::chmod(rig.path.c_str(), 0644), 0);
  EXPECT_EQ(code_of(rig.open()), ErrorCode::permission_denied);
}

TEST(SegmentInProcess, a_symbolic_link_is_refused) {
  const SegmentRig rig;
  const auto real = rig.folder.path() / "real";
  std::filesystem::rename(rig.path, real);
  std::filesystem::create_symlink(real, rig.path);
  EXPECT_FALSE(rig.open().has_value());
}

TEST(SegmentInProcess, a_folder_in_its_place_is_refused) {
  const SegmentRig rig;
  std::filesystem::remove(rig.path);
  std::filesystem::create_directory(rig.path);
  EXPECT_FALSE(rig.open().has_value());
}

TEST(SegmentInProcess, a_missing_one_is_not_found) {
  const SegmentRig rig;
  std::filesystem::remove(rig.path);
  EXPECT_EQ(code_of(rig.open()), ErrorCode::not_found);
}

TEST(SegmentInProcess, one_that_an_earlier_boot_left_is_stale) {
  const SegmentRig rig;
  {
    const File file = must(open_file(rig.path, O_RDWR));
    SegmentHeader header{};
    ASSERT_EQ(::pread(file.descriptor(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
    header.boot_id[0].store(1);
    header.checksum.store(checksum_of(header));
    ASSERT_EQ(::pwrite(file.descriptor(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
  }
  EXPECT_EQ(code_of(rig.open()), ErrorCode::stale);
}

TEST(SegmentInProcess, what_a_dead_creator_left_does_not_stop_the_next) {
  const SegmentRig rig;
  const std::filesystem::path left = rig.path.string() + ".creating";
  must(write_file_durably(left, "half", 0600));
  must(Segment::create(rig.path, small_config(), 1, 1000));
  EXPECT_TRUE(rig.open().has_value());
  EXPECT_FALSE(std::filesystem::exists(left));
}

TEST(SmallTmpfs, one_that_is_too_small_is_no_space_and_nothing_is_left_in_it) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  SegmentConfig config = small_config();
  config.capacity = 65536;
  const auto made = Segment::create(tmpfs.path() / "segment", config, 1, 1000);
  EXPECT_EQ(code_of(made), ErrorCode::no_space);
  EXPECT_TRUE(std::filesystem::is_empty(tmpfs.path()));
}

TEST(SmallTmpfs, the_error_says_how_much_is_needed) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  SegmentConfig config = small_config();
  config.capacity = 65536;
  const auto made = Segment::create(tmpfs.path() / "segment", config, 1, 1000);
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message().find("MiB"), std::string::npos) << made.error().message();
}

}  // namespace
}  // namespace ringmill::test
