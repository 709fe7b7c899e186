#include "core/journal/uring_device.h"

#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>

#include "core/base/log.h"

namespace ringmill {

namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

constexpr unsigned ring_entries = 64;
constexpr unsigned file_table_entries = 256;
constexpr std::uint64_t bell_data = ~std::uint64_t{0};
constexpr int most_tries = 100;
/// A write of up to this many bytes that would be alone is done at once: enough for several callers that wait for one
/// round.
constexpr std::size_t most_written_at_once = 16384;

/// Requests that the kernel has taken end within this time, unless the disk hangs.
constexpr std::chrono::seconds longest_end_wait{5};

bool is_worth_another_try(int error) noexcept { return error == EAGAIN || error == EINTR || error == ECANCELED; }
/// By a seccomp filter.
bool is_refusal(int error) noexcept { return error == EPERM || error == EACCES || error == ENOSYS; }

}  // namespace

Result<std::unique_ptr<IoRing>> IoRing::make(unsigned entries) {
  io_uring ring{};
  io_uring_params wanted{};
  wanted.flags = IORING_SETUP_COOP_TASKRUN;
  int error = ::io_uring_queue_init_params(entries, &ring, &wanted);
  if (error == -EINVAL) {
    wanted = {};
    error = ::io_uring_queue_init_params(entries, &ring, &wanted);
  }
  if (error != 0) return std::unexpected(system_error("no io_uring", "io_uring_setup", -error));
  File descriptor = File::above_standard(ring.ring_fd);
  if (!descriptor) return std::unexpected(system_error("no io_uring", "fcntl F_DUPFD_CLOEXEC"));
  ring.ring_fd = descriptor.descriptor();
  ring.enter_ring_fd = descriptor.release();
  std::unique_ptr<IoRing> made(new IoRing(ring));
  if ((wanted.features & IORING_FEAT_EXT_ARG) == 0) {
    return std::unexpected(Error(ErrorCode::system, "io_uring needs Linux 5.11 here"));
  }
  if (const int failed = ::io_uring_ring_dontfork(&made->ring_); failed != 0) {
    return std::unexpected(system_error("no io_uring", "madvise", -failed));
  }
  return made;
}

IoRing::~IoRing() {
  // In the child of a fork something else may be at the ring's addresses.
  if (fork_generation_ != fork_generation()) return;
  ring_.ring_fd = -1;  // descriptor_ closes it
  ::io_uring_queue_exit(&ring_);
}

Result<std::unique_ptr<JournalDevice>> UringDevice::open(SlotFiles& files) {
  auto ring = IoRing::make(ring_entries);
  if (!ring) return std::unexpected(ring.error());
  auto bell = WakeBell::make();
  if (!bell) return std::unexpected(bell.error());
  // Nothing is prepared: this only asks whether the call is allowed.
  if (const int tried = ::io_uring_enter((*ring)->get().ring_fd, 0, 0, 0, nullptr); tried < 0 && is_refusal(-tried)) {
    return std::unexpected(system_error("no io_uring", "io_uring_enter", -tried));
  }
  return std::unique_ptr<JournalDevice>(new UringDevice(std::move(files), std::move(*ring), std::move(*bell)));
}

UringDevice::UringDevice(SlotFiles files, std::unique_ptr<IoRing> ring, WakeBell bell)
    : SlotDevice(std::move(files), std::move(bell)), ring_(std::move(ring)) {
  std::array<int, file_table_entries> empty{};
  empty.fill(-1);
  has_file_table_ = ::io_uring_register_files(&ring_->get(), empty.data(), file_table_entries) == 0;
  is_registered_.resize(file_table_entries);
  arm_bell();
}

UringDevice::~UringDevice() {
  if (fork_generation_ != fork_generation()) return;
  // Writes in flight read the buffers, so wait for them. They end unless the disk hangs.
  try {
    std::vector<WriteOutcome> outcomes;
    const auto end = Clock::now() + longest_end_wait;
    while (in_flight_ > 0 && broken_ == 0 && Clock::now() < end) collect(outcomes, std::chrono::seconds(1));
  } catch (const std::exception&) {  // no memory for what ended: as if the disk hung
    return;
  }
  if (in_flight_ == 0 && broken_ == 0) files_.release_all();
}

Result<void> UringDevice::prepare(SlotNumber slot, std::uint64_t bytes) {
  forget_file(slot);  // the file may become another one
  return SlotDevice::prepare(slot, bytes);
}

Result<void> UringDevice::remove(SlotNumber slot) {
  forget_file(slot);
  return SlotDevice::remove(slot);
}

Result<std::vector<std::span<std::byte>>> UringDevice::buffers(std::size_t count, std::size_t bytes) {
  auto made = SlotDevice::buffers(count, bytes);
  if (!made) return made;
  std::vector<iovec> all;
  for (const auto& buffer : *made) all.push_back({.iov_base = buffer.data(), .iov_len = buffer.size()});
  const int refused = ::io_uring_register_buffers(&ring_->get(), all.data(), static_cast<unsigned>(all.size()));
  has_registered_buffers_ = refused == 0;
  if (!has_registered_buffers_) {
    log().info(
        "the journal's buffers are not registered, so each write looks its pages up: {}; let this user lock {} KiB "
        "of memory (RLIMIT_MEMLOCK)",
        system_error("io_uring_register", "buffers", -refused).message(), count * bytes / 1024);
  }
  return made;
}

void UringDevice::submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) {
  const bool is_alone = in_flight_ == 0 && done_.empty() && data.size() <= most_written_at_once;
  if (has_left_ring_ || is_alone) {
    done_.push_back({.token = token, .error = files_.write_durably(slot, offset, data)});
    return;
  }
  auto place = std::ranges::find_if(writes_, &Write::is_free);
  if (place == writes_.end()) place = writes_.emplace(writes_.end());
  *place = {.slot = slot, .offset = offset, .data = data, .token = token, .is_free = false};
  ++in_flight_;
  start(static_cast<std::size_t>(place - writes_.begin()));
  if (!has_left_ring_) enter(nanoseconds(0));
}

io_uring_sqe* UringDevice::entry() {
  io_uring_sqe* entry = ::io_uring_get_sqe(&ring_->get());
  while (entry == nullptr) {  // more at once than the ring has places
    const int result = ::io_uring_submit(&ring_->get());
    if (result < 0 && result != -EBUSY && !is_worth_another_try(-result)) {
      look_at_refusal(-result);
      return nullptr;
    }
    entry = ::io_uring_get_sqe(&ring_->get());
  }
  return entry;
}

void UringDevice::set_file(io_uring_sqe& entry, int descriptor, SlotNumber slot) {
  if (!has_file_table_ || slot >= is_registered_.size()) return;
  if (!is_registered_[slot]) {
    is_registered_[slot] = ::io_uring_register_files_update(&ring_->get(), slot, &descriptor, 1) == 1;
  }
  if (!is_registered_[slot]) return;
  entry.fd = static_cast<int>(slot);
  entry.flags |= IOSQE_FIXED_FILE;
}

void UringDevice::forget_file(SlotNumber slot) noexcept {
  if (slot >= is_registered_.size() || !is_registered_[slot]) return;
  const int nothing = -1;
  ::io_uring_register_files_update(&ring_->get(), slot, &nothing, 1);
  is_registered_[slot] = false;
}

void UringDevice::start(std::size_t number) {
  writes_[number].is_requested = false;
  if (has_left_ring_) return write_without_ring(number);
  io_uring_sqe* const made = entry();
  // Nothing: leave_ring() has written it, or broken_ ends it.
  if (made != nullptr) request(*made, number);
}

void UringDevice::request(io_uring_sqe& made, std::size_t number) {
  Write& write = writes_[number];
  write.is_requested = true;
  // A slot that cannot be opened makes the write fail with EBADF.
  const int descriptor = files_.descriptor_of(write.slot).value_or(-1);
  const auto bytes = static_cast<unsigned>(write.data.size());
  if (write.syncs) {
    ::io_uring_prep_fsync(&made, descriptor, IORING_FSYNC_DATASYNC);
  } else if (has_registered_buffers_) {
    const auto& all = buffers_.spans();
    const auto index = (write.data.data() - all.front().data()) / static_cast<std::ptrdiff_t>(all.front().size());
    ::io_uring_prep_write_fixed(&made, descriptor, write.data.data(), bytes, write.offset, static_cast<int>(index));
  } else {
    ::io_uring_prep_write(&made, descriptor, write.data.data(), bytes, write.offset);
  }
  if (descriptor >= 0) set_file(made, descriptor, write.slot);
  ::io_uring_sqe_set_data64(&made, number);
}

void UringDevice::arm_bell() {
  io_uring_sqe* const made = has_left_ring_ ? nullptr : entry();
  if (made == nullptr) return;
  ::io_uring_prep_poll_add(made, bell_.descriptor(), POLLIN);
  ::io_uring_sqe_set_data64(made, bell_data);
}

/// Handles a kernel that no longer takes requests.
void UringDevice::look_at_refusal(int error) {
  if (is_refusal(error) && broken_ == 0) {
    leave_ring(error);
  } else {
    broken_ = error;
  }
}

/// Switches to synchronous writes. It waits for the requests that the kernel has taken: a late write would destroy the
/// next contents of its block. It writes the others itself.
void UringDevice::leave_ring(int error) {
  has_left_ring_ = true;
  std::vector<bool> is_taken(writes_.size());
  for (std::size_t n = 0; n < writes_.size(); ++n) is_taken[n] = !writes_[n].is_free && writes_[n].is_requested;
  const io_uring_sq& queue = ring_->get().sq;
  for (unsigned at = *queue.khead; at != queue.sqe_tail; ++at) {
    const std::uint64_t data = queue.sqes[at & *queue.kring_mask].user_data;
    if (data < is_taken.size()) is_taken[data] = false;
  }
  std::vector<std::size_t> never_taken;
  for (std::size_t n = 0; n < writes_.size(); ++n) {
    if (!writes_[n].is_free && !is_taken[n]) never_taken.push_back(n);
  }
  if (!wait_for_taken(is_taken)) {
    broken_ = error;
    return;
  }
  for (const std::size_t number : never_taken) write_without_ring(number);
  log().warn("the journal goes on with pwritev2, one block at a time: {}",
             system_error("io_uring_enter is refused", "seccomp", error).message());
}

bool UringDevice::wait_for_taken(const std::vector<bool>& is_taken) {
  const auto end = Clock::now() + longest_end_wait;
  const auto some_is_left = [&] {
    for (std::size_t n = 0; n < is_taken.size(); ++n) {
      if (is_taken[n] && !writes_[n].is_free) return true;
    }
    return false;
  };
  while (some_is_left()) {
    reap(done_);
    if (!some_is_left()) break;
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void UringDevice::write_without_ring(std::size_t number) {
  const Write& write = writes_[number];
  int error = write.syncs ? 0 : files_.write_durably(write.slot, write.offset, write.data);
  // Bytes that the ring wrote before are not on the device: the writes above sync only their own bytes.
  if (error == 0 && (write.syncs || write.is_parted)) error = files_.sync(write.slot) ? 0 : EIO;
  end(number, error, done_);
}

/// Submits the prepared requests, and waits for a completion.
void UringDevice::enter(nanoseconds wait) {
  int result = 0;
  if (wait.count() <= 0) {
    result = ::io_uring_submit_and_get_events(&ring_->get());
  } else {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wait);
    __kernel_timespec bound{.tv_sec = seconds.count(), .tv_nsec = (wait - seconds).count()};
    io_uring_cqe* first = nullptr;
    result = ::io_uring_submit_and_wait_timeout(&ring_->get(), &first, 1, &bound, nullptr);
  }
  // EBUSY: completions were not collected. The next call submits the rest.
  if (result < 0 && result != -ETIME && result != -EBUSY && !is_worth_another_try(-result)) look_at_refusal(-result);
}

void UringDevice::collect(std::vector<WriteOutcome>& outcomes, nanoseconds wait) {
  const std::size_t before = outcomes.size();
  const auto longest = std::clamp<nanoseconds>(wait, nanoseconds(0), std::chrono::hours(1));
  const auto until = Clock::now() + longest;
  take_done(outcomes);
  if (!has_left_ring_) reap(outcomes);
  if (outcomes.size() == before && in_flight_ > 0 && !has_left_ring_) {
    enter(nanoseconds(0));
    reap(outcomes);
  }
  while (outcomes.size() == before && done_.empty() && broken_ == 0 && !is_rung_ && !has_left_ring_) {
    const auto left = until - Clock::now();
    if (longest.count() == 0 || left.count() <= 0) break;
    enter(left);
    reap(outcomes);
  }
  take_done(outcomes);
  if (broken_ != 0) end_all(broken_, outcomes);
  if (has_left_ring_ && longest.count() > 0 && outcomes.size() == before) bell_.wait(longest);
  // A call that did not wait leaves the bell rung: it ends the next wait.
  if (is_rung_ && longest.count() > 0 && outcomes.size() == before) {
    is_rung_ = false;
    bell_.take_in();
    arm_bell();
  }
}

void UringDevice::take_done(std::vector<WriteOutcome>& outcomes) {
  outcomes.insert(outcomes.end(), done_.begin(), done_.end());
  done_.clear();
}

void UringDevice::reap(std::vector<WriteOutcome>& outcomes) {
  io_uring_cqe* done = nullptr;
  while (::io_uring_peek_cqe(&ring_->get(), &done) == 0 && done != nullptr) {
    const std::uint64_t data = ::io_uring_cqe_get_data64(done);
    const int result = done->res;
    ::io_uring_cqe_seen(&ring_->get(), done);
    if (data != bell_data) {
      take_in(static_cast<std::size_t>(data), result, outcomes);
    } else if (result >= 0) {
      is_rung_ = true;
    } else {
      arm_bell();  // cancelled with the thread that armed it
    }
  }
}

void UringDevice::take_in(std::size_t number, int result, std::vector<WriteOutcome>& outcomes) {
  Write& write = writes_[number];
  if (write.is_free) return;
  if (result < 0) {
    if (!is_worth_another_try(-result) || ++write.tries > most_tries) return end(number, -result, outcomes);
    return start(number);
  }
  if (write.syncs) return end(number, 0, outcomes);
  if (result == 0) return end(number, EIO, outcomes);
  const auto written = static_cast<std::size_t>(result);
  write.offset += written;
  write.data = write.data.subspan(written);
  write.is_parted = true;
  if (!write.data.empty()) return start(number);
  write.syncs = true;
  start(number);
}

void UringDevice::end(std::size_t number, int error, std::vector<WriteOutcome>& outcomes) {
  outcomes.push_back({.token = writes_[number].token, .error = error});
  writes_[number].is_free = true;
  --in_flight_;
}

void UringDevice::end_all(int error, std::vector<WriteOutcome>& outcomes) {
  for (std::size_t number = 0; number < writes_.size(); ++number) {
    if (!writes_[number].is_free) end(number, error, outcomes);
  }
}

}  // namespace ringmill
