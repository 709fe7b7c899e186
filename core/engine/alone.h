// Locks of the engine's lock file for what changes its shared memory as a whole.
#pragma once

#include "ipc/file.h"
#include "ipc/registry.h"

namespace ringmill {

class LockedByte {
 public:
  LockedByte(const File& file, std::uint64_t byte) noexcept : file_(&file), byte_(byte) {}
  LockedByte(const LockedByte&) = delete;
  LockedByte& operator=(const LockedByte&) = delete;
  ~LockedByte() { unlock_byte(*file_, byte_); }

 private:
  const File* file_;
  std::uint64_t byte_;
};

/// No process lives in any shared memory of the engine, and none enters one, or becomes its keeper, while this holds.
class LivingLockedOut {
 public:
  explicit LivingLockedOut(const File& file) noexcept : file_(&file) {}
  LivingLockedOut(const LivingLockedOut&) = delete;
  LivingLockedOut& operator=(const LivingLockedOut&) = delete;
  ~LivingLockedOut() {
    unlock_bytes(*file_, participant_lock_byte, most_participants);
    unlock_byte(*file_, keeper_lock_byte);
  }
  /// False: a process lives.
  Result<bool> try_lock() {
    auto alone = try_lock_byte(*file_, keeper_lock_byte);
    if (alone && *alone) alone = try_lock_bytes(*file_, participant_lock_byte, most_participants);
    return alone;
  }

 private:
  const File* file_;
};

}  // namespace ringmill
