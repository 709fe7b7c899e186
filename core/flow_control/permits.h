// How many jobs of a kind run at a time: permits that name jobs, each taken for just as long as its job runs.
//
//                                                                    killed just after the step
//   permit.S1  claim the job: CAS queued -> running                  the job waits again; no permit names this run
//   permit.S2  CAS a permit that is not taken to the job             the permit is free after the reaper ended the run
//   permit.S3  (after the end) CAS the permit to 0, ring the keeper  a permit whose job does not run is free without it
//
// A permit is taken if the table says so: the job that it names, of this kind, is running or completing. There is no
// counter that could drift, and nothing that has to be given back: a worker that dies, or loses its lease, loses the
// permit in the same transition. If a job runs again that an old permit still names, its claimer refreshes the permit's
// version (S2), so a competitor that validated the old one fails its CAS. The version wraps: after exactly 1,024
// transitions of that job between the competitor's read and its CAS one job too many runs, once.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "core/table/job_table.h"

namespace ringmill {

/// One permit's word: low bits of the generation 30 | version of the word that the job was claimed with 10 | cell 24.
struct Permit {
  CellIndex index = 0;
  std::uint64_t version = 0;
  std::uint64_t generation = 0;

  static constexpr std::uint64_t generation_mask = (std::uint64_t{1} << 30) - 1;
  static constexpr Permit of_run(CellIndex index, StateWord running) noexcept {
    return {index, running.version(), running.generation() & generation_mask};
  }
  constexpr std::uint64_t bits() const noexcept { return generation << 34 | version << index_bits | index; }
  static constexpr Permit of(std::uint64_t bits) noexcept {
    return {static_cast<CellIndex>(bits & index_mask), bits >> index_bits & 0x3ff, bits >> 34};
  }
  constexpr bool names(CellIndex cell, StateWord word) const noexcept {
    return cell == index && (word.generation() & generation_mask) == generation;
  }
};

class Permits {
 public:
  /// No permit at or behind `end`, at most most_concurrency, is taken, nor looked at.
  Permits(PermitRow& row, const JobTable& table, std::uint32_t kind, std::uint32_t end) noexcept
      : row_(&row), table_(&table), kind_(kind), end_(end) {}
  /// The end of the permits that may be taken, or become so by the rule.
  static std::uint32_t end_of(const KindRule& rule) noexcept {
    return std::max(rule.permits_end.load_once().at_most(most_concurrency),
                    rule.concurrency.load_once().at_most(most_concurrency));
  }

  /// Does S2 for a job that the caller has claimed; at most `limit` jobs run afterwards. Returns nothing if `limit` run
  /// already, or if the permits kept changing for `most_attempts` attempts.
  std::optional<std::uint32_t> take(CellIndex index, StateWord running, std::uint32_t limit) noexcept {
    const std::uint64_t wanted = Permit::of_run(index, running).bits();
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
      const View view = look(index, running);
      const std::uint32_t end = view.usable(limit, end_);
      if (view.own) {  // of an earlier run: ours again, or out of the way if the limit is lower by now
        const bool is_usable = *view.own < end;
        if (swap(*view.own, view.words[*view.own], is_usable ? wanted : 0) && is_usable) return view.own;
        continue;
      }
      std::optional<std::uint32_t> free;
      for (std::uint32_t n = 0; n < end && !free; ++n) {
        if (!view.is_taken[n]) free = n;
      }
      if (!free) return std::nullopt;
      if (swap(*free, view.words[*free], wanted)) return free;
    }
    return std::nullopt;
  }

  /// The permits behind are not taken.
  std::uint32_t taken_end() const noexcept {
    std::uint32_t end = end_;
    while (end != 0 && !is_taken(row_->permit[end - 1].load())) --end;
    return end;
  }

  /// How many run.
  std::uint32_t taken() const noexcept {
    std::uint32_t count = 0;
    for (std::uint32_t n = 0; n < end_; ++n) count += is_taken(row_->permit[n].load()) ? 1 : 0;
    return count;
  }

  /// S3.
  static void give_back(PermitRow& row, std::uint32_t permit, CellIndex index, StateWord running) noexcept {
    std::uint64_t seen = Permit::of_run(index, running).bits();
    row.permit[permit].compare_exchange_strong(seen, 0);
  }

 private:
  /// Each but the first means that others took, or left, a permit in that moment.
  static constexpr int most_attempts = 1000;

  struct View {
    std::array<std::uint64_t, most_concurrency> words;
    std::array<bool, most_concurrency> is_taken;
    std::optional<std::uint32_t> own;

    /// The permits that may be used. All of the limit, unless more of them are taken than it allows, because it was
    /// lowered: then so many fewer as stand above. None is taken there, so those above only become fewer.
    std::uint32_t usable(std::uint32_t limit, std::uint32_t end) const noexcept {
      std::uint32_t above = 0;
      while (end != 0 && end + above > limit) above += is_taken[--end] ? 1 : 0;
      return end;
    }
  };

  View look(CellIndex index, StateWord running) const noexcept {
    View view;
    for (std::uint32_t n = 0; n < end_; ++n) {
      const std::uint64_t word = row_->permit[n].load();
      view.words[n] = word;
      const bool is_own = word != 0 && Permit::of(word).names(index, running);
      if (is_own && !view.own) view.own = n;
      view.is_taken[n] = !is_own && is_taken(word);
    }
    return view;
  }
  bool is_taken(std::uint64_t permit_word) const noexcept {
    if (permit_word == 0) return false;
    const Permit permit = Permit::of(permit_word);
    if (!table_->is_there(permit.index)) return false;
    const StateWord word(table_->state(permit.index).load());
    const bool runs = word.state() == CellState::running || word.state() == CellState::completing;
    // The kind is fixed for the job's life, and read after the word that says which life it is.
    return runs && permit.names(permit.index, word) && table_->header(permit.index).kind.load_once() == kind_;
  }
  bool swap(std::uint32_t n, std::uint64_t seen, std::uint64_t wanted) noexcept {
    return row_->permit[n].compare_exchange_strong(seen, wanted);
  }

  PermitRow* row_;
  const JobTable* table_;
  std::uint32_t kind_;
  std::uint32_t end_;
};

}  // namespace ringmill
