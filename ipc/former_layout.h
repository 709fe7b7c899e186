// Shared memory of layout version 6, read to be taken over (core/engine/engine_upgrade.h). Each former version that can
// be upgraded from has its offsets here, and nowhere else.
//
// What layout 7 changed: the header, Signals and the list of participants are longer, cells and the arena come in
// chunks, rings are short, there are statistics, and a state word has one bit more for its owner and one less for the
// generation (ipc/state_word.h). Names, marks, cells, the arena's words and participants' entries are as they were.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <ringmill/error.h>

#include "ipc/directory.h"
#include "ipc/segment.h"

namespace ringmill {

inline constexpr std::uint32_t oldest_upgradable_layout = 6;

class FormerSegment {
 public:
  /// Maps the file to read. Errors: not_found, stale (left by an earlier boot), corrupt, incompatible (of a layout that
  /// is not known, or of this program's), system.
  static Result<FormerSegment> open(const Directory& folder, const std::string& name, uid_t owner,
                                    std::uint64_t engine_id);

  std::uint64_t arena_bytes() const noexcept;
  std::uint64_t making() const noexcept;
  std::uint64_t home() const noexcept;

  /// Copies all that a job is, and the journal's marks, into a segment of this layout that no other process sees: with
  /// the same capacity, cell size and arena. Words of cells have no owner then. Errors: incompatible (other sizes),
  /// no_space.
  Result<void> copy_into(const Segment& fresh) const;
  /// The lease of a job that runs, by its cell: a handler has seen it.
  bool had_begun(std::uint32_t cell) const noexcept;

 private:
  struct Offsets;
  struct Mapping;
  explicit FormerSegment(std::shared_ptr<const Mapping> mapping) noexcept : mapping_(std::move(mapping)) {}
  Result<void> copy_cells(const Segment& fresh) const;
  Result<void> copy_arena(const Segment& fresh) const;

  std::shared_ptr<const Mapping> mapping_;
};

}  // namespace ringmill
