// An engine of its own of a copy: what `ringmill recover` does first where the directory is one
// (core/instance/engine_identity.h).
//
//                                                            killed just after the step
//   adopt.A1  take the structure lock, look that none lives  the kernel drops the locks
//   adopt.A2  write engine.json whole: new id, journal_id, home an engine of its own, whose memory the next opening
//             makes
//
// The note `memory` names the former id and counts for nothing under the new one. The memory of the former id is not
// touched: it is the original's, or what is left of the engine that a backup was restored over.
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/instance/engine_directory.h"
#include "core/journal/file_names.h"
#include "core/journal/slot_files.h"
#include "ipc/random.h"
#include "ipc/registry.h"

namespace ringmill {

namespace {

bool has_other_names(const Directory& folder, std::string_view name) {
  const auto facts = folder.look(name);
  return facts && *facts && S_ISREG((*facts)->st_mode) && (*facts)->st_nlink > 1;
}

/// What is written here would be written there.
Result<void> check_shares_no_file(const Directory& folder, const Directory& journal) {
  const auto slots = slots_in(journal);
  if (!slots) return std::unexpected(slots.error());
  bool shares = has_other_names(folder, engine_lock_file);
  for (const SlotNumber slot : *slots) shares = shares || has_other_names(journal, file_name_of(slot));
  if (!shares) return {};
  return std::unexpected(Error(ErrorCode::incompatible,
                               "this copy shares its files with another directory, by hard links",
                               folder.path().string() + "; copy it once more (`cp -a`), then recover that"));
}

}  // namespace

bool EngineDirectory::needs_adoption() const {
  if (is_copy_) return true;
  const auto segment = Segment::open(segment_path(), config().engine_id, folder_.owner(), config().mode,
                                     Segment::Access::read_only, false);
  return segment && MemorySigns::of(*segment).is_of_another(home_);
}

Result<void> EngineDirectory::adopt(const File& locks) {
  // A file of our own: the caller may take the structure lock by its own one later.
  const auto file = open_locks();
  if (!file) return std::unexpected(file.error());
  if (auto locked = lock_byte(*file, structure_lock_byte); !locked) return locked;  // adopt.A1
  const auto present = open(folder_, For::mend);
  if (!present) return std::unexpected(present.error());
  *this = *present;
  if (!needs_adoption()) return {};  // another process has done it
  if (::geteuid() != folder_.owner()) {
    return std::unexpected(
        Error(ErrorCode::permission_denied, "only its owner can make an engine of its own of a copy", path().string()));
  }
  if (is_in_use(locks)) {
    return std::unexpected(Error(ErrorCode::busy, "processes use this directory",
                                 path().string() + "; end its producers, workers and keeper, then recover"));
  }
  const auto journal = open_journal_folder();
  if (!journal) return std::unexpected(journal.error());
  if (auto alone = check_shares_no_file(folder_, *journal); !alone) return alone;
  const auto id = random_number();
  if (!id) return std::unexpected(id.error());
  const std::string former = engine_id();
  const std::filesystem::path former_memory = segment_path();
  configuration_.segment.engine_id = *id;
  configuration_.home = home_.home;
  if (auto written = write_configuration(); !written) return written;  // adopt.A2
  is_copy_ = false;
  log().warn(
      "{} was a copy of engine {}, a restored backup, or was moved here: it is an engine of its own from here on, {}; "
      "{} is left alone",
      path().string(), former, engine_id(), former_memory.string());
  return {};
}

}  // namespace ringmill
