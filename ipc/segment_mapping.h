// What a Segment has of its own: the file, the mapping, and what this process knows of it. For the segment's own files.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <vector>

#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

/// Allocates the bytes from `begin` to `end`; tmpfs undoes it if it cannot give all. Returns 0, or what errno would be.
inline int allocate_range(int descriptor, std::uint64_t begin, std::uint64_t end) noexcept {
  const NoFileSizeSignal no_signal;
  while (::fallocate(descriptor, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin), static_cast<off_t>(end - begin)) !=
         0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

struct Segment::Mapping {
  /// Whether the kernel has, or gives, this memory.
  bool has(Range range) const noexcept;

  File file;
  boost::interprocess::mapped_region region;
  Geometry geometry;
  Holes holes = Holes::filled;
  /// Of ipc/presence.h.
  std::vector<std::atomic<std::uint64_t>> chunks, arena, unique;
  std::atomic<std::uint64_t> known_chunks_left{0};
  /// Entries that this process knows to be allocated.
  std::atomic<std::uint32_t> known_entries{0};
  std::mutex looks_mutex;
  std::uint32_t looks = 0;  // of this process, by this mapping
};

}  // namespace ringmill
