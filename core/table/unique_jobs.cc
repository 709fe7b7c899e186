#include "core/table/unique_jobs.h"

#include <algorithm>
#include <tuple>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ipc/waking.h"

namespace ringmill {

UniqueKey UniqueKey::of(std::string_view key) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return {.low = hash.low64, .high = hash.high64 != 0 ? hash.high64 : 1};
}

std::uint64_t UniqueJobs::home_of(UniqueKey key) const noexcept {
  const std::uint64_t hash = seed_ != 0 ? XXH3_64bits_withSeed(&key, sizeof key, seed_) : key.low;
  return hash % count_;
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
    if (!is_there(home, n)) continue;
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

std::optional<JobId> UniqueJobs::look(UniqueKey key) const noexcept {
  const std::uint64_t home = home_of(key);
  const std::uint64_t looked_at = width();
  for (std::uint64_t n = 0; n < looked_at; ++n) {
    const JobId id(slot(home, n).load());
    StateWord word;
    const auto other = key_of(id, word);
    if (other && *other == key && word.has_job()) return id;
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
    if (!segment_->make_unique_page(page_of(home, n))) return Taken::full;  // the tmpfs is full
    std::uint64_t seen = slot(home, n).load();
    StateWord word;
    if (key_of(JobId(seen), word)) continue;  // in use: by another key, or ours comes to uniq.U4
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
    if (is_there(home, n) && slot(home, n).compare_exchange_strong(expected, 0)) return;
  }
}

std::vector<JobId> UniqueJobs::place(std::vector<Keyed> jobs) {
  std::ranges::sort(jobs, {}, [this](const Keyed& job) {
    return std::tuple(home_of(job.key), job.key.low, job.key.high, job.id.value());
  });
  std::vector<JobId> left_out;
  std::uint64_t widest = 0;
  std::uint64_t next = 0;   // no slot from here to the end is taken
  std::uint64_t front = 0;  // of windows that reach over the end: no slot before it is free
  std::size_t alike = 0;
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    const auto& [key, id] = jobs[n];
    alike = n != 0 && jobs[n - 1].key == key ? alike + 1 : 1;
    if (alike > most_of_one_key) {
      left_out.push_back(id);
      continue;
    }
    const std::uint64_t home = home_of(key);
    std::uint64_t at = std::max(home, next);
    next = at + 1;
    if (at >= count_) {
      while (is_there(front, 0) && slots_[front].load() != 0) ++front;  // there are no more jobs than slots
      at = count_ + front;
    }
    if (!segment_->make_unique_page(page_of(at % count_, 0))) {  // the tmpfs is full
      left_out.push_back(id);
      continue;
    }
    slots_[at % count_].store(id.value());
    widest = std::max(widest, at - home + 1);
  }
  std::uint64_t width = first_width;
  while (width < widest) width *= 2;
  widen(std::min(width, count_));
  return left_out;
}

}  // namespace ringmill
