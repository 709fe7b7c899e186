// Levels by their numbers, for tests that go through all of them.
#pragma once

#include <cstdint>

#include <ringmill/engine.h>

#include "core/base/handles.h"
#include "ipc/dynamic_level.h"
#include "tests/support/must.h"

namespace ringmill::test {

/// Returns the level of this place in Engine::levels(): fixed levels have it as their number.
inline Level level_at(const Engine& engine, std::uint64_t place) { return must(engine.level(engine.levels()[place])); }

inline std::uint16_t number_of(const Segment& segment, Level level) {
  return static_cast<std::uint16_t>(level_number(Handles(segment).value_of(level)));
}
inline std::uint16_t number_of(const Segment& segment, Kind kind) {
  return static_cast<std::uint16_t>(Handles(segment).number_of(kind));
}

}  // namespace ringmill::test
