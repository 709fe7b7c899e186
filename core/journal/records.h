// The records of one block, taken apart. Nothing in them is used as a length before it was checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <expected>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ringmill/job.h>

#include "core/journal/format.h"

namespace ringmill {

enum class RecordFault {
  malformed,  // its lengths do not fit, or a field has a value that none may have
  unknown,    // a type or flag of a later version
};

/// A value read from bytes at any address.
template <class T>
T value_at(std::span<const std::byte> bytes, std::size_t offset = 0) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// The head that a segment's first unit holds, of whatever version and engine; nothing where it is none, or not whole.
inline std::optional<SegmentHead> whole_head_in(std::span<const std::byte> unit) noexcept {
  const auto head = value_at<SegmentHead>(unit);
  if (head.magic != journal_magic || head.checksum != checksum_of(head)) return std::nullopt;
  return head;
}

inline std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t offset = 0) noexcept {
  return value_at<std::uint64_t>(bytes, offset);
}

/// Returns whether the second word of such a record is the id of a job.
constexpr bool has_id(RecordType type) noexcept { return type != RecordType::kind && type != RecordType::retry_policy; }

/// Whether a part's length is the one that follows from its number and from the length of the whole.
constexpr bool is_part(std::uint16_t number, std::uint32_t part_bytes, std::uint64_t whole_bytes) noexcept {
  const std::uint64_t begin = std::uint64_t{number} * most_part_bytes;
  return whole_bytes <= most_parted_payload && begin < whole_bytes &&
         part_bytes == std::min<std::uint64_t>(most_part_bytes, whole_bytes - begin);
}

/// Returns the length of the first record in `rest`, its padding included: at most rest.size().
inline std::expected<std::uint32_t, RecordFault> length_of_record(std::span<const std::byte> rest) noexcept {
  if (rest.size() < 8) return std::unexpected(RecordFault::malformed);
  const auto type = value_at<std::uint8_t>(rest, 0);
  const auto flags = value_at<std::uint8_t>(rest, 1);
  std::uint64_t length = 0;
  switch (static_cast<RecordType>(type)) {
    case RecordType::job: {
      const auto payload = value_at<std::uint32_t>(rest, offsetof(JobRecord, payload_bytes));
      if (payload > most_journaled_payload) return std::unexpected(RecordFault::malformed);
      length = sizeof(JobRecord) + in_whole_words(payload);
      break;
    }
    case RecordType::ended:
    case RecordType::attempts:
      length = sizeof(ShortRecord);
      break;
    case RecordType::kind:
    case RecordType::retry_policy:
      length = sizeof(KindRecord) + in_whole_words(value_at<std::uint16_t>(rest, offsetof(KindRecord, name_bytes)));
      break;
    case RecordType::change:
      if (value_at<std::uint8_t>(rest, offsetof(ChangeRecord, state)) > most_journaled_state) {
        return std::unexpected(RecordFault::malformed);
      }
      length = sizeof(ChangeRecord) + in_whole_words(value_at<std::uint16_t>(rest, offsetof(ChangeRecord, text_bytes)));
      break;
    case RecordType::options:
      length = sizeof(OptionsRecord);
      break;
    case RecordType::links:
      length = sizeof(LinksRecord);
      break;
    case RecordType::notes: {
      const auto tag_bytes = value_at<std::uint8_t>(rest, offsetof(NotesRecord, tag_bytes));
      if (tag_bytes > most_noted_tag_bytes) return std::unexpected(RecordFault::malformed);
      length = sizeof(NotesRecord) + in_whole_words(tag_bytes);
      break;
    }
    case RecordType::part: {
      if (rest.size() < sizeof(PartRecord)) return std::unexpected(RecordFault::malformed);
      const auto part = value_at<PartRecord>(rest);
      if (!is_part(part.number, part.part_bytes, part.payload_bytes)) return std::unexpected(RecordFault::malformed);
      length = sizeof(PartRecord) + in_whole_words(part.part_bytes);
      break;
    }
    case RecordType::result_part: {
      if (rest.size() < sizeof(ResultPartRecord)) return std::unexpected(RecordFault::malformed);
      const auto part = value_at<ResultPartRecord>(rest);
      if (!is_part(part.number, part.part_bytes, part.result_bytes)) return std::unexpected(RecordFault::malformed);
      length = sizeof(ResultPartRecord) + in_whole_words(part.part_bytes);
      break;
    }
    case RecordType::large_job:
      length = sizeof(LargeJobRecord);
      break;
    default:
      return std::unexpected(RecordFault::unknown);
  }
  if (flags != 0) return std::unexpected(RecordFault::unknown);
  if (length > rest.size()) return std::unexpected(RecordFault::malformed);
  if (has_id(static_cast<RecordType>(type)) && word_at(rest, offsetof(JobRecord, id)) == 0)
    return std::unexpected(RecordFault::malformed);
  return static_cast<std::uint32_t>(length);
}
static_assert(offsetof(JobRecord, id) == offsetof(ShortRecord, id) &&
              offsetof(JobRecord, id) == offsetof(ChangeRecord, id) &&
              offsetof(JobRecord, id) == offsetof(OptionsRecord, id) &&
              offsetof(JobRecord, id) == offsetof(LinksRecord, id) &&
              offsetof(JobRecord, id) == offsetof(PartRecord, id) &&
              offsetof(JobRecord, id) == offsetof(NotesRecord, id) &&
              offsetof(JobRecord, id) == offsetof(ResultPartRecord, id) && offsetof(LargeJobRecord, job) == 0);

/// The records of a block whose head and checksum are right.
inline std::span<const std::byte> records_of(std::span<const std::byte> block, const BlockHead& head) noexcept {
  return block.subspan(sizeof(BlockHead), head.record_bytes);
}

/// Returns the place of the first unreadable record, and why it is unreadable; nothing if all are readable.
struct RecordFinding {
  std::size_t offset;
  std::uint8_t type;
  RecordFault fault;
};
std::optional<RecordFinding> check_records(std::span<const std::byte> records, std::uint32_t count) noexcept;

/// Ids in records that can still be read in bytes of a damaged block. Nothing vouches for them.
class ReadableIds {
 public:
  explicit ReadableIds(std::size_t most) noexcept : most_(most) {}
  /// `bytes` begin where a record may begin.
  void look_in(std::span<const std::byte> bytes);
  bool has_enough() const noexcept { return ids_.size() >= most_; }
  std::vector<JobId> take() && noexcept { return std::move(ids_); }

 private:
  std::size_t most_;
  std::vector<JobId> ids_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace ringmill
