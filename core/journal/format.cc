#include "core/journal/format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ringmill {

std::uint64_t checksum_of(const SegmentHead& head) noexcept {
  return XXH3_64bits(&head, offsetof(SegmentHead, checksum));
}

std::uint64_t checksum_of_block(std::span<const std::byte> block) noexcept {
  const std::uint64_t head = XXH3_64bits(block.data(), offsetof(BlockHead, checksum));
  return XXH3_64bits_withSeed(block.data() + sizeof(BlockHead), block.size() - sizeof(BlockHead), head);
}

}  // namespace ringmill
