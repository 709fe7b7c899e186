#include "core/table/parents.h"

#include <algorithm>
#include <cstdint>
#include <span>

namespace ringmill {

std::optional<std::vector<JobId>> parents_of(const JobTable& table, const Arena& arena, JobId id, std::size_t most) {
  const CellIndex index = index_of(id);
  std::vector<std::uint64_t> words(std::min<std::size_t>(table.parents(index), most));
  if (words.empty()) return std::vector<JobId>();
  std::byte* const to = reinterpret_cast<std::byte*>(words.data());
  const std::size_t bytes = words.size() * sizeof(std::uint64_t);
  // ORDER second-look
  if ((table.header(index).flags.load(std::memory_order_acquire) & cell_flag::in_arena) == 0) {
    if (bytes > table.inline_bytes()) return std::nullopt;  // another job's, by now
    table.copy_words_out(index, to, bytes);
  } else {
    const auto body = arena.payload_of(id);
    if (!body || body->size() < bytes) return std::nullopt;
    Arena::copy_out(body->first(bytes), to);
  }
  std::vector<JobId> ids(words.size());
  std::ranges::transform(words, ids.begin(), [](std::uint64_t word) { return JobId(word); });
  return ids;
}

}  // namespace ringmill
