#include "core/unique_jobs.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/waking.h"

namespace ringmill {

UniqueKey UniqueKey::of(std::string_view key) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return {.low = hash.low64, .high = hash.high64 != 0 ? hash.high64 : 1};
}

std::optional<UniqueKey> UniqueJobs::key_of(JobId id, StateWord& word) const noexcept {
  const CellIndex index = index_of(id);
  if (!id || index >= table_.capacity()) return std::nullopt;
  word = table_.word(index);
  if (word.generation() != generation_of(id) || word.state() == CellState::free) return std::nullopt;
  const CellOptions* const options = table_.options(index);
  if (options == nullptr) return std::nullopt;
  return UniqueKey{.low = options->unique_low.load(), .high = options->unique_high.load()};
}

std::optional<JobId> UniqueJobs::find(UniqueKey key, JobId own) noexcept {
  const std::uint64_t home = home_of(key);
  const std::uint64_t looked_at = width();
  for (std::uint64_t n = 0; n < looked_at; ++n) {
    const JobId id(slot(home, n).load());
    if (id == own) continue;
    StateWord word;
    const auto other = key_of(id, word);
    if (!other || *other != key) continue;
    const CellIndex index = index_of(id);
    if (word.state() != CellState::filling) {
      if (table_.word(index).generation() == word.generation()) return id;
      continue;  // it ended in this moment, and what was read may be another's
    }
    std::uint64_t expected = word.bits();
    if (table_.state(index).compare_exchange_strong(expected, table_.freed(word).bits())) {
      wake_for_extent(*segment_);  // its producer lists the cell, and may stand still for long before it does
    } else if (StateWord(expected).generation() == word.generation() && StateWord(expected).has_job()) {
      return id;
    }
  }
  return std::nullopt;
}

void UniqueJobs::widen(std::uint64_t to) noexcept {
  std::uint64_t seen = width_word().load();
  while (seen < to && !width_word().compare_exchange_weak(seen, to)) {
  }
}

UniqueJobs::Taken UniqueJobs::take(UniqueKey key, JobId own) noexcept {
  const std::uint64_t home = home_of(key);
  const std::uint64_t looked_at = width();
  for (std::uint64_t n = 0; n < looked_at; ++n) {
    std::uint64_t seen = slot(home, n).load();
    StateWord word;
    if (key_of(JobId(seen), word)) continue;  // in use: by another key, or ours comes to U4
    return slot(home, n).compare_exchange_strong(seen, own.value()) ? Taken::yes : Taken::lost;
  }
  if (looked_at == count_) return Taken::full;
  widen(std::min(looked_at * 2, count_));
  return Taken::lost;
}

void UniqueJobs::give_way(UniqueKey key, JobId own) noexcept {
  const std::uint64_t home = home_of(key);
  const std::uint64_t looked_at = width();
  for (std::uint64_t n = 0; n < looked_at; ++n) {
    std::uint64_t expected = own.value();
    if (slot(home, n).compare_exchange_strong(expected, 0)) return;
  }
}

bool UniqueJobs::place(UniqueKey key, JobId id) noexcept {
  const std::uint64_t home = home_of(key);
  for (std::uint64_t n = 0; n < count_; ++n) {
    if (n == width()) widen(std::min(n * 2, count_));
    std::uint64_t expected = 0;
    if (slot(home, n).compare_exchange_strong(expected, id.value())) return true;
  }
  return false;
}

}  // namespace ringmill
