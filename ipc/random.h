// Random numbers from the kernel.
#pragma once

#include <cstdint>

#include <ringmill/error.h>

namespace ringmill {

/// Any 64 bits but zero. Error system: the kernel gives none.
Result<std::uint64_t> random_number();

}  // namespace ringmill
