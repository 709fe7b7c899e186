// What the parts of a participant share: its place in the engine, and the tools that act in its name.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <ringmill/error.h>

#include "core/base/handles.h"
#include "core/instance/engine_core.h"
#include "core/retry/retry_policies.h"
#include "core/table/arena.h"
#include "core/table/evictable.h"
#include "core/table/free_cells.h"
#include "core/table/lease_book.h"
#include "core/table/run_sampler.h"
#include "core/table/settling.h"
#include "ipc/fork_guard.h"
#include "ipc/visits.h"

namespace ringmill {

/// How long a wait spins before it sleeps: about what a sleep and a wake cost.
inline constexpr std::uint64_t spin_ns = 20'000;

/// Not the number of any thread: a participant with it is bound to its process.
inline constexpr std::uint64_t any_thread = ~std::uint64_t{0};

/// Adds to a counter of the participant's own entry. ORDER relaxed: one writer; readers want a recent value, not an
/// exact moment.
inline void count_more(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

struct ParticipantContext {
  /// `registry_number` is an entry that was entered with this binding.
  ParticipantContext(std::shared_ptr<EngineCore> opened_engine, std::uint32_t registry_number, Binding binding);
  ParticipantContext(const ParticipantContext&) = delete;
  ParticipantContext& operator=(const ParticipantContext&) = delete;
  ~ParticipantContext() = default;

  /// Returns whether a public call is on the right thread of the right process. Every public call asks first.
  bool is_mine() const noexcept { return thread_number == this_thread_number || is_of_this_process(); }
  /// The participant is bound to its process, and this is that process.
  [[gnu::noinline]] bool is_of_this_process() const noexcept;
  /// Says why is_mine() is false. Errors: after_fork, wrong_thread.
  Error misuse() const noexcept;
  /// Ends the participant's wait. Any thread of its process may call this.
  void wake() noexcept;
  /// wake.S4 of a wait that Consumer::begin_wait() began. Returns false if only the time is over. Any thread.
  bool sleep(std::uint32_t sequence, std::uint64_t wait_ns) const noexcept;
  /// Wakes another that sleeps for what this participant sleeps for. Any thread.
  void pass_on_wake() const noexcept;
  /// Ends a wait with an error: would_block (wake() was called), not_found (the engine was removed).
  Result<void> check_wait() noexcept;

  /// visit.V1 and visit.V2.
  void begin_visit() noexcept {
    visits.begin();
    // ORDER visit: acquires. What has left by now is forgotten; what leaves later waits for our end.
    if (segment.signals().chunks_left.load(std::memory_order_acquire) != known_chunks_left) [[unlikely]]
      forget_what_has_left();
  }
  [[gnu::noinline]] void forget_what_has_left() noexcept;

  bool has_arena() const noexcept { return segment.geometry().arena_chunk_count != 0; }
  /// Frees a cell whose id no caller has.
  void take_back(const FreeCells::Filling& filling) noexcept;
  void take_back(std::span<const FreeCells::Filling> filled) noexcept;
  /// Makes room for a job of this level, or for an extent, at the cost of kept results, if the keeper has not done it.
  /// Returns false if there are none that may go.
  bool evict_for(std::uint32_t level) noexcept;
  bool evict_for_extent(std::size_t bytes) noexcept;
  /// An extent for a job whose cell this participant fills, at the cost of kept results if there is no other.
  std::optional<std::uint32_t> take_extent(JobId id, std::size_t bytes) noexcept;
  /// Lists the cell that an end has freed. Returns false if the end was lost.
  bool list_if_free(CellIndex index, Settling::Ended ended) noexcept;

  std::shared_ptr<EngineCore> engine;
  Segment& segment;
  ParticipantEntry& entry;
  const std::uint32_t number;
  const std::uint32_t level_count;
  const Handles handles;
  const std::uint32_t most_payload;
  const std::uint32_t fork_generation;
  const std::uint64_t thread_number;
  Settling settling;
  FreeCells free_cells;
  Arena arena;
  Eviction eviction;
  RetryPolicies retry_policies;
  LeaseBook lease_book;
  RunSampler sampler;
  Visits visits;
  std::uint64_t known_chunks_left = 0;
  /// The keeper may have taken back what is claimed in advance (core/keeper/taking_back.h). Set where a visit begins,
  /// cleared by the consumer.
  bool leases_may_be_taken = false;
  /// Set by wake(), cleared by the wait that it ends.
  std::atomic<bool> woken{false};
};

/// A participant's visit (ipc/visits.h), from the beginning of a public call to its end. One inside another counts as
/// one.
class Visiting {
 public:
  explicit Visiting(ParticipantContext& context) noexcept : context_(context), is_outer_(!context.visits.is_inside()) {
    if (is_outer_) context_.begin_visit();
  }
  ~Visiting() {
    if (is_outer_) context_.visits.end();
  }
  Visiting(const Visiting&) = delete;
  Visiting& operator=(const Visiting&) = delete;

 private:
  ParticipantContext& context_;
  const bool is_outer_;
};

/// Leaves the visit for the time of a wait. What the caller knew of the table is old afterwards.
class Away {
 public:
  explicit Away(ParticipantContext& context) noexcept : context_(context), was_inside_(context.visits.is_inside()) {
    if (was_inside_) context_.visits.end();
  }
  ~Away() {
    if (was_inside_) context_.begin_visit();
  }
  Away(const Away&) = delete;
  Away& operator=(const Away&) = delete;

 private:
  ParticipantContext& context_;
  const bool was_inside_;
};

}  // namespace ringmill
