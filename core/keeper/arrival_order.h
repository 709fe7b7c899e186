// Jobs in order of arrival, of one level: what the overflow queue holds.
//
// Most jobs come in almost the right order, pass by pass over the marks: a pass finds a few of them that are older than
// the latest of the pass before. So what comes is kept apart until nothing older can come any more, is sorted then, and
// joins the end of a sorted row. A job that is older than the row's end (it is queued again after a failure) goes to a
// heap beside it. Each job costs about 40 ns, in a queue of a thousand or of millions.
//
// The jobs of kinds whose numbers are equal modulo 64 share one row, so that a worker which wants one kind does not
// wait for a walk through all others (over.F4). A level has a handful of kinds at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace ringmill {

/// A queued job: when it was enqueued, on the wall clock, and its hint.
struct Arrived {
  std::uint64_t enqueued_at_ns = 0;
  std::uint64_t hint = 0;
  auto operator<=>(const Arrived&) const noexcept = default;
};

/// The jobs of kinds that share a bit.
class ArrivalRow {
 public:
  void add(Arrived job) { pending_.push_back(job); }
  /// Nothing that is enqueued until then comes any more, but jobs that are queued again.
  void settle(std::uint64_t until_ns) {
    const auto end = std::partition(pending_.begin(), pending_.end(),
                                    [until_ns](const Arrived& job) { return job.enqueued_at_ns <= until_ns; });
    if (end == pending_.begin()) return;
    if (!std::is_sorted(pending_.begin(), end)) std::sort(pending_.begin(), end);
    for (auto job = pending_.begin(); job != end; ++job) {
      if (row_.empty() || row_.back() < *job) {
        row_.push_back(*job);
      } else {
        late_.push_back(*job);
        std::ranges::push_heap(late_, std::greater<>());
      }
    }
    pending_.erase(pending_.begin(), end);
  }
  /// The first job of those that are settled; null: none is.
  const Arrived* front() const noexcept {
    if (late_.empty()) return row_.empty() ? nullptr : &row_.front();
    return row_.empty() || late_.front() < row_.front() ? &late_.front() : &row_.front();
  }
  /// Removes front(), which there is.
  Arrived pop() {
    if (late_.empty() || (!row_.empty() && row_.front() < late_.front())) {
      const Arrived job = row_.front();
      row_.pop_front();
      return job;
    }
    std::ranges::pop_heap(late_, std::greater<>());
    const Arrived job = late_.back();
    late_.pop_back();
    return job;
  }
  /// The hint of a job that comes soon, to fetch its cell; 0: none is known.
  std::uint64_t hint_ahead(std::size_t steps) const noexcept { return steps < row_.size() ? row_[steps].hint : 0; }
  bool is_empty() const noexcept { return row_.empty() && late_.empty() && pending_.empty(); }

 private:
  std::deque<Arrived> row_;
  std::vector<Arrived> late_;  // the earliest in front
  std::vector<Arrived> pending_;
};

/// The jobs of one level.
class ArrivalOrder {
 public:
  /// `kind_bit` has one bit.
  void add(Arrived job, std::uint64_t kind_bit) {
    auto row = std::ranges::find(rows_, kind_bit, &Row::kind_bit);
    if (row == rows_.end()) {
      rows_.push_back({.kind_bit = kind_bit, .jobs = {}});
      row = rows_.end() - 1;
    }
    row->jobs.add(job);
  }
  void settle(std::uint64_t until_ns) {
    for (Row& row : rows_) row.jobs.settle(until_ns);
  }
  /// The row whose first settled job came first, of kinds with one of these bits; null: none has one. It stays valid
  /// while jobs are added.
  ArrivalRow* first(std::uint64_t kind_bits = ~std::uint64_t{0}) noexcept {
    ArrivalRow* first = nullptr;
    for (Row& row : rows_) {
      if ((row.kind_bit & kind_bits) == 0) continue;
      const Arrived* const job = row.jobs.front();
      if (job != nullptr && (first == nullptr || *job < *first->front())) first = &row.jobs;
    }
    return first;
  }
  bool has_kinds(std::uint64_t kind_bits) const noexcept {
    return std::ranges::any_of(
        rows_, [kind_bits](const Row& row) { return (row.kind_bit & kind_bits) != 0 && !row.jobs.is_empty(); });
  }
  bool is_empty() const noexcept {
    return std::ranges::all_of(rows_, [](const Row& row) { return row.jobs.is_empty(); });
  }

 private:
  struct Row {
    std::uint64_t kind_bit = 0;
    ArrivalRow jobs;
  };
  std::deque<Row> rows_;  // a row that first() has returned stays where it is while others are added
};

}  // namespace ringmill
