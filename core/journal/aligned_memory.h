// Memory that the journal's files are read into and written from: O_DIRECT asks for its alignment.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "core/journal/format.h"

namespace ringmill {

struct FreeAligned {
  void operator()(std::byte* memory) const noexcept { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<std::byte, FreeAligned>;

/// `bytes` is a multiple of journal_unit. Nothing when there is no memory.
inline AlignedMemory aligned_memory(std::size_t bytes) noexcept {
  return AlignedMemory(static_cast<std::byte*>(std::aligned_alloc(journal_unit, bytes)));
}

}  // namespace ringmill
