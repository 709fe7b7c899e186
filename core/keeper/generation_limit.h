// The upper bound of all generations. The keeper raises it, durably, before any cell reaches it (hazard 2 in
// docs/hazards.md).
//
// Producers ask for more by a word in shared memory, and any process that may use the engine can write anything there.
// So the word only makes the keeper check. The limit is raised by one step if a cell of the table is near it, and not
// before a cell could have used up the last step. A request that no cell confirms is reset. The limit itself is read
// from the engine's directory, and the word in shared memory is corrected.
//
//                                                            killed just after the step
//   gen.V1  the wish is above the limit: look at the cells,  the next keeper looks
//           a part of the table in each turn
//   gen.V2  none is near the limit: CAS the wish down        nothing is left: a producer that comes near asks again
//   gen.V3  one is near: write the higher limit into the     the next keeper finds a file that allows more than the
//           directory                                        word says, and raises the word
//   gen.V4  raise the word; a scan lists what was passed     the scan that follows every election lists it
//           over
#pragma once

#include <cstdint>
#include <optional>

#include "core/instance/engine_core.h"

namespace ringmill {

class GenerationLimit {
 public:
  explicit GenerationLimit(EngineCore& engine) noexcept : engine_(&engine) {}

  /// One turn, at most `most_looks` cells of V1. True: the limit was raised, and cells that producers passed over are
  /// to be listed again.
  bool turn(std::uint32_t most_looks);
  /// A check of the table is under way.
  bool is_looking() const noexcept { return is_looking_; }

 private:
  /// Returns the limit in the directory, or nothing if it cannot be read.
  std::optional<std::uint64_t> durable_limit();
  /// V1. True: a cell that is near the limit was found, or all of them were looked at.
  bool look(std::uint64_t limit, std::uint32_t most_looks) noexcept;
  bool raise(std::uint64_t limit);

  EngineCore* engine_;
  std::uint64_t durable_limit_ = 0;  // 0: not read yet
  std::uint64_t raised_at_ns_ = 0;
  bool has_raised_ = false;
  bool is_looking_ = false;
  bool has_found_ = false;
  CellIndex next_ = 0;
};

}  // namespace ringmill
