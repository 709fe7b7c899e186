// Counting what happens to jobs, by level and kind: statistics, which nothing in the engine decides by.
//
// A participant counts the jobs of a few pairs of level and kind in lines of its own, by a load and a store: it is
// their only writer. Its entry's next owner finds the lines and counts on. So a counter never falls, whatever leaves or
// dies, and no reader sees a step half done. The jobs of further pairs are counted in lines that all share, by
// fetch_add. The sum over all lines of a pair is its number. A participant that is killed between an event and its
// count loses that one event, of a batch the batch's.
//
// In a batch the caller counts runs of equal pairs (TallyRun).
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/segment.h"
#include "ipc/statistics.h"

namespace ringmill {

class Tally {
 public:
  using Event = std::atomic<std::uint64_t> PairCounts::*;

  /// `number` is the acting participant's.
  Tally(const Segment& segment, std::uint32_t number) noexcept : segment_(&segment), number_(number) {}

  [[gnu::always_inline]] void count(Event event, JobPair pair, std::uint64_t n = 1) noexcept {
    if (pair != pair_) [[unlikely]]
      turn_to(pair);
    std::atomic<std::uint64_t>& word = line_->*event;
    if (is_own_) [[likely]] {
      // ORDER relaxed: one writer; readers want a recent value, not an exact moment.
      word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    } else {
      word.fetch_add(n, std::memory_order_relaxed);  // ORDER relaxed: as above
    }
  }

 private:
  static constexpr std::uint32_t most_probes = 16;

  [[gnu::noinline]] void turn_to(JobPair pair) noexcept {
    pair_ = pair;
    for (std::uint32_t n = 0; n < own_pairs; ++n) {
      PairCounts& line = segment_->own_pair(number_, n);
      const std::uint64_t found = line.pair.load(std::memory_order_relaxed);    // ORDER relaxed: we are the only writer
      if (found == 0) line.pair.store(pair.bits(), std::memory_order_relaxed);  // ORDER relaxed: its counts are zero
      if (found == 0 || found == pair.bits()) {
        line_ = &line;
        is_own_ = true;
        return;
      }
    }
    line_ = &shared_line(pair);
    is_own_ = false;
  }

  PairCounts& shared_line(JobPair pair) const noexcept {
    const std::uint64_t first = pair.bits() * 0x9e3779b97f4a7c15U >> 32;
    for (std::uint32_t probe = 0; probe < most_probes; ++probe) {
      PairCounts& line = segment_->shared_pair(static_cast<std::uint32_t>((first + probe) % (shared_pairs - 1)));
      std::uint64_t found = line.pair.load(std::memory_order_relaxed);  // ORDER relaxed: its counts count by themselves
      if (found == 0 && line.pair.compare_exchange_strong(found, pair.bits())) return line;
      if (found == pair.bits()) return line;
    }
    return segment_->shared_pair(shared_pairs - 1);
  }

  const Segment* segment_;
  std::uint32_t number_;
  JobPair pair_;  // whose line line_ is
  PairCounts* line_ = nullptr;
  bool is_own_ = false;
};

/// Counts the jobs of a batch: one count for each run of equal pairs.
class TallyRun {
 public:
  TallyRun(Tally& tally, Tally::Event event) noexcept : tally_(&tally), event_(event) {}
  TallyRun(const TallyRun&) = delete;
  TallyRun& operator=(const TallyRun&) = delete;
  ~TallyRun() { flush(); }

  void add(JobPair pair) noexcept {
    if (pair != pair_) {
      flush();
      pair_ = pair;
    }
    ++count_;
  }

 private:
  void flush() noexcept {
    if (count_ != 0) tally_->count(event_, pair_, count_);
    count_ = 0;
  }

  Tally* tally_;
  Tally::Event event_;
  JobPair pair_;
  std::uint64_t count_ = 0;
};

}  // namespace ringmill
