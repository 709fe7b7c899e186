// Locks on single bytes, and files that are replaced whole.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>

#include <gtest/gtest.h>

#include "ipc/file.h"
#include "ipc/fork_guard.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

struct LockFile {
  ScratchFolder folder;
  File open() const { return must(open_file(folder.path() / "lock", O_RDWR | O_CREAT, 0600)); }
};

TEST(ByteLocksInProcess, a_byte_is_locked_by_one_open_file_only) {
  const LockFile lock;
  const File one = lock.open();
  const File two = lock.open();
  ASSERT_TRUE(must(try_lock_byte(one, 5)));
  EXPECT_FALSE(must(try_lock_byte(two, 5)));
}

TEST(ByteLocksInProcess, bytes_are_locked_apart) {
  const LockFile lock;
  const File one = lock.open();
  const File two = lock.open();
  ASSERT_TRUE(must(try_lock_byte(one, 5)));
  EXPECT_TRUE(must(try_lock_byte(two, 4)));
  EXPECT_TRUE(must(try_lock_byte(two, 6)));
}

TEST(ByteLocksInProcess, asking_does_not_see_the_own_lock_and_sees_that_of_another) {
  const LockFile lock;
  const File one = lock.open();
  const File two = lock.open();
  ASSERT_TRUE(must(try_lock_byte(one, 5)));
  EXPECT_FALSE(is_byte_locked_by_other(one, 5));
  EXPECT_TRUE(is_byte_locked_by_other(two, 5));
}

TEST(ByteLocksInProcess, an_unlocked_byte_can_be_taken_by_another) {
  const LockFile lock;
  const File one = lock.open();
  const File two = lock.open();
  ASSERT_TRUE(must(try_lock_byte(one, 5)));
  unlock_byte(one, 5);
  EXPECT_TRUE(must(try_lock_byte(two, 5)));
}

TEST(ByteLocks, the_kernel_drops_the_lock_of_a_killed_process) {
  const LockFile lock;
  SharedBlock<std::atomic<int>> locked;
  Child child([&] {
    const File file = lock.open();
    *locked = must(try_lock_byte(file, 5)) ? 1 : -1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *locked == 1; }));
  const File probe = lock.open();
  EXPECT_TRUE(is_byte_locked_by_other(probe, 5));
  child.kill();
  EXPECT_FALSE(is_byte_locked_by_other(probe, 5));
}

TEST(ForkGuard, the_child_of_a_fork_closes_the_guarded_file) {
  const LockFile lock;
  ForkClosedFile guarded(lock.open());
  const int descriptor = guarded.file().descriptor();
  Child child([&] { return !guarded.file() && ::fcntl(descriptor, F_GETFD) < 0 ? 0 : 1; });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_GE(::fcntl(descriptor, F_GETFD), 0);
}

TEST(ForkGuard, the_fork_generation_grows_in_the_child_only) {
  const std::uint32_t before = fork_generation();
  Child child([before] { return fork_generation() == before + 1 ? 0 : 1; });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(fork_generation(), before);
}

TEST(FilesInProcess, a_missing_file_is_not_found) {
  const ScratchFolder folder;
  EXPECT_EQ(code_of(read_file(folder.path() / "none")), ErrorCode::not_found);
}

TEST(FilesInProcess, a_symbolic_link_is_not_followed) {
  const ScratchFolder folder;
  must(write_file_durably(folder.path() / "target", "x", 0600));
  std::filesystem::create_symlink(folder.path() / "target", folder.path() / "link");
  EXPECT_FALSE(open_file(folder.path() / "link", O_RDONLY).has_value());
}

}  // namespace
}  // namespace ringmill::test
