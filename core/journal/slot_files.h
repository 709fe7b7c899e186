// The journal's files: what both devices do the same way. Named NNNN.segment, all in one directory; made whole or not
// at all; opened once, and closed in the child of a fork so that a fence ends with the process that took it
// (hazard 19 in docs/hazards.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "core/journal/device.h"
#include "ipc/directory.h"
#include "ipc/file.h"
#include "ipc/fork_guard.h"

namespace ringmill {

/// The abilities of the file system under the journal, found by trying (tmpfs and FUSE lack some).
struct WriteAbilities {
  bool direct = false;   // O_DIRECT with units of journal_unit; else through the page cache
  bool durable = false;  // RWF_DSYNC (Linux 4.7): the write ends when it is durable; else fdatasync follows it
};

/// The slots that have files in a journal's directory, in rising order. What is no plain file under such a name is none
/// of ours: it is told in the log and counts as not there.
Result<std::vector<SlotNumber>> slots_in(const Directory& directory);

class SlotFiles {
 public:
  static constexpr SlotNumber most_slots = 10'000;  // four digits

  /// Errors: not_found, permission_denied (the directory cannot be written), no_space, system.
  static Result<SlotFiles> open(const Directory& directory, std::uint32_t file_mode);

  const WriteAbilities& abilities() const noexcept { return abilities_; }
  std::filesystem::path path_of(SlotNumber slot) const;  // for messages

  // As in JournalDevice.
  Result<std::vector<SlotNumber>> slots() const;
  Result<std::uint64_t> bytes_of(SlotNumber slot) const;
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes);
  Result<void> remove(SlotNumber slot);
  Result<bool> try_fence(SlotNumber slot);
  void release(SlotNumber slot) noexcept;
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to);
  Result<void> sync(SlotNumber slot);
  /// Returns when all of it is durable: 0, or the errno.
  int write_durably(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data);

  /// For the end of a device that has nothing in flight: its fences end now, not when the kernel has taken the ring
  /// apart.
  void release_all() noexcept;

  /// The one open file of a slot, which carries its fence. Opened at first use.
  Result<int> descriptor_of(SlotNumber slot);

 private:
  SlotFiles(Directory directory, std::uint32_t file_mode) noexcept
      : directory_(std::move(directory)), file_mode_(file_mode) {}
  Result<void> find_abilities();
  Result<void> make_whole(std::string_view name, std::uint64_t bytes) const;
  void remove_half_made(SlotNumber slot) const;
  Result<void> put_in_place(std::string_view half_made, std::string_view name) const;
  int flags() const noexcept;
  void close(SlotNumber slot) noexcept;

  Directory directory_;
  std::uint32_t file_mode_;
  WriteAbilities abilities_;
  std::vector<std::unique_ptr<ForkClosedFile>> open_;  // by slot
};

/// Memory for submit(). The child of a fork does not get it: a page that a device writes from must not become one that
/// two processes share until the next write to it.
class WriteBuffers {
 public:
  WriteBuffers() noexcept = default;
  static Result<WriteBuffers> make(std::size_t count, std::size_t bytes);
  WriteBuffers(WriteBuffers&& other) noexcept;
  WriteBuffers& operator=(WriteBuffers&& other) noexcept;
  ~WriteBuffers();

  const std::vector<std::span<std::byte>>& spans() const noexcept { return spans_; }

 private:
  std::span<std::byte> all_;
  std::vector<std::span<std::byte>> spans_;
  std::uint32_t fork_generation_ = 0;
};

/// A bell that one thread waits for and any thread rings. It stays rung until it is taken in.
class WakeBell {
 public:
  static Result<WakeBell> make();
  void ring() noexcept;
  /// True: it was rung since it was last taken in.
  bool take_in() noexcept;
  /// Waits until it is rung, and takes that in.
  void wait(std::chrono::nanoseconds longest) noexcept;
  int descriptor() const noexcept { return file_.descriptor(); }

 private:
  explicit WakeBell(File file) noexcept : file_(std::move(file)) {}
  File file_;
};

}  // namespace ringmill
