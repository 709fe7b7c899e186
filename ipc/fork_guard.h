// fork() in a process that uses an engine: the child must not act as the parent's participant, and must not keep the
// parent's locks alive (hazards 14 and 19 in docs/hazards.md).
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/file.h"

namespace ringmill {

/// How often this process came into being by fork since the library was first used. A handle remembers it; a difference
/// means that the handle belongs to the parent.
std::uint32_t fork_generation() noexcept;

/// The calling thread's number, or 0 before it asked for one by number_this_thread(), and again in the child of a fork:
/// a handle that remembers a number belongs to this thread of this process exactly when the two are equal. Only to be
/// read; one load of thread-local memory.
inline constinit thread_local std::uint64_t this_thread_number = 0;
/// Gives the calling thread a number from 1 on, unless it has one. No two threads of a process, and none of its parent,
/// have the same.
std::uint64_t number_this_thread() noexcept;

/// A file whose descriptor is closed in the child of a fork, so that its locks end with the process that took them.
class ForkClosedFile {
 public:
  explicit ForkClosedFile(File file);
  ForkClosedFile(const ForkClosedFile&) = delete;
  ForkClosedFile& operator=(const ForkClosedFile&) = delete;
  ~ForkClosedFile();
  const File& file() const noexcept { return file_; }

 private:
  friend struct ForkRegistry;
  File file_;
  ForkClosedFile* next_ = nullptr;
  ForkClosedFile* previous_ = nullptr;
};

}  // namespace ringmill
