#include "core/journal/block_builder.h"

#include <cassert>
#include <cstring>

namespace ringmill {

template <class Record>
void BlockBuilder::append(const Record& record) noexcept {
  assert(sizeof record <= room());
  std::memcpy(buffer_.data() + used_, &record, sizeof record);
  used_ += static_cast<std::uint32_t>(sizeof record);
  ++records_;
}

std::span<std::byte> BlockBuilder::append_room(std::uint32_t bytes) noexcept {
  assert(in_whole_words(bytes) <= room());
  const std::span<std::byte> place = buffer_.subspan(used_, in_whole_words(bytes));
  if (!place.empty()) std::memset(place.data() + place.size() - 8, 0, 8);
  used_ += static_cast<std::uint32_t>(place.size());
  return place;
}

std::span<std::byte> BlockBuilder::append_job(const JobRecord& record) noexcept {
  append(record);
  return append_room(record.payload_bytes);
}

std::span<std::byte> BlockBuilder::append_part(const PartRecord& record) noexcept {
  append(record);
  return append_room(record.part_bytes);
}

std::span<std::byte> BlockBuilder::append_result_part(const ResultPartRecord& record) noexcept {
  append(record);
  return append_room(record.part_bytes);
}

void BlockBuilder::append_large_job(const LargeJobRecord& record) noexcept { append(record); }

void BlockBuilder::append_ended(JobId id) noexcept { append(ShortRecord{.type = RecordType::ended, .id = id.value()}); }

void BlockBuilder::append_attempts(JobId id, std::uint16_t attempts) noexcept {
  append(ShortRecord{.type = RecordType::attempts, .value = attempts, .id = id.value()});
}

void BlockBuilder::append_options(const OptionsRecord& record) noexcept { append(record); }

void BlockBuilder::append_links(const LinksRecord& record) noexcept { append(record); }

void BlockBuilder::append_notes(NotesRecord record, std::string_view tag) noexcept {
  record.tag_bytes = static_cast<std::uint8_t>(tag.size());
  append(record);
  const std::span<std::byte> place = append_room(record.tag_bytes);
  if (!tag.empty()) std::memcpy(place.data(), tag.data(), tag.size());
}

std::span<std::byte> BlockBuilder::append_change(const ChangeRecord& record) noexcept {
  append(record);
  return append_room(record.text_bytes);
}

void BlockBuilder::append_name(KindRecord record, std::string_view name) noexcept {
  record.name_bytes = static_cast<std::uint16_t>(name.size());
  append(record);
  std::memcpy(append_room(record.name_bytes).data(), name.data(), name.size());
}

void BlockBuilder::append_kind(std::uint32_t kind, std::string_view name) noexcept {
  append_name({.type = RecordType::kind, .kind = kind}, name);
}

void BlockBuilder::append_retry_policy(std::uint32_t policy, std::string_view text) noexcept {
  append_name({.type = RecordType::retry_policy, .kind = policy}, text);
}

std::span<const std::byte> BlockBuilder::seal(BlockHead head) noexcept {
  head.bytes = in_whole_units(used_);
  head.record_bytes = used_ - static_cast<std::uint32_t>(sizeof head);
  head.records = records_;
  head.checksum = 0;
  assert(head.bytes <= buffer_.size());
  std::memset(buffer_.data() + used_, 0, head.bytes - used_);
  std::memcpy(buffer_.data(), &head, sizeof head);
  const std::span<const std::byte> block = buffer_.first(head.bytes);
  head.checksum = checksum_of_block(block);
  std::memcpy(buffer_.data(), &head, sizeof head);
  return block;
}

}  // namespace ringmill
