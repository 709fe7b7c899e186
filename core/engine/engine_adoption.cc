#include "core/engine/engine_adoption.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
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

bool needs_adoption(const EngineFiles& files) {
  if (files.is_copy()) return true;
  const auto segment = Segment::open(files.segment_path(), files.config().engine_id, files.folder().owner(),
                                     files.config().mode, Segment::Access::read_only, false);
  return segment && MemorySigns::of(*segment).is_of_another(files.home());
}

Result<void> adopt(EngineFiles& files, const File& locks) {
  // A file of our own: the caller may take the structure lock by its own one later.
  const auto file = files.open_locks();
  if (!file) return std::unexpected(file.error());
  if (auto locked = lock_byte(*file, structure_lock_byte); !locked) return locked;  // adopt.A1
  auto present = EngineFiles::open(files.folder(), EngineFiles::For::mend);
  if (!present) return std::unexpected(present.error());
  files = *std::move(present);
  if (!needs_adoption(files)) return {};  // another process has done it
  const std::string where = files.path().string();
  if (::geteuid() != files.folder().owner()) {
    return std::unexpected(
        Error(ErrorCode::permission_denied, "only its owner can make an engine of its own of a copy", where));
  }
  if (files.is_in_use(locks)) {
    return std::unexpected(Error(ErrorCode::busy, "processes use this directory",
                                 where + "; end its producers, workers and keeper, then recover"));
  }
  const auto journal = files.open_journal_folder();
  if (!journal) return std::unexpected(journal.error());
  if (auto alone = check_shares_no_file(files.folder(), *journal); !alone) return alone;
  const auto id = random_number();
  if (!id) return std::unexpected(id.error());
  EngineConfiguration own = files.configuration();
  own.segment.engine_id = *id;
  own.home = files.home().home;
  EngineFiles adopted(files.folder(), std::move(own), files.home());
  if (auto written = adopted.write_configuration(); !written) return written;  // adopt.A2
  log().warn(
      "{} was a copy of engine {}, a restored backup, or was moved here: it is an engine of its own from here on, {}; "
      "{} is left alone",
      where, files.engine_id(), adopted.engine_id(), files.segment_path().string());
  files = std::move(adopted);
  return {};
}

}  // namespace ringmill
