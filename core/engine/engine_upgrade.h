// An engine whose shared memory has a former layout, taken over into this program's, with all its jobs: those of
// durability memory too, each under its id.
//
// It is a resize (core/engine/engine_resize.h) to the same sizes: its steps resize.Z1 to resize.Z8 hold, and what a
// kill leaves is ended or undone by the next opening or upgrade. Only the old memory is read in another way: its jobs
// are copied into a segment of this layout that has no name, and that segment is what the resize copies.
//
// A process of the former version may have died with jobs in its hands, and no keeper of that version comes any more:
//   running     the attempt counts if a handler had begun it; the job waits again, or goes to the dead letters
//   completing  its end was won and has to be done as its lease slot says, which a keeper of that version can: refused
#pragma once

#include <cstdint>
#include <filesystem>

#include <ringmill/error.h>

#include "core/engine/engine_resize.h"

namespace ringmill {

struct UpgradeReport {
  std::uint32_t from = 0;  // the layout's version; 0: there was nothing to do
  ResizeReport resize;
};

/// Errors: incompatible (a layout that cannot be taken over), busy (processes use the engine; a job has to be ended by
/// a keeper of the former version), and those of resize_engine().
Result<UpgradeReport> upgrade_engine(const std::filesystem::path& path);

}  // namespace ringmill
