// engine.json as another user may have written it: refused, or sizes that can be, and that come back as they were.
#include "core/instance/engine_configuration.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {

void run(Input input) {
  const auto read = from_json(input.rest(), "engine.json");
  if (!read) {
    const ErrorCode code = read.error().code();
    check(code == ErrorCode::corrupt || code == ErrorCode::incompatible, "another error than corrupt or incompatible");
    return;
  }
  const SegmentConfig& config = read->segment;
  check(config.capacity >= 64 && config.capacity <= most_cells, "a capacity out of its bounds");
  check(config.levels.size() == config.weights.size(), "levels without weights");
  check(read->shm_dir.is_absolute(), "a relative folder");
  const Geometry geometry =
      Geometry::of(config.capacity, config.cell_bytes, static_cast<std::uint32_t>(config.levels.size()),
                   config.level_ring_slots, {.max_payload = config.max_payload, .bytes = config.arena_bytes});
  check(geometry.bytes > std::uint64_t{config.capacity} * config.cell_bytes, "a size that has overflowed");
  check(geometry.bytes < std::uint64_t{1} << 42, "a size without a bound");
  const std::string text = to_json(*read);
  const auto again = from_json(text, "engine.json");
  check(again.has_value(), "what was written cannot be read");
  check(to_json(*again) == text, "what was written comes back otherwise");
}

}  // namespace ringmill::test
