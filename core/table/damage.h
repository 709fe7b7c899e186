// Impossible fields of a cell: no enqueue and no recovery writes them, so another program wrote into the shared memory.
// Such a job is buried with a sentence: by its claimer or, if it is not claimed, by the keeper's scan.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ipc/segment.h"
#include "ipc/state_word.h"

namespace ringmill {

enum class Damage : std::uint8_t { kind, level, payload };

/// The error text of its dead letter.
constexpr std::string_view sentence_of(Damage damage) noexcept {
  switch (damage) {
    case Damage::kind:
      return "its kind is none that can be: another process wrote into the shared memory";
    case Damage::level:
      return "its level is none of this engine: another process wrote into the shared memory";
    case Damage::payload:
      break;
  }
  return "its payload is not where the table says: another process wrote into the shared memory";
}

/// Of a job that waits to begin. Nothing: it is sound. The caller swaps the cell's word, which it has read before.
std::optional<Damage> damage_of(const Segment& segment, JobId id) noexcept;

}  // namespace ringmill
