// Names of segments that are not whole.
#include "ipc/directory.h"
#include "ipc/segment.h"

namespace ringmill {

bool is_half_made_segment(std::string_view file, std::string_view name) noexcept {
  constexpr std::string_view older_ending = ".creating";
  const bool is_of_an_older_version =
      file.size() == name.size() + older_ending.size() && file.starts_with(name) && file.ends_with(older_ending);
  // An upgrade makes a segment under such a name (core/engine/engine_upgrade.h).
  const std::string_view outer = file.substr(0, file.rfind('.', file.rfind('.') - 1));
  return is_of_an_older_version || Directory::is_half_made(file, name) ||
         (Directory::is_half_made(file, outer) && Directory::is_half_made(outer, name));
}

}  // namespace ringmill
