// The journal's device on io_uring: several writes in flight, from registered buffers to registered files.
//
// Needs Linux 5.11 (IORING_FEAT_EXT_ARG: a wait with a bound) and liburing 2.2 (io_uring_submit_and_get_events). Used
// where the kernel has it, found out at the start:
//   IORING_SETUP_COOP_TASKRUN  Linux 5.19: a write that ends does not interrupt the thread that started it
//   registered buffers         Linux 5.1; they count as locked memory, so RLIMIT_MEMLOCK refuses them to a user without
//                              CAP_IPC_LOCK: then the kernel looks the pages up at each write, and the log says so
//   registered files           Linux 5.5 with empty places in the table
// A write is two requests, one after the other: WRITE_FIXED (or WRITE, 5.6), then FSYNC of the data. One write with
// RWF_DSYNC would do, but the kernel ends it in a worker that is bound to the CPU of the disk's interrupt. On a busy
// machine that worker waits for the end of a time slice: 4 ms instead of 0.15 (docs/decisions/0011-io-uring.md).
//
// A small write that would be alone in flight is no request at all: the calling thread does it, with RWF_DSYNC, before
// submit() returns. A caller may wait for it, and through the ring a kernel thread would sync it and then wake ours.
//
// Not used: IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN (6.0, 6.1) bind the ring to one thread for life, and a device
// may be opened by one thread and used by another (docs/decisions/0011-io-uring.md).
//
// A seccomp filter may refuse io_uring_enter alone. One that is there at the start makes open() fail; one that comes
// later, when the program around us gives its rights up, makes the device go over to pwritev2 (leave_ring()).
//
// A thread that ends takes some of its requests with it (ECANCELED): those are started anew, like EAGAIN and EINTR.
#pragma once

#include <liburing.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/journal/slot_device.h"
#include "ipc/fork_guard.h"

namespace ringmill {

/// The ring itself. In the child of a fork it is gone: a child that kept it would keep the files in it, and so a fence.
class IoRing {
 public:
  /// Error system: no io_uring here; the message says why.
  static Result<std::unique_ptr<IoRing>> make(unsigned entries);
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;
  ~IoRing();

  io_uring& get() noexcept { return ring_; }

 private:
  explicit IoRing(const io_uring& made) : ring_(made), descriptor_(File(made.ring_fd)) {}
  io_uring ring_;
  ForkClosedFile descriptor_;
  std::uint32_t fork_generation_ = fork_generation();
};

class UringDevice final : public SlotDevice {
 public:
  /// Takes `files` only when it succeeds.
  static Result<std::unique_ptr<JournalDevice>> open(SlotFiles& files);
  ~UringDevice() override;

  std::string_view mode() const noexcept override { return has_left_ring_ ? "pwritev2" : "io_uring"; }
  bool has_locked_buffers() const noexcept override { return has_left_ring_ || has_registered_buffers_; }
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override;
  Result<void> remove(SlotNumber slot) override;
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override;
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override;
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override;

 private:
  /// A write that has not ended; its place in writes_ is what the kernel gives back.
  struct Write {
    SlotNumber slot = 0;
    std::uint64_t offset = 0;
    std::span<const std::byte> data;  // what is left of it
    std::uint64_t token = 0;
    bool syncs = false;  // written; its fdatasync is under way
    bool is_free = true;
    bool is_requested = false;  // the ring has its request, or had
    bool is_parted = false;     // the kernel took a part of it, which nothing has synced
    int tries = 0;
  };

  UringDevice(SlotFiles files, std::unique_ptr<IoRing> ring, WakeBell bell);
  /// Nothing: the ring is full, and the kernel takes nothing more.
  io_uring_sqe* entry();
  void start(std::size_t write);
  void request(io_uring_sqe& entry, std::size_t write);
  void set_file(io_uring_sqe& entry, int descriptor, SlotNumber slot);
  void forget_file(SlotNumber slot) noexcept;
  void arm_bell();
  void enter(std::chrono::nanoseconds wait);
  void look_at_refusal(int error);
  void leave_ring(int error);
  bool wait_for_taken(const std::vector<bool>& is_taken);
  void write_without_ring(std::size_t write);
  void take_done(std::vector<WriteOutcome>& outcomes);
  void reap(std::vector<WriteOutcome>& outcomes);
  void take_in(std::size_t write, int result, std::vector<WriteOutcome>& outcomes);
  void end(std::size_t write, int error, std::vector<WriteOutcome>& outcomes);
  void end_all(int error, std::vector<WriteOutcome>& outcomes);

  bool has_registered_buffers_ = false;
  bool has_file_table_ = false;
  std::vector<bool> is_registered_;  // by slot
  std::vector<WriteOutcome> done_;   // of writes that were done at once
  std::vector<Write> writes_;
  std::size_t in_flight_ = 0;
  bool is_rung_ = false;
  std::uint32_t fork_generation_ = fork_generation();
  bool has_left_ring_ = false;  // writes are done at once, by pwritev2
  int broken_ = 0;              // the errno with which the ring refused to go on
  // Goes first, before the files and the buffers: nothing of them may be in use any more.
  std::unique_ptr<IoRing> ring_;
};

}  // namespace ringmill
