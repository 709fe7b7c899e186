// An engine that gets other sizes, with all its jobs: those of durability memory too, and each under its id.
//
// It needs the engine alone. The structure lock is held all the while, and all entries' locks. The new shared memory
// gets the making that is noted in `resizing`, by which the next opening knows it.
//
//                                                              killed just after the step
//   resize.Z1  take the locks                                  the kernel drops them
//   resize.Z2  raise the limit of generations, durably         the engine as it was
//   resize.Z3  write `resizing`: making and configuration      as it was; the next that opens it removes the note
//   resize.Z4  make the new segment under another name: copy   as Z3; the half-made file is removed with the note
//              every job
//   resize.Z5  write `memory`: the new making                  the engine has its new sizes: the next that opens it
//                                                              goes on at Z6; after a reboot at Z7
//   resize.Z6  rename the segment                              goes on at Z7
//   resize.Z7  write engine.json                               goes on at Z8
//   resize.Z8  remove `resizing`                               done
//
// From Z5 on no process enters the old memory: it looks at the making once it holds an entry (enter_engine()). Between
// Z5 and Z7 engine.json says the old sizes, and opening compares them with the segment's.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>

#include <ringmill/error.h>

#include "core/instance/engine_configuration.h"
#include "core/instance/engine_files.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

struct ResizeReport {
  EngineConfiguration before;
  EngineConfiguration after;
  std::uint64_t jobs = 0;
  std::uint64_t bytes = 0;  // of shared memory
  std::chrono::nanoseconds elapsed{0};
};

/// Lets a keeper hand over what the dead have left and bring the journal up to date, then Z1 to Z8. Errors: busy
/// (processes use the engine, or a job stands in a cell that would go: which), invalid_argument (sizes out of bounds),
/// no_space, and those of Engine::open().
Result<ResizeReport> resize_engine(const std::filesystem::path& path, const ResizeWish& wish);

/// Z1 to Z8 alone, for an engine whose participants have left.
Result<ResizeReport> resize_alone(const EngineFiles& files, const File& locks, const ResizeWish& wish);

/// The same for what makes the memory anew in another way: `open_old` gives the old one, read as one of this layout.
Result<ResizeReport> remake_alone(const EngineFiles& files, const File& locks, const EngineConfiguration& wanted,
                                  const std::function<Result<Segment>()>& open_old);

/// Whether a resize has not ended.
bool has_unfinished_resize(const EngineFiles& files);
/// Ends it, or undoes it. `files` is opened again afterwards. Errors: busy, permission_denied, corrupt, system.
Result<void> finish_resize(const EngineFiles& files, const File& locks);

}  // namespace ringmill
