// The objects behind the opaque handles.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>

#include <ringmill/engine.h>
#include <ringmill/graph.h>
#include <ringmill/participant.h>

#include "clients/c/call.h"

struct rm_engine {
  explicit rm_engine(ringmill::Engine opened) : engine(std::move(opened)) {}
  ringmill::Engine engine;
  std::atomic<std::uint32_t> references{1};
};

namespace ringmill::c {

/// The jobs that a participant holds, by lease. A number is used for one job only, in whichever participant: a serial
/// number of the participant, a count, and the place in the table. The engine claims into the places, and completes
/// them from there: no job is moved.
class LeaseTable {
 public:
  explicit LeaseTable(std::uint64_t serial) noexcept : next_(serial << serial_shift | 1) {}

  /// Null: all are taken.
  Job* free_place() noexcept {
    return used_ == ~std::uint64_t{0} ? nullptr : &jobs_[static_cast<std::size_t>(std::countr_one(used_))];
  }
  /// The longest run of free places side by side, but no more than `most`, for jobs to be claimed into. Empty: all are
  /// taken.
  std::span<Job> free_run(std::uint32_t most) noexcept {
    if (used_ == 0) return std::span(jobs_).first(most);
    std::uint64_t starts = ~used_;  // bit n: from place n on, `length` places are free
    std::uint32_t length = starts == 0 ? 0 : 1;
    for (std::uint32_t step = 1; step != 0 && length != 0 && length < most;) {
      const std::uint64_t longer = starts & starts >> step;
      if (longer == 0) {
        step /= 2;
        continue;
      }
      starts = longer;
      length += step;
      step = std::min(length, most - length);
    }
    return std::span(jobs_).subspan(length == 0 ? 0 : static_cast<std::size_t>(std::countr_zero(starts)), length);
  }
  /// Takes in the job that was claimed into a free place.
  rm_lease take_in(const Job& job) noexcept {
    const auto place = static_cast<std::uint64_t>(&job - jobs_.data());
    used_ |= std::uint64_t{1} << place;
    return leases_[place] = next_++ << place_bits | place;
  }
  /// Null: no lease of this participant, or it was settled.
  Job* find(rm_lease lease) noexcept {
    const std::uint32_t place = place_of(lease);
    return leases_[place] == lease && lease != 0 ? &jobs_[place] : nullptr;
  }
  const Job* find(rm_lease lease) const noexcept { return const_cast<LeaseTable*>(this)->find(lease); }
  /// The job is settled, or lost.
  void forget(rm_lease lease) noexcept {
    const std::uint32_t place = place_of(lease);
    leases_[place] = 0;
    used_ &= ~(std::uint64_t{1} << place);
  }
  /// The same for jobs side by side.
  void forget_run(std::span<const Job> jobs) noexcept {
    const auto place = static_cast<std::uint32_t>(jobs.data() - jobs_.data());
    std::fill_n(leases_.begin() + place, jobs.size(), 0);
    used_ &= ~(~std::uint64_t{0} >> (Participant::most_leases - jobs.size()) << place);
  }
  std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(std::popcount(used_)); }

 private:
  static_assert(Participant::most_leases == 64);
  static constexpr unsigned place_bits = 6;
  static constexpr unsigned serial_shift = 42 - place_bits;  // 2^36 jobs, then the count runs into the next serial

  static std::uint32_t place_of(rm_lease lease) noexcept { return lease % Participant::most_leases; }

  std::array<Job, Participant::most_leases> jobs_;
  std::array<rm_lease, Participant::most_leases> leases_{};  // by place; 0: free
  std::uint64_t used_ = 0;
  std::uint64_t next_;
};

}  // namespace ringmill::c

struct rm_participant {
  rm_participant(rm_engine* of_engine, std::unique_ptr<ringmill::Participant> attached, std::uint64_t serial);
  ~rm_participant();
  rm_participant(const rm_participant&) = delete;
  rm_participant& operator=(const rm_participant&) = delete;

  /// Each call asks for the participant by this; null after it left, and `check()` says so.
  ringmill::Participant* get() const noexcept { return participant.get(); }
  rm_code detached(rm_error* error) const noexcept;

  rm_engine* engine;
  std::unique_ptr<ringmill::Participant> participant;  // null: it left
  std::unique_ptr<ringmill::c::LeaseTable> leases;
  std::atomic<std::uint32_t> references{1};
};

struct rm_graph {
  ringmill::JobGraph graph;
};
