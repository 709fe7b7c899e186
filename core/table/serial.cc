#include "core/table/serial.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ringmill {

std::uint64_t serial_key_hash(std::string_view key) noexcept {
  const std::uint64_t hash = XXH3_64bits(key.data(), key.size()) & ~SerialPlace::pass_bit;
  return hash != 0 ? hash : 2 * SerialPlace::pass_bit;
}

}  // namespace ringmill
