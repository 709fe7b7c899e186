// What both devices promise, on a disk and on a tmpfs.
#include "core/journal/device.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <tuple>

#include "tests/journal/device_test_support.h"
#include "tests/support/child.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

class JournalDevices : public testing::TestWithParam<std::tuple<DeviceChoice, const char*>> {
 protected:
  JournalDevices() : folder_(fs::path(std::get<1>(GetParam()))) {}

  const fs::path& directory() const { return folder_.path(); }
  DeviceChoice choice() const { return std::get<0>(GetParam()); }
  std::unique_ptr<JournalDevice> open() const { return open_device(directory(), choice()); }

 private:
  ScratchFolder folder_;
};

TEST_P(JournalDevices, a_prepared_file_is_whole_zero_and_has_the_mode_that_was_asked_for) {
  const mode_t before = ::umask(0777);
  const auto device = must(open_journal_device(must(Directory::open(directory())), choice(), 0640));
  must(device->prepare(3, test_file_bytes));
  ::umask(before);
  EXPECT_EQ(must(device->bytes_of(3)), test_file_bytes);
  EXPECT_TRUE(FileBytes(*device, 3, 0, test_file_bytes).are_zero());
  struct stat status {};
  ASSERT_EQ(::stat((directory() / "0003.segment").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, test_file_bytes) << "every byte has its place";
}

TEST_P(JournalDevices, writes_in_flight_all_end_and_are_read_back) {
  const auto device = open();
  must(device->prepare(0, test_file_bytes));
  must(device->prepare(1, test_file_bytes));
  const auto buffers = must(device->buffers(6, 2 * journal_unit));
  for (std::size_t n = 0; n < buffers.size(); ++n) {
    fill(buffers[n], static_cast<unsigned>(n));
    device->submit(n % 2, (1 + 2 * n) * journal_unit, buffers[n], 100 + n);
  }
  std::set<std::uint64_t> tokens;
  for (const WriteOutcome& outcome : collect_all(*device, buffers.size())) {
    EXPECT_EQ(outcome.error, 0);
    tokens.insert(outcome.token);
  }
  EXPECT_EQ(tokens, (std::set<std::uint64_t>{100, 101, 102, 103, 104, 105}));
  for (std::size_t n = 0; n < buffers.size(); ++n) {
    EXPECT_TRUE(FileBytes(*device, n % 2, (1 + 2 * n) * journal_unit, 2 * journal_unit) == buffers[n]) << n;
  }
}

TEST_P(JournalDevices, a_buffer_is_written_again_and_again) {
  const auto device = open();
  must(device->prepare(0, test_file_bytes));
  const auto buffer = must(device->buffers(1, journal_unit)).front();
  for (unsigned n = 0; n < 200; ++n) {
    fill(buffer, n);
    device->submit(0, n % 64 * journal_unit, buffer, n);
    const auto outcomes = collect_all(*device, 1);
    ASSERT_EQ(outcomes.size(), 1U);
    ASSERT_EQ(outcomes.front().token, n);
  }
  EXPECT_TRUE(FileBytes(*device, 0, 199 % 64 * journal_unit, journal_unit) == buffer);
}

TEST_P(JournalDevices, what_was_written_is_there_for_the_next_device) {
  std::vector<std::byte> written(journal_unit);
  fill(written, 9);
  {
    const auto device = open();
    must(device->prepare(0, test_file_bytes));
    const auto buffer = must(device->buffers(1, journal_unit)).front();
    std::ranges::copy(written, buffer.begin());
    device->submit(0, journal_unit, buffer, 1);
    EXPECT_EQ(collect_all(*device, 1).size(), 1U);
  }
  const auto device = open();
  must(device->sync(0));
  EXPECT_TRUE(FileBytes(*device, 0, journal_unit, journal_unit) == written);
}

TEST_P(JournalDevices, a_write_to_a_file_that_is_not_there_fails) {
  const auto device = open();
  const auto buffer = must(device->buffers(1, journal_unit)).front();
  device->submit(5, 0, buffer, 7);
  const auto outcomes = collect_all(*device, 1);
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes.front().token, 7U);
  EXPECT_NE(outcomes.front().error, 0);
}

TEST_P(JournalDevices, a_read_beyond_the_end_is_an_error) {
  const auto device = open();
  must(device->prepare(0, 2 * journal_unit));
  EXPECT_THROW(FileBytes(*device, 0, journal_unit, 2 * journal_unit), std::runtime_error);
}

TEST_P(JournalDevices, slots_are_the_files_that_were_made_whole) {
  const auto device = open();
  for (const SlotNumber slot : {7U, 0U, 12U}) must(device->prepare(slot, 2 * journal_unit));
  for (const char* name : {"0001.segment.new", "1.segment", "00a1.segment", "0001.other", "probe"}) {
    std::ofstream(directory() / name) << "x";
  }
  EXPECT_EQ(must(device->slots()), (std::vector<SlotNumber>{0, 7, 12}));
}

TEST_P(JournalDevices, nothing_but_whole_files_is_left_in_the_directory) {
  const auto device = open();
  std::ofstream(directory() / "0001.segment.new") << "left by a death";
  must(device->prepare(1, 2 * journal_unit));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory())) names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"0001.segment"});
}

TEST_P(JournalDevices, a_prepared_file_stays_as_it_is_and_one_of_another_size_is_made_anew) {
  const auto device = open();
  must(device->prepare(0, test_file_bytes));
  const auto buffer = must(device->buffers(1, journal_unit)).front();
  fill(buffer, 1);
  device->submit(0, 0, buffer, 1);
  collect_all(*device, 1);
  must(device->prepare(0, test_file_bytes));
  EXPECT_TRUE(FileBytes(*device, 0, 0, journal_unit) == buffer);
  must(device->prepare(0, 2 * test_file_bytes));
  EXPECT_TRUE(FileBytes(*device, 0, 0, 2 * test_file_bytes).are_zero());
  device->submit(0, 2 * test_file_bytes - journal_unit, buffer, 2);
  EXPECT_EQ(collect_all(*device, 1).at(0).error, 0);
  EXPECT_TRUE(FileBytes(*device, 0, 2 * test_file_bytes - journal_unit, journal_unit) == buffer)
      << "the new file is written, not the one that was there";
}

TEST_P(JournalDevices, a_removed_file_is_gone) {
  const auto device = open();
  must(device->prepare(0, 2 * journal_unit));
  must(device->remove(0));
  EXPECT_TRUE(must(device->slots()).empty());
  EXPECT_FALSE(device->bytes_of(0));
}

TEST_P(JournalDevices, a_fence_keeps_others_out_until_it_is_released) {
  const auto one = open();
  const auto other = open();
  must(one->prepare(0, 2 * journal_unit));
  EXPECT_TRUE(must(one->try_fence(0)));
  EXPECT_TRUE(must(one->try_fence(0))) << "it has it";
  EXPECT_FALSE(must(other->try_fence(0)));
  one->release(0);
  EXPECT_TRUE(must(other->try_fence(0)));
}

TEST_P(JournalDevices, a_fence_ends_at_once_with_a_device_that_has_nothing_in_flight) {
  const auto other = open();
  {
    const auto one = open();
    must(one->prepare(0, test_file_bytes));
    EXPECT_TRUE(must(one->try_fence(0)));
    one->submit(0, 0, must(one->buffers(1, journal_unit)).front(), 1);
    collect_all(*one, 1);
  }
  EXPECT_TRUE(must(other->try_fence(0)));
}

TEST_P(JournalDevices, a_fence_ends_with_its_device_even_after_writes) {
  const auto other = open();
  {
    const auto one = open();
    must(one->prepare(0, test_file_bytes));
    EXPECT_TRUE(must(one->try_fence(0)));
    const auto buffers = must(one->buffers(4, journal_unit));
    for (std::size_t n = 0; n < 4; ++n) one->submit(0, n * journal_unit, buffers[n], n);
  }
  // A registered file is let go a moment after its ring.
  EXPECT_TRUE(await([&] { return must(other->try_fence(0)); }));
}

TEST_P(JournalDevices, a_child_of_a_fork_does_not_keep_the_fence) {
  auto one = open();
  must(one->prepare(0, test_file_bytes));
  EXPECT_TRUE(must(one->try_fence(0)));
  const auto buffer = must(one->buffers(1, journal_unit)).front();
  one->submit(0, 0, buffer, 1);
  collect_all(*one, 1);
  const Child child([] {
    for (;;) ::pause();
    return 0;
  });
  one.reset();
  const auto other = open();
  EXPECT_TRUE(await([&] { return must(other->try_fence(0)); }));
}

TEST_P(JournalDevices, a_child_of_a_killed_process_does_not_keep_the_fence) {
  must(open()->prepare(0, test_file_bytes));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  Child killed([&] {
    const auto one = open();
    must(one->try_fence(0));
    one->submit(0, 0, must(one->buffers(1, journal_unit)).front(), 1);
    collect_all(*one, 1);
    const pid_t heir = ::fork();
    if (heir == 0) {
      ::alarm(60);  // whatever becomes of the test
      for (;;) ::pause();
    }
    if (::write(pipe[1], &heir, sizeof heir) != sizeof heir) return 1;
    for (;;) ::pause();
    return 0;
  });
  pid_t heir = 0;
  ASSERT_EQ(::read(pipe[0], &heir, sizeof heir), static_cast<ssize_t>(sizeof heir));
  const auto other = open();
  EXPECT_FALSE(must(other->try_fence(0)));
  killed.kill();
  EXPECT_TRUE(await([&] { return must(other->try_fence(0)); }, std::chrono::seconds(10)));
  EXPECT_EQ(::kill(heir, SIGKILL), 0) << "it lived until now";
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_P(JournalDevices, the_child_of_a_fork_may_destroy_its_copy) {
  auto one = open();
  must(one->prepare(0, test_file_bytes));
  const auto buffer = must(one->buffers(1, journal_unit)).front();
  EXPECT_TRUE(must(one->try_fence(0)));
  Child child([&] {
    one.reset();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  fill(buffer, 3);
  one->submit(0, 0, buffer, 1);
  EXPECT_EQ(collect_all(*one, 1).at(0).error, 0);
  EXPECT_TRUE(FileBytes(*one, 0, 0, journal_unit) == buffer);
  EXPECT_FALSE(must(open()->try_fence(0))) << "the parent's fence is where it was";
}

TEST_P(JournalDevices, wake_ends_a_wait) {
  const auto device = open();
  std::vector<WriteOutcome> outcomes;
  for (int n = 0; n < 20; ++n) {
    std::thread waker([&] { device->wake(); });
    const auto began = std::chrono::steady_clock::now();
    device->collect(outcomes, 2 * generous);
    EXPECT_LT(std::chrono::steady_clock::now() - began, generous);
    waker.join();
  }
  EXPECT_TRUE(outcomes.empty());
}

TEST_P(JournalDevices, a_wake_is_kept_for_the_next_wait) {
  const auto device = open();
  must(device->prepare(0, 2 * journal_unit));
  std::vector<WriteOutcome> outcomes;
  device->wake();
  device->submit(0, 0, must(device->buffers(1, journal_unit)).front(), 1);
  ASSERT_TRUE(await([&] {
    device->collect(outcomes, nanoseconds(0));
    return !outcomes.empty();
  }));
  for (int n = 0; n < 3; ++n) device->collect(outcomes, nanoseconds(0));
  outcomes.clear();
  const auto began = std::chrono::steady_clock::now();
  device->collect(outcomes, 2 * generous);
  EXPECT_LT(std::chrono::steady_clock::now() - began, generous) << "a call that does not wait takes no wake away";
  EXPECT_TRUE(outcomes.empty());
}

TEST_P(JournalDevices, a_wait_for_nothing_ends_by_itself) {
  const auto device = open();
  std::vector<WriteOutcome> outcomes;
  device->collect(outcomes, milliseconds(5));
  EXPECT_TRUE(outcomes.empty());
}

TEST_P(JournalDevices, a_directory_that_is_not_there_is_not_found) {
  EXPECT_EQ(code_of(Directory::open(directory() / "gone")), ErrorCode::not_found);
}

TEST_P(JournalDevices, a_symbolic_link_in_the_place_of_a_file_is_refused) {
  const auto device = open();
  must(device->prepare(0, 2 * journal_unit));
  fs::create_symlink(directory() / "0000.segment", directory() / "0001.segment");
  EXPECT_EQ(code_of(device->try_fence(1)), ErrorCode::permission_denied);
}

TEST_P(JournalDevices, a_pipe_in_the_place_of_a_file_is_refused) {
  const auto device = open();
  ASSERT_EQ(::mkfifo((directory() / "0001.segment").c_str(), 0600), 0);
  EXPECT_FALSE(device->try_fence(1));
}

TEST_P(JournalDevices, a_directory_that_cannot_be_written_is_refused) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  ASSERT_EQ(::mount("none", tmpfs.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_EQ(code_of(open_journal_device(must(Directory::open(tmpfs.path())), choice(), 0600)),
            ErrorCode::permission_denied);
}

TEST_P(JournalDevices, files_that_are_there_are_written_on_a_full_disk) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  must(open_device(tmpfs.path(), choice())->prepare(0, test_file_bytes));
  std::ofstream(tmpfs.path() / "rest") << std::string(std::size_t{1} << 20, 'x');
  const auto device = open_device(tmpfs.path(), choice());
  const auto buffer = must(device->buffers(1, journal_unit)).front();
  fill(buffer, 1);
  device->submit(0, journal_unit, buffer, 1);
  EXPECT_EQ(collect_all(*device, 1).at(0).error, 0);
  EXPECT_TRUE(FileBytes(*device, 0, journal_unit, journal_unit) == buffer);
}

TEST_P(JournalDevices, a_file_that_does_not_fit_is_no_space_and_leaves_nothing) {
  const SmallTmpfs tmpfs;
  if (!tmpfs.is_mounted()) GTEST_SKIP() << "only root can mount a tmpfs";
  const auto device = open_device(tmpfs.path(), choice());
  must(device->prepare(0, std::uint64_t{512} << 10));
  EXPECT_EQ(code_of(device->prepare(1, std::uint64_t{1} << 20)), ErrorCode::no_space);
  EXPECT_EQ(must(device->slots()), std::vector<SlotNumber>{0});
  EXPECT_EQ(std::distance(fs::directory_iterator(tmpfs.path()), fs::directory_iterator()), 1);
  must(device->prepare(1, std::uint64_t{256} << 10));
  EXPECT_EQ(must(device->bytes_of(1)), std::uint64_t{256} << 10) << "the space was given back";
}

INSTANTIATE_TEST_SUITE_P(Both, JournalDevices,
                         testing::Combine(testing::Values(DeviceChoice::io_uring, DeviceChoice::pwritev2),
                                          testing::Values("/tmp", "/dev/shm")),
                         [](const auto& parameters) {
                           const bool uring = std::get<0>(parameters.param) == DeviceChoice::io_uring;
                           const bool disk = std::string_view(std::get<1>(parameters.param)) == "/tmp";
                           return std::string(uring ? "io_uring" : "pwritev2") + (disk ? "_disk" : "_tmpfs");
                         });

}  // namespace
}  // namespace ringmill::test
