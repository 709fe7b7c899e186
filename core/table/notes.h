// What a job carries beside its payload, outside of a cell: the hash of a serial key, the dead letter that it comes
// from, the trace that it belongs to, and a user's tag.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <ringmill/job.h>

#include "core/base/tag.h"
#include "core/base/trace_parent.h"
#include "core/table/job_table.h"
#include "ipc/layout.h"

namespace ringmill {

struct Notes {
  std::uint64_t serial_low = 0;  // both zero: no key
  std::uint64_t serial_high = 0;
  JobId retried_from{};
  TraceParent trace{};
  std::array<char, most_tag_bytes> tag_bytes{};  // then NULs

  bool operator==(const Notes&) const noexcept = default;
  std::string_view tag() const noexcept;
  /// At most the first 31 bytes.
  void set_tag(std::string_view tag) noexcept;

  /// The caller owns the cell, or looks at the word again.
  static Notes read(const CellNotes& cell) noexcept;
  /// For the owner of a filling cell. ORDER relaxed: the state word publishes them.
  void write(CellNotes& cell) const noexcept;
};

/// Returns the notes of a job. Empty: it has none, or does not stand any more.
Notes notes_of(const JobTable& table, JobId id) noexcept;

}  // namespace ringmill
