// Jobs in order of arrival, of one level: what the overflow queue holds.
//
// Most jobs come in almost the right order, pass by pass over the marks: a pass finds a few of them that are older than
// the latest of the pass before. So what comes is kept apart until nothing older can come any more, is sorted then, and
// joins the end of a sorted row. A job that is older than the row's end (it is queued again after a failure) goes to a
// heap beside it. Jobs of one time (the clock is that of scheduler ticks) stand in the order of their cells, in which
// producers take them and a pass finds them: so hardly ever anything has to be sorted. Those that come back from the
// ring stand before them, in the order that they had there.
//
// The jobs of kinds whose numbers are equal modulo 64 share one row, so that a worker which wants one kind does not
// wait for a walk through all others (over.F4). A level has a handful of kinds at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "core/table/job_table.h"

namespace ringmill {

/// A queued job: when it was enqueued, on the wall clock; its place among those of one time; its hint.
struct Arrived {
  std::uint64_t enqueued_at_ns = 0;
  std::uint64_t order : 28 = 0;
  std::uint64_t hint : Ring::hint_bits = 0;

  static constexpr std::uint32_t most_order = (1U << 28) - 1;
  /// The order of a job that a mark, or a scan, has found.
  static constexpr std::uint32_t by_cell(CellIndex index) noexcept { return from_marks | index; }
  /// The order of a job that was taken out of the ring. It wraps after 134 million, which moves jobs of one tick.
  static constexpr std::uint32_t by_position(std::uint64_t position) noexcept {
    return static_cast<std::uint32_t>(position & (from_marks - 1));
  }
  bool is_older(const Arrived& other) const noexcept { return enqueued_at_ns < other.enqueued_at_ns; }
  /// The same, and of one time by the cell.
  bool is_before(const Arrived& other) const noexcept {
    return is_older(other) || (enqueued_at_ns == other.enqueued_at_ns && order < other.order);
  }
  /// Whether it may stand behind the end of a sorted row: what marks have found later, of the same time, may.
  bool may_follow(const Arrived& end) const noexcept {
    return !is_older(end) && (end.is_older(*this) || order >= from_marks || end.order < from_marks);
  }

 private:
  static constexpr std::uint32_t from_marks = 1U << 27;
};

/// The jobs of kinds that share a bit.
class ArrivalRow {
 public:
  explicit ArrivalRow(std::uint64_t kind_bit) noexcept : kind_bit_(kind_bit) {}

  std::uint64_t kind_bit() const noexcept { return kind_bit_; }
  void add(Arrived job) { pending_.push_back(job); }
  /// Nothing that stands before `until` comes any more, but jobs that are queued again.
  void settle(const Arrived& until) {
    const auto is_settled = [&until](const Arrived& job) { return !until.is_before(job); };
    auto end = std::ranges::find_if_not(pending_, is_settled);
    if (end != pending_.end()) end = std::stable_partition(end, pending_.end(), is_settled);
    if (end == pending_.begin()) return;
    sort(std::span(pending_.begin(), end));
    for (auto job = pending_.begin(); job != end; ++job) {
      if (row_.empty() || job->may_follow(row_.back())) {
        row_.push_back(*job);
      } else {
        late_.push_back(*job);
        std::ranges::push_heap(late_, is_after);
      }
    }
    pending_.erase(pending_.begin(), end);
  }
  /// The first job of those that are settled; null: none is.
  const Arrived* front() const noexcept {
    if (late_.empty()) return row_.empty() ? nullptr : &row_.front();
    return is_late_first() ? &late_.front() : &row_.front();
  }
  /// Removes front(), which there is.
  Arrived pop() {
    if (!is_late_first()) {
      const Arrived job = row_.front();
      row_.pop_front();
      return job;
    }
    std::ranges::pop_heap(late_, is_after);
    const Arrived job = late_.back();
    late_.pop_back();
    return job;
  }
  /// The hint of a job that comes soon, to fetch its cell; 0: none is known.
  std::uint64_t hint_ahead(std::size_t steps) const noexcept { return steps < row_.size() ? row_[steps].hint : 0; }
  bool is_empty() const noexcept { return row_.empty() && late_.empty() && pending_.empty(); }

 private:
  /// Jobs that were enqueued in one tick of the clock, and where sort() puts the next one of them.
  struct Tick {
    std::uint64_t enqueued_at_ns = 0;
    std::size_t count = 0;
    std::size_t next = 0;
  };
  static bool is_after(const Arrived& a, const Arrived& b) noexcept { return b.is_before(a); }
  static bool is_before(const Arrived& a, const Arrived& b) noexcept { return a.is_before(b); }

  /// A long pass of a keeper that has little processor time finds jobs of some ticks of the clock, mixed. They are
  /// dealt out by tick, which costs less than comparing each with many others; those of a tick are mostly in order.
  void sort(std::span<Arrived> jobs) {
    if (std::ranges::is_sorted(jobs, is_before)) return;
    if (!note_ticks(jobs)) {
      std::ranges::sort(jobs, is_before);
      return;
    }
    std::size_t sum = 0;
    for (Tick& tick : ticks_) tick.next = std::exchange(sum, sum + tick.count);
    dealt_.resize(jobs.size());
    for (const Arrived& job : jobs) dealt_[tick_of(job)->next++] = job;
    std::ranges::copy(dealt_, jobs.begin());
    for (const Tick& tick : ticks_) {
      const auto of_tick = jobs.subspan(tick.next - tick.count, tick.count);
      if (!std::ranges::is_sorted(of_tick, is_before)) std::ranges::sort(of_tick, is_before);
    }
  }
  /// Counts the jobs of each tick, in the order of time. Returns false if there are too many ticks.
  bool note_ticks(std::span<const Arrived> jobs) {
    ticks_.clear();
    for (const Arrived& job : jobs) {
      auto tick = tick_of(job);
      if (tick == ticks_.end()) {
        if (ticks_.size() == most_ticks) return false;
        tick = ticks_.insert(tick, {.enqueued_at_ns = job.enqueued_at_ns});
      }
      ++tick->count;
    }
    std::ranges::sort(ticks_, {}, &Tick::enqueued_at_ns);
    return true;
  }
  std::vector<Tick>::iterator tick_of(const Arrived& job) noexcept {
    return std::ranges::find(ticks_, job.enqueued_at_ns, &Tick::enqueued_at_ns);
  }
  /// There is one of them.
  bool is_late_first() const noexcept {
    return !late_.empty() && (row_.empty() || !row_.front().is_older(late_.front()));
  }

  static constexpr std::size_t most_ticks = 16;

  std::uint64_t kind_bit_;
  std::deque<Arrived> row_;
  std::vector<Arrived> late_;  // the earliest in front
  std::vector<Arrived> pending_;
  std::vector<Tick> ticks_;     // of sort(), which keeps their memory
  std::vector<Arrived> dealt_;  // as ticks_
};

/// The jobs of one level.
class ArrivalOrder {
 public:
  /// `kind_bit` has one bit.
  void add(Arrived job, std::uint64_t kind_bit) {
    auto row = std::ranges::find(rows_, kind_bit, &ArrivalRow::kind_bit);
    if (row == rows_.end()) row = rows_.emplace(rows_.end(), kind_bit);
    row->add(job);
  }
  void settle(const Arrived& until) {
    for (ArrivalRow& row : rows_) row.settle(until);
  }
  /// The row whose first settled job came first, of kinds with one of these bits; null: none has one. It stays valid
  /// while jobs are added.
  ArrivalRow* first(std::uint64_t kind_bits = ~std::uint64_t{0}) noexcept {
    ArrivalRow* first = nullptr;
    for (ArrivalRow& row : rows_) {
      if ((row.kind_bit() & kind_bits) == 0) continue;
      const Arrived* const job = row.front();
      if (job != nullptr && (first == nullptr || job->is_before(*first->front()))) first = &row;
    }
    return first;
  }
  bool has_kinds(std::uint64_t kind_bits) const noexcept {
    return std::ranges::any_of(
        rows_, [kind_bits](const ArrivalRow& row) { return (row.kind_bit() & kind_bits) != 0 && !row.is_empty(); });
  }
  bool is_empty() const noexcept {
    return std::ranges::all_of(rows_, [](const ArrivalRow& row) { return row.is_empty(); });
  }

 private:
  std::deque<ArrivalRow> rows_;  // a row that first() has returned stays where it is while others are added
};

}  // namespace ringmill
