#include "core/table/damage.h"

#include "core/table/arena.h"
#include "core/table/job_table.h"

namespace ringmill {

std::optional<Damage> damage_of(const Segment& segment, JobId id) noexcept {
  const JobTable table(segment);
  const CellHeader& cell = table.header(index_of(id));
  if (!cell.kind.load_once().below(most_kinds)) return Damage::kind;
  if (!segment.has_level(cell.level.load_once().unbounded())) return Damage::level;
  const bool in_arena = (cell.flags.load() & cell_flag::in_arena) != 0;
  const bool has_payload = in_arena ? Arena(segment).payload_of(id).has_value()
                                    : cell.payload_bytes.load_once().below(table.inline_bytes() + 1).has_value();
  return has_payload ? std::nullopt : std::optional(Damage::payload);
}

}  // namespace ringmill
