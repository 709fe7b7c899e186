// levels.json as another user may have written it: refused, or levels whose rings lie in their room.
#include "core/levels/level_list.h"
#include "ipc/name_table.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {

void run(Input input) {
  const std::uint64_t ring_slots = std::uint64_t{least_level_ring_slots} << input.take<std::uint8_t>() % 4;
  const auto wanted = input.take<std::uint16_t>();
  auto list = LevelList::from_json(input.rest(), "levels.json", ring_slots);
  if (!list) {
    check(list.error().code() == ErrorCode::corrupt, "another error than corrupt");
    return;
  }
  for (const ListedLevel& level : list->levels()) {
    check(is_valid_name(level.name), "a name that is none");
    check(level.ring.is_within(ring_slots), "a ring out of its room");
    check(level.is_removed || list->find(level.name) != nullptr, "a level that is not found");
  }
  const auto piece = list->piece_for(wanted);
  if (!piece) return;
  check(piece->is_within(ring_slots), "a new ring out of its room");
  for (const ListedLevel& level : list->levels()) {
    const bool is_apart = level.ring.first + std::uint64_t{level.ring.slots} <= piece->first ||
                          piece->first + std::uint64_t{piece->slots} <= level.ring.first;
    check(level.is_removed || is_apart, "a new ring over another one");
  }
}

}  // namespace ringmill::test
