// rec.R2 as a table: what one record does to its cell, by the life of the cell that it names. A test goes through it
// row by row.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string_view>

#include "core/journal/format.h"

namespace ringmill {

/// The life that a record names, compared with the job that stands in the cell. (Of a part: compared with the latest
/// life of the cell that any record has named.)
enum class NamedLife : std::uint8_t { earlier, same, later };

constexpr NamedLife named_life(std::uint64_t named, std::uint64_t standing) noexcept {
  if (named < standing) return NamedLife::earlier;
  return named == standing ? NamedLife::same : NamedLife::later;
}

enum class RecordEffect : std::uint8_t {
  nothing,  // that life is over; or its own record comes, and says all
  notes,    // the lives before the one that it names are over
  stands,   // its job stands in the cell from now on
  again,    // the newest place counts, and the most attempts; and it waits, as with `waits`
  waits,    // notes; and the job waits, unless it is over, or more attempts of it are known
  changes,  // notes; and the job is as the record says, unless what is known is further on
  adds,     // what it says counts beside the job's record
  keeps,    // notes; and it is kept in private memory until its job's record comes
  holds,    // it is kept in private memory until a change of its job speaks of it
};

struct RecordRule {
  RecordType type;
  std::array<RecordEffect, 3> effects;  // by NamedLife
  std::string_view reason;
};

inline constexpr std::array<RecordRule, 10> record_rules{{
    {RecordType::job,
     {RecordEffect::nothing, RecordEffect::again, RecordEffect::stands},
     "the highest generation stands; a copy stands in a newer segment"},
    {RecordType::large_job,
     {RecordEffect::nothing, RecordEffect::again, RecordEffect::stands},
     "as job, if all its parts are there"},
    {RecordType::ended,
     {RecordEffect::notes, RecordEffect::notes, RecordEffect::notes},
     "it names the first life that may not be over"},
    {RecordType::attempts,
     {RecordEffect::notes, RecordEffect::waits, RecordEffect::notes},
     "attempts of one job only grow, so the most are the last"},
    {RecordType::change,
     {RecordEffect::notes, RecordEffect::changes, RecordEffect::notes},
     "of another life, or of one whose record comes, and says all"},
    {RecordType::options,
     {RecordEffect::nothing, RecordEffect::adds, RecordEffect::nothing},
     "they stand behind their job's record"},
    {RecordType::links,
     {RecordEffect::nothing, RecordEffect::adds, RecordEffect::nothing},
     "as options; that a job counts by itself is newer than that it counts with another"},
    {RecordType::notes,
     {RecordEffect::nothing, RecordEffect::adds, RecordEffect::nothing},
     "as options: what a job carries never changes"},
    {RecordType::part,
     {RecordEffect::nothing, RecordEffect::keeps, RecordEffect::keeps},
     "its job's record stands behind it"},
    {RecordType::result_part,
     {RecordEffect::nothing, RecordEffect::holds, RecordEffect::holds},
     "as part, but it ends no earlier life: its job's record or a change stands behind it"},
}};

constexpr RecordEffect effect_of(RecordType type, NamedLife life) noexcept {
  for (const RecordRule& rule : record_rules) {
    if (rule.type == type) return rule.effects[static_cast<std::size_t>(life)];
  }
  return RecordEffect::nothing;
}

/// How far on a job is. Over is further than going on; more attempts are further than fewer. Of two alike the later
/// record stands, not the later due time: the wall clock, which that is written in, may have been set back.
struct JobProgress {
  bool is_over = false;
  std::uint32_t attempts = 0;
  constexpr auto operator<=>(const JobProgress&) const noexcept = default;
};

}  // namespace ringmill
