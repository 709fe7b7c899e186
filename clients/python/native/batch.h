// Jobs that were claimed in one call, without an object for each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "clients/python/native/handles.h"

namespace ringmill::python {

class Batch {
 public:
  explicit Batch(std::shared_ptr<ParticipantHandle> holder) noexcept : holder_(std::move(holder)) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  /// What is not settled goes back, if its participant may be used from here.
  ~Batch();

  /// Completes what is left, and claims the next jobs into the same places, by one call of the engine if there are some
  /// already. Without an end: no `wait`.
  void complete_and_claim(std::uint32_t most, std::optional<double> wait);
  /// Settles from `begin` to `end` in one way. Returns the ids of those that had lost their lease.
  nb::list settle(std::uint32_t what, std::uint32_t begin, std::optional<std::uint32_t> end);
  /// Gives one out, to be settled by itself; it is no longer left here.
  nb::object take(std::uint32_t place);

  std::uint32_t size() const noexcept { return count_; }
  std::uint32_t left() const noexcept;
  nb::list payloads() const { return payloads_; }
  nb::list ids() const;
  nb::list lost() const { return lost_; }

 private:
  using Settlements = std::array<rm_settlement, RM_MOST_BATCH>;

  rm_participant* participant() const noexcept { return holder_->participant; }
  /// The list for those that are left between the two. Returns how many.
  std::uint32_t list_left(Settlements& list, std::uint32_t what, std::uint32_t begin, std::uint32_t end) const noexcept;
  /// After the call: those of the list are settled. Appends the lost.
  void take_outcomes(const Settlements& list, std::uint32_t count, std::uint32_t begin, std::uint32_t end,
                     nb::list& lost);
  void copy_payloads();

  std::shared_ptr<ParticipantHandle> holder_;
  std::array<rm_claimed, RM_MOST_BATCH> jobs_;  // lease 0: settled, or given out
  std::uint32_t count_ = 0;
  bool is_waiting_ = false;  // a thread does, without the interpreter's lock
  nb::list payloads_;
  nb::list lost_;
};

void bind_batch(nb::module_& module);

}  // namespace ringmill::python
