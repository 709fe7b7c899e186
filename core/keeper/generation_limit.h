// How high the generations of cells may get: raised by the keeper, durably, before any cell gets there
// (hazard 2 in docs/hazards.md).
//
// Producers ask for more by a word in shared memory, and any process that may use the engine can write anything there.
// So the word only makes the keeper look: the limit is raised when a cell of the table is near it, by one step, and not
// sooner after the last time than a cell could have lived through a step. A wish that no cell bears out is taken back.
// The limit itself is believed from the engine's directory; what shared memory says of it is put right.
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
  /// A look at the table is under way.
  bool is_looking() const noexcept { return is_looking_; }

 private:
  /// What the directory says; nothing: it cannot be read now.
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
