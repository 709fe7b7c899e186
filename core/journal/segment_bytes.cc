#include "core/journal/segment_bytes.h"

#include <algorithm>
#include <new>

namespace ringmill {

void SegmentBytes::use(SlotNumber slot, std::uint64_t bytes) {
  const std::uint64_t size = bytes / journal_unit * journal_unit;
  if (slot != slot_ || size != size_) begin_ = end_ = 0;
  slot_ = slot;
  size_ = size;
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, most_kept));
  if (wanted <= capacity_) return;
  memory_.reset();
  memory_ = aligned_memory(wanted);
  if (!memory_) throw std::bad_alloc();
  capacity_ = wanted;
}

Result<std::span<const std::byte>> SegmentBytes::view(std::uint64_t offset, std::uint64_t length) {
  if (offset < begin_ || offset > end_ || offset + length - begin_ > capacity_) begin_ = end_ = offset;
  while (end_ < offset + length) {
    const std::uint64_t room = capacity_ - (end_ - begin_);
    const auto next = static_cast<std::size_t>(std::min({std::uint64_t{piece}, room, size_ - end_}));
    if (auto read = device_.read(slot_, end_, {memory_.get() + (end_ - begin_), next}); !read) {
      return std::unexpected(std::move(read.error()));
    }
    end_ += next;
    bytes_read_ += next;
    if (progress_) progress_(bytes_read_);
  }
  return std::span<const std::byte>(memory_.get() + (offset - begin_), length);
}

}  // namespace ringmill
