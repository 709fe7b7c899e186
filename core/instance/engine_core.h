// What an open engine consists of. Shared by the Engine handle, its participants, and its keeper. Private to core.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/instance/engine_directory.h"
#include "core/table/job_table.h"
#include "ipc/fork_guard.h"
#include "ipc/registry.h"
#include "ipc/segment.h"

namespace ringmill {

/// Directory, locks and segment of one open engine. Everything here may be used by any thread.
class EngineCore {
 public:
  /// Opens the engine of a directory; makes its shared memory anew where that is gone. Errors: those of Engine::open().
  static Result<std::shared_ptr<EngineCore>> open(const std::filesystem::path& directory, bool dump_in_core);

  EngineCore(EngineDirectory opened_directory, File lock_file, File probe_file, Segment mapped)
      : directory(std::move(opened_directory)),
        locks(std::move(lock_file)),
        probe(std::move(probe_file)),
        segment(std::move(mapped)),
        registry(segment, locks.file()),
        death_probe(segment, probe.file()) {}

  EngineDirectory directory;
  /// Holds this process's locks; closed in the child of a fork.
  ForkClosedFile locks;
  /// The same file opened again, to ask who holds a lock.
  ForkClosedFile probe;
  Segment segment;
  Registry registry;
  DeathProbe death_probe;
  /// How the journal thread opens its device. Set before there is one: tests put a disk that fails here.
  DeviceOpener open_device = open_journal_device;
};

/// Takes an entry of the registry, and makes sure that the memory is still the engine's. Errors:
/// too_many_participants, stale (another one was made since), system.
Result<std::uint32_t> enter_engine(EngineCore& core, Role role);

}  // namespace ringmill
