// Puts records into one block, in place, in the buffer that will be written.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <ringmill/job.h>

#include "core/journal/format.h"

namespace ringmill {

class BlockBuilder {
 public:
  BlockBuilder() noexcept = default;
  /// `buffer` is aligned to journal_unit and at least that long; what is used of it becomes the block.
  explicit BlockBuilder(std::span<std::byte> buffer) noexcept : buffer_(buffer), used_(sizeof(BlockHead)) {}

  bool is_empty() const noexcept { return records_ == 0; }
  std::uint32_t room() const noexcept { return static_cast<std::uint32_t>(buffer_.size()) - used_; }
  static constexpr std::uint32_t bytes_of_job(std::uint32_t payload_bytes) noexcept {
    return static_cast<std::uint32_t>(sizeof(JobRecord)) + in_whole_words(payload_bytes);
  }
  static constexpr std::uint32_t bytes_of_kind(std::uint32_t text_bytes) noexcept {
    return static_cast<std::uint32_t>(sizeof(KindRecord)) + in_whole_words(text_bytes);
  }

  /// Each append needs room() for its record. Writes the record and returns where the payload goes, in_whole_words()
  /// long, its last word zeroed: the caller copies it there. rewind() takes the record back.
  std::span<std::byte> append_job(const JobRecord& record) noexcept;
  /// As append_job(), for one part.
  std::span<std::byte> append_part(const PartRecord& record) noexcept;
  static constexpr std::uint32_t bytes_of_part(std::uint32_t part_bytes) noexcept {
    return static_cast<std::uint32_t>(sizeof(PartRecord)) + in_whole_words(part_bytes);
  }
  std::span<std::byte> append_result_part(const ResultPartRecord& record) noexcept;
  static constexpr std::uint32_t bytes_of_result_part(std::uint32_t part_bytes) noexcept {
    return static_cast<std::uint32_t>(sizeof(ResultPartRecord)) + in_whole_words(part_bytes);
  }
  void append_large_job(const LargeJobRecord& record) noexcept;
  void append_ended(JobId id) noexcept;
  void append_attempts(JobId id, std::uint16_t attempts) noexcept;
  void append_kind(std::uint32_t kind, std::string_view name) noexcept;
  void append_retry_policy(std::uint32_t policy, std::string_view text) noexcept;
  void append_options(const OptionsRecord& record) noexcept;
  void append_links(const LinksRecord& record) noexcept;
  void append_notes(NotesRecord record, std::string_view tag) noexcept;
  /// Writes the record and returns where the text goes, as append_job() does for the payload.
  std::span<std::byte> append_change(const ChangeRecord& record) noexcept;
  static constexpr std::uint32_t bytes_of_change(std::uint32_t text_bytes) noexcept {
    return static_cast<std::uint32_t>(sizeof(ChangeRecord)) + in_whole_words(text_bytes);
  }
  static constexpr std::uint32_t most_bytes_of_notes() noexcept {
    return static_cast<std::uint32_t>(sizeof(NotesRecord)) + in_whole_words(most_noted_tag_bytes);
  }
  /// Where the next record goes; rewind() takes back what was appended since.
  struct Mark {
    std::uint32_t used = 0;
    std::uint32_t records = 0;
  };
  Mark mark() const noexcept { return {used_, records_}; }
  void rewind(Mark mark) noexcept {
    used_ = mark.used;
    records_ = mark.records;
  }

  /// Pads with zeros, fills in what the head does not have yet (bytes, record_bytes, records, checksum), and returns
  /// the block, ready to be written.
  std::span<const std::byte> seal(BlockHead head) noexcept;

 private:
  template <class Record>
  void append(const Record& record) noexcept;
  /// `bytes` long, in whole words, the last one zeroed.
  std::span<std::byte> append_room(std::uint32_t bytes) noexcept;
  void append_name(KindRecord record, std::string_view name) noexcept;

  std::span<std::byte> buffer_;
  std::uint32_t used_ = 0;
  std::uint32_t records_ = 0;
};

}  // namespace ringmill
