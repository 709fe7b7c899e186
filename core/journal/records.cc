#include "core/journal/records.h"

namespace ringmill {

std::optional<RecordFinding> check_records(std::span<const std::byte> records, std::uint32_t count) noexcept {
  std::size_t at = 0;
  for (; count > 0 && at < records.size(); --count) {
    const auto length = length_of_record(records.subspan(at));
    if (!length) return RecordFinding{at, value_at<std::uint8_t>(records, at), length.error()};
    at += *length;
  }
  if (count != 0 || at != records.size()) return RecordFinding{at, 0, RecordFault::malformed};
  return std::nullopt;
}

namespace {

/// Stricter than length_of_record(), because the bytes may be anything: reserved fields are zero, and the time of a job
/// record is one that a clock can show (up to the year 2527).
bool looks_like_a_record(std::span<const std::byte> rest) noexcept {
  constexpr std::uint64_t latest_ms = std::uint64_t{1} << 44;
  switch (static_cast<RecordType>(value_at<std::uint8_t>(rest))) {
    case RecordType::job:
    case RecordType::large_job: {
      const auto at = value_at<JobRecord>(rest).enqueued_at_ms();
      return at != 0 && at < latest_ms;
    }
    case RecordType::ended:
    case RecordType::attempts:
      return value_at<ShortRecord>(rest).reserved == 0;
    case RecordType::kind:
    case RecordType::retry_policy:
      return value_at<KindRecord>(rest).name_bytes != 0;
    case RecordType::change:
      return value_at<ChangeRecord>(rest).due >> 51 == 0;
    case RecordType::options:
      return value_at<OptionsRecord>(rest).reserved == 0;
    case RecordType::links:
      return value_at<LinksRecord>(rest).runs_all_the_same <= 1;
    case RecordType::notes:
      return value_at<NotesRecord>(rest).reserved == 0;
    case RecordType::part:
    case RecordType::result_part:
      return true;  // its lengths fit each other
  }
  return false;
}

}  // namespace

void ReadableIds::look_in(std::span<const std::byte> bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && !has_enough()) {
    const auto rest = bytes.subspan(at);
    const auto length = length_of_record(rest);
    if (!length || !looks_like_a_record(rest)) {
      at += 8;  // records begin at multiples of 8: go on where the next one could
      continue;
    }
    if (has_id(static_cast<RecordType>(value_at<std::uint8_t>(rest)))) {
      const JobId id(word_at(rest, offsetof(JobRecord, id)));
      if (seen_.insert(id.value()).second) ids_.push_back(id);
    }
    at += *length;
  }
}

}  // namespace ringmill
