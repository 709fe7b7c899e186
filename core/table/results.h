// Results of any length: a result that does not fit its job's cell goes to the arena before its run ends.
//
// An extent must belong to something that no other process can take from its writer (core/table/arena.h). A run can be
// revoked at any instruction, so the worker takes the extent for a cell of its own, the carrier, which stays `filling`,
// and hands the extent over when it has won the end:
//
//                                                              killed just after the step
//   result.R1  enq.N1: a free cell, filling: the carrier       the scan frees the carrier
//   result.R2  arena.A1 to arena.A3: an extent for the         as R1, and so the extent
//              carrier, with the result
//   result.R3  settle.E1: stage the carrier's id; settle.E2    lost, or not won yet: as R1. Won: the reaper goes on
//                                                              at R4
//   result.R4  a value gives up the extent of before; the      again, to the same values: what was given up names
//              job's cell, completing, names the new one       the job no longer
//   result.R5  CAS the extent's word: carrier -> job           again: it names the job already
//   result.R6  settle.E5 and what follows; the carrier is      the scan frees the carrier, which has no extent any more
//              given back
//
// Between R4 and R5 the word names the carrier, which is filling; after R5 the job, whose cell names the extent: so no
// producer takes it over at any moment. If the word is neither's in R5 (the carrier was freed before the reaper came to
// the job: a keeper died in between, or the memory was scribbled over), the job is completed all the same, and its
// result is refused as lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <ringmill/job.h>

#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "ipc/layout.h"

namespace ringmill {

/// Staging::result_note: ResultRefusal 8 | carried 1. Carried: there is no text, its first word is the carrier's id.
struct ResultNote {
  ResultRefusal refusal = ResultRefusal::none;
  bool is_carried = false;

  constexpr std::uint32_t bits() const noexcept {
    return static_cast<std::uint32_t>(refusal) | (is_carried ? 1U << 8 : 0);
  }
  static constexpr ResultNote of(std::uint32_t bits) noexcept {
    return {.refusal = refusal_of(bits & 0xff), .is_carried = (bits >> 8 & 1) != 0};
  }
  /// What a word says, whatever a peer has written there.
  static constexpr ResultRefusal refusal_of(std::uint32_t value) noexcept {
    return value <= static_cast<std::uint32_t>(ResultRefusal::lost) ? static_cast<ResultRefusal>(value)
                                                                    : ResultRefusal::lost;
  }
};

/// The results of completed cells.
class Results {
 public:
  explicit Results(const Segment& segment) noexcept : table_(segment), arena_(segment) {}

  /// R4 and R5, for the owner of a completing cell, or its reaper. `carrier` as it was staged. False: the result is
  /// lost.
  bool hand_over(CellIndex index, JobId job, JobId carrier) noexcept;
  /// The first half of R4, for a value whose next one fits its cell: the extent of before is free.
  void give_up_extent(CellIndex index, JobId job) noexcept { give_up_extent(index, job, ~std::uint32_t{0}); }

 private:
  /// `but`: an extent that stays.
  void give_up_extent(CellIndex index, JobId job, std::uint32_t but) noexcept;

  JobTable table_;
  Arena arena_;
};

}  // namespace ringmill
