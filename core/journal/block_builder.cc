#include "core/journal/block_builder.h"

#include <cassert>
#include <cstring>

namespace ringmill {

std::span<std::byte> BlockBuilder::append_job(const JobRecord& record) noexcept {
  const std::uint32_t payload_bytes = in_whole_words(record.payload_bytes);
  assert(bytes_of_job(record.payload_bytes) <= room());
  last_ = used_;
  std::memcpy(buffer_.data() + used_, &record, sizeof record);
  used_ += static_cast<std::uint32_t>(sizeof record);
  const std::span<std::byte> payload = buffer_.subspan(used_, payload_bytes);
  if (!payload.empty()) std::memset(payload.data() + payload.size() - 8, 0, 8);
  used_ += payload_bytes;
  ++records_;
  return payload;
}

void BlockBuilder::append_ended(JobId id) noexcept { append(ShortRecord{.type = RecordType::ended, .id = id.value()}); }

void BlockBuilder::append_attempts(JobId id, std::uint16_t attempts) noexcept {
  append(ShortRecord{.type = RecordType::attempts, .value = attempts, .id = id.value()});
}

void BlockBuilder::append(const ShortRecord& record) noexcept {
  assert(sizeof record <= room());
  std::memcpy(buffer_.data() + used_, &record, sizeof record);
  used_ += static_cast<std::uint32_t>(sizeof record);
  ++records_;
}

void BlockBuilder::append_kind(std::uint32_t kind, std::string_view name) noexcept {
  assert(bytes_of_kind(static_cast<std::uint32_t>(name.size())) <= room());
  const KindRecord record{.name_bytes = static_cast<std::uint16_t>(name.size()), .kind = kind};
  std::memcpy(buffer_.data() + used_, &record, sizeof record);
  used_ += static_cast<std::uint32_t>(sizeof record);
  const std::uint32_t whole = in_whole_words(record.name_bytes);
  std::memset(buffer_.data() + used_, 0, whole);
  std::memcpy(buffer_.data() + used_, name.data(), name.size());
  used_ += whole;
  ++records_;
}

void BlockBuilder::drop_last() noexcept {
  assert(records_ > 0 && last_ >= sizeof(BlockHead) && last_ < used_);
  used_ = last_;
  --records_;
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
