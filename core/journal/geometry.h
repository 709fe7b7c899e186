// How large a journal's files are, and how many there are at a time.
#pragma once

#include <cstdint>

namespace ringmill {

struct JournalGeometry {
  std::uint64_t segment_bytes = 0;  // of each file, a multiple of journal_unit
  std::uint32_t most_segments = 0;  // files at a time: the journal's limit; at least 8

  std::uint64_t limit() const noexcept { return segment_bytes * most_segments; }
};

}  // namespace ringmill
