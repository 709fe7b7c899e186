// The seam under the journal: files of one size in one directory, written durably, several writes at a time.
// core/journal/uring_device, core/journal/file_device, and tests/journal/disk_model implement it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "ipc/directory.h"

namespace ringmill {

/// Which of the journal's files: 0, 1, 2 ... A file is used again and again for new segments.
using SlotNumber = std::uint32_t;

/// A write that has ended.
struct WriteOutcome {
  std::uint64_t token = 0;  // as given to submit()
  int error = 0;            // 0: all of it is durable; else an errno
};

/// Not thread-safe: one thread at a time. Offsets, lengths and addresses of data are multiples of journal_unit.
class JournalDevice {
 public:
  virtual ~JournalDevice() = default;

  /// "io_uring", "pwritev2", ...: what `ringmill status` shows.
  virtual std::string_view mode() const noexcept = 0;
  /// False: the kernel did not register the buffers, for want of memory that may be locked. Known after buffers().
  virtual bool has_locked_buffers() const noexcept { return true; }

  /// The slots whose files are there, in rising order.
  virtual Result<std::vector<SlotNumber>> slots() = 0;
  virtual Result<std::uint64_t> bytes_of(SlotNumber slot) = 0;
  /// Makes the file, `bytes` long, every byte written once with zeros and durable with its directory entry, so that
  /// later writes change no metadata. A file that is there and too short, or was left half-made, is made anew.
  /// Errors: no_space, permission_denied, system.
  virtual Result<void> prepare(SlotNumber slot, std::uint64_t bytes) = 0;
  virtual Result<void> remove(SlotNumber slot) = 0;

  /// Takes the fence: a lock on the very file that is written, which writes of a dead process that are still in flight
  /// hold too. Returns false if another process, or a write in flight, has it. It is held until release(), or until the
  /// device is destroyed.
  virtual Result<bool> try_fence(SlotNumber slot) = 0;
  virtual void release(SlotNumber slot) noexcept = 0;

  /// Reads; a read beyond the end is an error. Returns when done.
  virtual Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) = 0;
  /// Everything that any process ever wrote to the slot is durable when this returns.
  virtual Result<void> sync(SlotNumber slot) = 0;

  /// Buffers for submit(), aligned and registered where that helps: `count` of `bytes` each. Called once, before the
  /// first submit().
  virtual Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) = 0;
  /// Starts a durable write of `data`, which lies in one of buffers() and stays untouched until its outcome was
  /// collected. Never blocks for longer than handing over takes (a synchronous device may do the whole write here).
  virtual void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) = 0;
  /// Appends the outcomes that are there; waits up to `wait` for the first if there is none. wake() ends the wait.
  virtual void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) = 0;
  /// From any thread: ends a collect() that waits, or the next one.
  virtual void wake() noexcept = 0;
};

enum class DeviceChoice { automatic, io_uring, pwritev2 };

/// The device on the directory of an engine's journal. `automatic` takes io_uring where the kernel lets us, and says
/// once in the log when it does not. Errors: permission_denied, not_found, system.
Result<std::unique_ptr<JournalDevice>> open_journal_device(const Directory& directory, DeviceChoice choice,
                                                           std::uint32_t file_mode);
using DeviceOpener = std::function<decltype(open_journal_device)>;

}  // namespace ringmill
