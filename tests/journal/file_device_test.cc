#include "core/journal/file_device.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "tests/journal/device_test_support.h"
#include "tests/support/child.h"
#include "tests/support/refused_calls.h"

namespace {

// How many of the next writes are short, or are interrupted.
std::atomic<int> short_writes{0};
std::atomic<int> interrupted_writes{0};
std::atomic<int> calls{0};

}  // namespace

/// Stands before the C library's, for the whole test program.
extern "C" ssize_t pwritev2(int file, const iovec* parts, int count, off_t offset, int flags) {
  ++calls;
  if (interrupted_writes > 0) {
    --interrupted_writes;
    errno = EINTR;
    return -1;
  }
  iovec part = *parts;
  if (short_writes > 0 && count == 1 && part.iov_len > ringmill::journal_unit) {
    --short_writes;
    part.iov_len = ringmill::journal_unit;
    return ::syscall(SYS_pwritev2, file, &part, 1, offset, 0L, flags);
  }
  return ::syscall(SYS_pwritev2, file, parts, count, offset, 0L, flags);
}

namespace ringmill::test {
namespace {

class FileDeviceInProcess : public testing::Test {
 protected:
  FileDeviceInProcess() {
    must(device_->prepare(0, test_file_bytes));
    buffer_ = must(device_->buffers(1, 4 * journal_unit)).front();
    fill(buffer_, 5);
    calls = 0;
  }
  int write() {
    device_->submit(0, journal_unit, buffer_, 1);
    return collect_all(*device_, 1).at(0).error;
  }

  ScratchFolder folder_;
  std::unique_ptr<JournalDevice> device_ = open_device(folder_.path(), DeviceChoice::pwritev2);
  std::span<std::byte> buffer_;
};

TEST_F(FileDeviceInProcess, says_how_it_writes) { EXPECT_EQ(device_->mode(), "pwritev2"); }

TEST_F(FileDeviceInProcess, a_short_write_is_continued) {
  short_writes = 2;
  EXPECT_EQ(write(), 0);
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(FileBytes(*device_, 0, journal_unit, buffer_.size()) == buffer_);
}

TEST_F(FileDeviceInProcess, an_interrupted_write_is_tried_again) {
  interrupted_writes = 3;
  EXPECT_EQ(write(), 0);
  EXPECT_EQ(calls, 4);
  EXPECT_TRUE(FileBytes(*device_, 0, journal_unit, buffer_.size()) == buffer_);
}

/// In a child to which RWF_DSYNC is refused: the error of a write, or 100 if the file does not hold it.
int write_without_dsync(bool can_sync) {
  const ScratchFolder folder;
  return Child([&] {
           refuse_call(SYS_pwritev2, EOPNOTSUPP, 5, RWF_DSYNC);
           if (!can_sync) refuse_call(SYS_fdatasync, EIO);
           const auto device = open_device(folder.path(), DeviceChoice::pwritev2);
           must(device->prepare(0, test_file_bytes));
           const auto buffer = must(device->buffers(1, journal_unit)).front();
           fill(buffer, 1);
           device->submit(0, journal_unit, buffer, 1);
           if (const int error = collect_all(*device, 1).at(0).error; error != 0) return error;
           return FileBytes(*device, 0, journal_unit, journal_unit) == buffer ? 0 : 100;
         })
      .wait();
}

TEST(FileDevice, a_file_system_that_refuses_RWF_DSYNC_is_synced_after_each_write) {
  EXPECT_EQ(write_without_dsync(true), 0);
}

TEST(FileDevice, a_sync_that_fails_is_a_failed_write) { EXPECT_EQ(write_without_dsync(false), EIO); }

}  // namespace
}  // namespace ringmill::test
