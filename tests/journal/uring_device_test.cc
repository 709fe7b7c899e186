#include "core/journal/uring_device.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <random>
#include <thread>

#include "tests/journal/device_test_support.h"
#include "tests/support/child.h"
#include "tests/support/log_capture.h"
#include "tests/support/refused_calls.h"

namespace ringmill::test {
namespace {

/// Writes four units and reads them back: 0 if they are there.
int write_and_read(JournalDevice& device) {
  must(device.prepare(0, test_file_bytes));
  const auto buffers = must(device.buffers(2, most_block_bytes));
  constexpr std::size_t bytes = 2 * journal_unit;
  for (unsigned n = 0; n < 2; ++n) {
    fill(buffers[n].first(bytes), n);
    device.submit(0, n * bytes, buffers[n].first(bytes), n);
  }
  for (const WriteOutcome& outcome : collect_all(device, 2)) {
    if (outcome.error != 0) return outcome.error;
  }
  for (unsigned n = 0; n < 2; ++n) {
    if (!(FileBytes(device, 0, n * bytes, bytes) == buffers[n].first(bytes))) return 1;
  }
  return 0;
}

/// Runs in a child, where `prepare` takes something away first.
int in_a_child(const std::function<void()>& prepare, const std::function<int()>& body) {
  return Child([&] {
           prepare();
           return body();
         })
      .wait();
}

void refuse_io_uring() { refuse_call(SYS_io_uring_setup, EPERM); }

TEST(UringDevice, is_what_a_journal_gets_where_the_kernel_has_it) {
  const ScratchFolder folder;
  EXPECT_EQ(open_device(folder.path(), DeviceChoice::automatic)->mode(), "io_uring");
}

TEST(UringDevice, where_it_is_refused_the_journal_takes_pwritev2_and_says_so_once) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child(refuse_io_uring,
                       [&] {
                         const LogCapture captured;
                         const auto device = open_device(folder.path(), DeviceChoice::automatic);
                         if (device->mode() != "pwritev2") return 10;
                         if (captured.count("Operation not permitted") != 1) return 11;
                         return write_and_read(*device);
                       }),
            0);
}

TEST(UringDevice, a_caller_that_asks_for_it_by_name_gets_an_error_when_it_is_refused) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child(refuse_io_uring,
                       [&] {
                         const auto device =
                             open_journal_device(must(Directory::open(folder.path())), DeviceChoice::io_uring, 0600);
                         return !device && device.error().message().find("io_uring") != std::string::npos ? 0 : 1;
                       }),
            0);
}

class WithoutAbilities : public testing::TestWithParam<DeviceChoice> {};

TEST_P(WithoutAbilities, a_file_system_that_refuses_O_DIRECT_is_written_through_the_page_cache) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] { refuse_call(SYS_openat, EINVAL, 2, O_DIRECT); },
                       [&] {
                         const LogCapture captured;
                         const auto device = open_device(folder.path(), GetParam());
                         return captured.has("page cache") ? write_and_read(*device) : 10;
                       }),
            0);
}

INSTANTIATE_TEST_SUITE_P(Both, WithoutAbilities, testing::Values(DeviceChoice::io_uring, DeviceChoice::pwritev2),
                         [](const auto& parameters) {
                           return parameters.param == DeviceChoice::io_uring ? "io_uring" : "pwritev2";
                         });

/// Whether all is written that a thread has started which ends before the kernel has begun with most of it.
int write_in_a_short_thread(const std::filesystem::path& directory) {
  const auto device = open_device(directory, DeviceChoice::io_uring);
  constexpr std::size_t count = 32;
  must(device->prepare(0, count * most_block_bytes));
  const auto buffers = must(device->buffers(count, most_block_bytes));
  std::thread([&] {
    for (std::size_t n = 0; n < count; ++n) {
      buffers[n][0] = static_cast<std::byte>(n + 1);
      device->submit(0, n * most_block_bytes, buffers[n], n);
    }
  }).join();
  for (const WriteOutcome& outcome : collect_all(*device, count)) {
    if (outcome.error != 0) return outcome.error;
  }
  for (std::size_t n = 0; n < count; ++n) {
    if (!(FileBytes(*device, 0, n * most_block_bytes, most_block_bytes) == buffers[n])) return 1;
  }
  return 0;
}

TEST(UringDevice, what_the_kernel_cancels_with_a_thread_is_started_again) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] { refuse_call(SYS_openat, EINVAL, 2, O_DIRECT); },
                       [&] { return write_in_a_short_thread(folder.path()); }),
            0);
}

TEST(UringDevice, does_without_locked_buffers_and_privileges) {
  const ScratchFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  EXPECT_EQ(in_a_child(
                [] {
                  // Enough for the ring, not for the buffers.
                  const rlimit little{.rlim_cur = 65536, .rlim_max = 65536};
                  if (::setrlimit(RLIMIT_MEMLOCK, &little) != 0) throw std::runtime_error("setrlimit");
                  constexpr unsigned nobody = 65534;
                  if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
                                          ::setresuid(nobody, nobody, nobody) != 0)) {
                    throw std::runtime_error("setresuid");
                  }
                },
                [&] { return write_and_read(*open_device(folder.path(), DeviceChoice::io_uring)); }),
            0);
}

void limit_file_size(std::uint64_t bytes) {
  const rlimit limit{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("setrlimit");
}

/// Starts a write of eight units of which the kernel, at first, takes only the first two.
int write_across_a_limit(
    const std::filesystem::path& directory, bool lift_the_limit, const std::function<void()>& meanwhile = [] {}) {
  const auto device = open_device(directory, DeviceChoice::io_uring);
  must(device->prepare(0, test_file_bytes));
  const auto buffer = must(device->buffers(1, 8 * journal_unit)).front();
  fill(buffer, 1);
  std::signal(SIGXFSZ, SIG_IGN);
  limit_file_size(10 * journal_unit);
  device->submit(0, 8 * journal_unit, buffer, 1);
  if (lift_the_limit) limit_file_size(RLIM_INFINITY);
  meanwhile();
  if (const int error = collect_all(*device, 1).at(0).error; error != 0) return error;
  return FileBytes(*device, 0, 8 * journal_unit, buffer.size()) == buffer ? 0 : 1;
}

TEST(UringDevice, where_the_ring_may_not_be_entered_the_journal_takes_pwritev2) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] { refuse_call(SYS_io_uring_enter, EPERM); },
                       [&] {
                         const auto device = open_device(folder.path(), DeviceChoice::automatic);
                         return device->mode() == "pwritev2" ? write_and_read(*device) : 2;
                       }),
            0);
}

/// The writes before the filter are in flight or done, those behind it find the ring closed.
int write_while_the_ring_is_closed(const std::filesystem::path& directory) {
  const auto device = open_device(directory, DeviceChoice::io_uring);
  constexpr std::size_t bytes = 8 * journal_unit;
  constexpr std::size_t count = 6;
  must(device->prepare(0, count * bytes));
  const auto buffers = must(device->buffers(count, bytes));
  for (std::size_t n = 0; n < count; ++n) {
    fill(buffers[n], static_cast<unsigned>(n));
    if (n == count / 2) refuse_call(SYS_io_uring_enter, EPERM);
    device->submit(0, n * bytes, buffers[n], n);
  }
  const auto outcomes = collect_all(*device, count);
  if (outcomes.size() != count) return 2;
  for (const WriteOutcome& outcome : outcomes) {
    if (outcome.error != 0) return outcome.error;
  }
  for (std::size_t n = 0; n < count; ++n) {
    if (!(FileBytes(*device, 0, n * bytes, bytes) == buffers[n])) return 3;
  }
  if (device->mode() != "pwritev2") return 4;
  // A wake still ends a wait.
  std::thread waker([&] { device->wake(); });
  std::vector<WriteOutcome> none;
  const auto began = std::chrono::steady_clock::now();
  device->collect(none, 2 * generous);
  waker.join();
  return std::chrono::steady_clock::now() - began < generous ? 0 : 5;
}

TEST(UringDevice, a_ring_that_is_closed_on_the_way_loses_no_write) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] {}, [&] { return write_while_the_ring_is_closed(folder.path()); }), 0);
}

/// Writes of random sizes with collecting in between; the ring is closed before write number `closed_at`. Each write
/// ends once, without an error, and its bytes are in the file.
int write_and_close_at(const std::filesystem::path& directory, std::size_t closed_at, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto device = open_device(directory, DeviceChoice::io_uring);
  constexpr std::size_t count = 100;  // more than the ring has places
  constexpr std::size_t most_units = 10;
  must(device->prepare(0, count * most_units * journal_unit));
  const auto buffers = must(device->buffers(count, most_units * journal_unit));
  std::vector<std::span<std::byte>> written;
  std::vector<WriteOutcome> outcomes;
  for (std::size_t n = 0; n < count; ++n) {
    if (n == closed_at) refuse_call(SYS_io_uring_enter, random() % 2 == 0 ? EPERM : ENOSYS);
    written.push_back(buffers[n].first((1 + random() % most_units) * journal_unit));
    fill(written[n], static_cast<unsigned>(n));
    device->submit(0, n * most_units * journal_unit, written[n], n);
    if (random() % 8 == 0) device->collect(outcomes, std::chrono::microseconds(random() % 200));
  }
  await([&] {
    if (outcomes.size() < count) device->collect(outcomes, std::chrono::milliseconds(20));
    return outcomes.size() >= count;
  });
  device->collect(outcomes, std::chrono::milliseconds(1));
  if (outcomes.size() != count) return 2;
  std::vector<int> ends(count, 0);
  for (const WriteOutcome& outcome : outcomes) {
    if (outcome.error != 0) return 3;
    ++ends.at(outcome.token);
  }
  if (std::ranges::any_of(ends, [](int times) { return times != 1; })) return 4;
  for (std::size_t n = 0; n < count; ++n) {
    if (!(FileBytes(*device, 0, n * most_units * journal_unit, written[n].size()) == written[n])) return 5;
  }
  return device->mode() == (closed_at < count ? "pwritev2" : "io_uring") ? 0 : 6;
}

TEST(UringDevice, wherever_a_ring_is_closed_each_write_ends_once_and_is_in_the_file) {
  const ScratchFolder folder;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const std::size_t closed_at = seed * 37 % 99;
    EXPECT_EQ(in_a_child([] {}, [&] { return write_and_close_at(folder.path(), closed_at, seed); }), 0)
        << "seed " << seed;
  }
}

TEST(UringDevice, a_short_write_is_continued_where_the_ring_is_closed_meanwhile) {
  const ScratchFolder folder;
  EXPECT_EQ(
      in_a_child(
          [] {},
          [&] { return write_across_a_limit(folder.path(), true, [] { refuse_call(SYS_io_uring_enter, EPERM); }); }),
      0);
}

TEST(UringDevice, a_short_write_is_continued) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] {}, [&] { return write_across_a_limit(folder.path(), true); }), 0);
}

TEST(UringDevice, a_write_that_fails_in_its_second_part_has_failed) {
  const ScratchFolder folder;
  EXPECT_EQ(in_a_child([] {}, [&] { return write_across_a_limit(folder.path(), false); }), EFBIG);
}

TEST(UringDeviceInProcess, a_small_write_that_is_alone_has_ended_when_it_is_submitted) {
  const ScratchFolder folder;
  const auto device = open_device(folder.path(), DeviceChoice::io_uring);
  must(device->prepare(0, test_file_bytes));
  const auto buffer = must(device->buffers(1, journal_unit)).front();
  fill(buffer, 1);
  device->submit(0, journal_unit, buffer, 7);
  EXPECT_TRUE(FileBytes(*device, 0, journal_unit, journal_unit) == buffer);
  std::vector<WriteOutcome> outcomes;
  device->collect(outcomes, std::chrono::nanoseconds(0));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].token, 7U);
  EXPECT_EQ(outcomes[0].error, 0);
}

TEST(UringDeviceInProcess, takes_more_writes_than_the_ring_has_places) {
  const ScratchFolder folder;
  const auto device = open_device(folder.path(), DeviceChoice::io_uring);
  constexpr std::size_t count = 300;
  must(device->prepare(0, count * journal_unit));
  const auto buffers = must(device->buffers(count, journal_unit));
  for (std::size_t n = 0; n < count; ++n) {
    fill(buffers[n], static_cast<unsigned>(n));
    device->submit(0, n * journal_unit, buffers[n], n);
  }
  EXPECT_EQ(collect_all(*device, count).size(), count);
  for (std::size_t n = 0; n < count; ++n) {
    ASSERT_TRUE(FileBytes(*device, 0, n * journal_unit, journal_unit) == buffers[n]) << n;
  }
}

TEST(UringDeviceInProcess, what_a_thread_has_started_another_collects_after_its_end) {
  const ScratchFolder folder;
  const auto device = open_device(folder.path(), DeviceChoice::io_uring);
  must(device->prepare(0, test_file_bytes));
  const auto buffers = must(device->buffers(8, 4 * journal_unit));
  std::thread([&] {
    for (std::size_t n = 0; n < buffers.size(); ++n) {
      fill(buffers[n], static_cast<unsigned>(n));
      device->submit(0, n * 4 * journal_unit, buffers[n], n);
    }
  }).join();
  for (const WriteOutcome& outcome : collect_all(*device, buffers.size())) EXPECT_EQ(outcome.error, 0);
  for (std::size_t n = 0; n < buffers.size(); ++n) {
    EXPECT_TRUE(FileBytes(*device, 0, n * 4 * journal_unit, 4 * journal_unit) == buffers[n]) << n;
  }
}

TEST(UringDeviceInProcess, a_wake_is_heard_after_the_end_of_the_thread_that_opened_the_device) {
  const ScratchFolder folder;
  std::unique_ptr<JournalDevice> device;
  std::thread([&] { device = open_device(folder.path(), DeviceChoice::io_uring); }).join();
  std::vector<WriteOutcome> outcomes;
  for (int n = 0; n < 3; ++n) {
    std::thread waker([&] { device->wake(); });
    const auto began = std::chrono::steady_clock::now();
    device->collect(outcomes, 2 * generous);
    EXPECT_LT(std::chrono::steady_clock::now() - began, generous);
    waker.join();
  }
}

}  // namespace
}  // namespace ringmill::test
