#include "core/base/kinds.h"

#include <string>

#include "core/base/handles.h"
#include "ipc/name_table.h"

namespace ringmill {

Result<Kind> intern_kind(const Segment& segment, std::string_view name) {
  if (!is_valid_name(name)) {
    return std::unexpected(Error(ErrorCode::invalid_argument,
                                 "a kind's name has 1 to 63 characters of [A-Za-z0-9._:/-]", std::string(name)));
  }
  const auto number = segment.kinds().intern(name);
  if (!number)
    return std::unexpected(Error(ErrorCode::no_space, "all 1024 names of kinds are in use",
                                 "end its processes, then `ringmill recover DIR --from-journal` gives back "
                                 "those that no job has; `ringmill status` counts them"));
  return Handles(segment).kind(*number);
}

}  // namespace ringmill
