// What an open engine consists of. Shared by the Engine handle, its participants, and its keeper. Private to core.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/instance/engine_files.h"
#include "core/journal/device.h"
#include "core/table/job_table.h"
#include "ipc/fork_guard.h"
#include "ipc/registry.h"
#include "ipc/segment.h"

namespace ringmill {

/// Directory, locks and segment of one open engine (core/engine/opening.h). Everything here may be used by any thread.
class EngineCore {
 public:
  EngineCore(EngineFiles opened_directory, File lock_file, File probe_file, Segment mapped)
      : directory(std::move(opened_directory)),
        locks(std::move(lock_file)),
        probe(std::move(probe_file)),
        segment(std::move(mapped)),
        registry(segment, locks.file()),
        death_probe(segment, probe.file()) {}

  EngineFiles directory;
  /// Holds this process's locks; closed in the child of a fork.
  ForkClosedFile locks;
  /// The same file opened again, to ask which process holds a lock.
  ForkClosedFile probe;
  Segment segment;
  Registry registry;
  DeathProbe death_probe;
  /// How the journal thread opens its device. Set before there is one: tests put a disk that fails here.
  DeviceOpener open_device = open_journal_device;
};

/// Takes an entry of the registry, and makes sure that the memory is still the engine's. Errors:
/// too_many_participants, stale (another one was made since), system.
Result<std::uint32_t> enter_engine(EngineCore& core, Role role, Binding binding = Binding::thread);

}  // namespace ringmill
