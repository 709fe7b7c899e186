// The objects behind the opaque handles.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

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
/// number of the participant, a count, and the place in the table.
class LeaseTable {
 public:
  explicit LeaseTable(std::uint64_t serial) noexcept : next_(serial << serial_shift | 1) {}

  /// Takes a job in. There is room: a participant has no more leases than the table.
  rm_lease add(Job&& job) noexcept {
    const auto place = static_cast<std::uint32_t>(std::countr_one(used_));
    used_ |= std::uint64_t{1} << place;
    Held& held = held_[place];
    held.lease = next_++ << place_bits | place;
    held.job = std::move(job);
    return held.lease;
  }
  /// Null: no lease of this participant, or it was settled.
  Job* find(rm_lease lease) noexcept {
    Held& held = held_[lease % Participant::most_leases];
    return held.lease == lease && lease != 0 ? &held.job : nullptr;
  }
  const Job* find(rm_lease lease) const noexcept { return const_cast<LeaseTable*>(this)->find(lease); }
  /// The job is settled, or lost.
  void forget(rm_lease lease) noexcept {
    const std::uint32_t place = lease % Participant::most_leases;
    held_[place].lease = 0;
    used_ &= ~(std::uint64_t{1} << place);
  }
  std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(std::popcount(used_)); }
  bool is_full() const noexcept { return used_ == ~std::uint64_t{0}; }

 private:
  static_assert(Participant::most_leases == 64);
  static constexpr unsigned place_bits = 6;
  static constexpr unsigned serial_shift = 42 - place_bits;  // 2^36 jobs, then the count runs into the next serial

  struct Held {
    Job job;
    rm_lease lease = 0;
  };
  std::array<Held, Participant::most_leases> held_;
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
