// Making an engine, and taking one apart, whole or half-made.
//
//                                                              killed just after the step
//   make.C1  make the directory                                an empty folder, as any user may have one
//   make.C2  make the lock file, take the structure lock       the kernel drops the lock; a folder with an empty file
//   make.C3  note the segment's name in `creating`, durably    the note; nothing else has begun
//   make.C4  make the journal's folder                         an empty folder beside the note
//   make.C5  make the segment under another name, rename it    the note names both
//   make.C6  write engine.json, whole                          a whole engine; its note is not looked at any more
//   make.C7  remove the note
//
// Up to C6 the engine is half-made: the next create() or remove() takes apart what the note names, and begins anew, or
// ends. Both hold the structure lock meanwhile, so what they take apart is never a creation that still runs.
//
// The lock file goes last, and only by the process that holds its lock. So a process that has got the lock checks that
// the file still stands at its path: if not, the engine was taken apart in between, and it begins again at C1.
#pragma once

#include <filesystem>

#include <ringmill/error.h>
#include <ringmill/options.h>

#include "core/instance/engine_files.h"
#include "ipc/directory.h"
#include "ipc/file.h"

namespace ringmill {

/// Makes directory, segment and configuration. Safe against a second creator and against death at any point.
Result<void> create_engine(const std::filesystem::path& path, const CreateOptions& options);

/// A directory, and its lock file with the structure lock: nothing makes, remakes or removes an engine in it meanwhile.
struct LockedPlace {
  Directory folder;
  File locks;
};
/// For the removal of what is here. Errors: not_found, busy (another process has the lock).
Result<LockedPlace> lock_to_remove(const std::filesystem::path& full_path);
/// Removes what a creation, or a removal, that died has left. The caller has found no engine.
/// Error not_found: nothing of that kind is here.
Result<void> remove_half_made(const LockedPlace& locked);
/// Unlinks segment, files and directory. The caller has the lock, and has made sure that no process needs the engine.
Result<void> remove_files(const EngineFiles& files);

}  // namespace ringmill
