// The bare ring that bounds what any engine on this machine can do: one producer, one consumer, 64-byte messages,
// nothing else.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bench/message.h"

namespace ringmill::bench {

/// Positions count up and never wrap. The producer makes messages visible in runs, and each side looks at the other's
/// position only when its private copy says full or empty: the lines with the positions travel once per run. Published
/// one by one, a consumer that keeps up takes the line with the tail away for each message.
/// 4096 messages, 256 KiB: half of a second-level cache, and long enough that neither side meets the other.
class SpscRing {
 public:
  static constexpr std::uint64_t slots = 4096;
  static constexpr std::uint64_t run = 64;

  /// The producer's alone. False: full.
  bool push(const Message& message) noexcept {
    if (written_ - head_seen_by_producer_ == slots) {
      // [spsc-free] pairs with the release in pop_all(): what was read there may be overwritten here.
      head_seen_by_producer_ = head_.load(std::memory_order_acquire);
      if (written_ - head_seen_by_producer_ == slots) return false;
    }
    ring_[written_ % slots] = message;
    // [spsc-full] pairs with the acquire in pop_all(): a reader that sees the position sees the messages.
    if (++written_ % run == 0) tail_.store(written_, std::memory_order_release);
    return true;
  }

  /// The consumer's alone. Hands each message that is there to `take`, in place; returns how many.
  template <class Take>
  std::uint64_t pop_all(Take&& take) noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    // [spsc-full] pairs with the release in push().
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);
    for (std::uint64_t position = head; position != tail; ++position) take(ring_[position % slots]);
    // [spsc-free] pairs with the acquire in push().
    if (tail != head) head_.store(tail, std::memory_order_release);
    return tail - head;
  }

 private:
  alignas(128) std::atomic<std::uint64_t> head_{0};
  alignas(128) std::atomic<std::uint64_t> tail_{0};
  alignas(128) std::uint64_t head_seen_by_producer_ = 0;
  std::uint64_t written_ = 0;
  alignas(128) std::array<Message, slots> ring_{};
};

}  // namespace ringmill::bench
