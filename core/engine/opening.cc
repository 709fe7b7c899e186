#include "core/engine/opening.h"

#include <utility>

#include "core/engine/engine_recovery.h"
#include "core/engine/engine_resize.h"

namespace ringmill {

Result<std::shared_ptr<EngineCore>> open_engine(const std::filesystem::path& path, bool dump_in_core) {
  auto opened = EngineFiles::open(path);
  if (!opened) return std::unexpected(opened.error());
  auto locks = opened->open_locks();
  if (!locks) return std::unexpected(locks.error());
  if (has_unfinished_resize(*opened)) {
    if (auto finished = finish_resize(*opened, *locks); !finished) return std::unexpected(finished.error());
    opened = EngineFiles::open(path);
    if (!opened) return std::unexpected(opened.error());
  }
  auto probe = opened->open_locks();
  if (!probe) return std::unexpected(probe.error());
  auto segment = open_segment(*opened, *locks, dump_in_core);
  if (!segment) return std::unexpected(segment.error());
  return std::make_shared<EngineCore>(*std::move(opened), *std::move(locks), *std::move(probe), *std::move(segment));
}

}  // namespace ringmill
