// A job's notes as the journal's record has them.
#pragma once

#include <algorithm>
#include <string_view>

#include "core/journal/format.h"
#include "core/table/notes.h"

namespace ringmill {

static_assert(most_noted_tag_bytes == most_tag_bytes);

/// The tag follows the record.
inline NotesRecord notes_record_of(const Notes& notes, JobId id) noexcept {
  return {.tag_bytes = static_cast<std::uint8_t>(notes.tag().size()),
          .trace_flags = notes.trace.flags,
          .id = id.value(),
          .serial_low = notes.serial_low,
          .serial_high = notes.serial_high,
          .retried_from = notes.retried_from.value(),
          .trace_id = notes.trace.trace_id,
          .trace_parent = notes.trace.parent_id};
}

inline Notes notes_of(const NotesRecord& record, std::string_view tag) noexcept {
  Notes notes;
  notes.serial_low = record.serial_low;
  notes.serial_high = record.serial_high;
  notes.retried_from = JobId(record.retried_from);
  notes.trace = {.trace_id = record.trace_id, .parent_id = record.trace_parent, .flags = record.trace_flags};
  notes.set_tag(tag);
  return notes;
}

}  // namespace ringmill
