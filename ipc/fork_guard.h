// fork() in a process that uses an engine (hazards 14 and 19): the child must not act as the parent's participant, and
// must not keep the parent's locks alive.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/file.h"

namespace ringmill {

/// How often this process came into being by fork since the library was first used. A handle remembers it; a difference
/// means that the handle belongs to the parent. One relaxed load of a line that only fork writes.
std::uint32_t fork_generation() noexcept;

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
