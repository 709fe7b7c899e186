// Back-pressure of a ring: a producer that outruns its workers waits for them a moment, where that is sooner than the
// way over the keeper's overflow queue.
//
// A full ring of 65,536 jobs is 2 ms of work for workers that do nothing else. A producer that went on without a pause
// would send every job through the keeper, and on a machine with fewer processors than threads it would take from the
// workers the time that they need. So a producer that finds the ring full sleeps, which leaves its processor to the
// workers, and looks how far they came meanwhile. If they are slow (they do real work, or none is there), its jobs go
// to the overflow queue, and it waits no more for a while. If jobs wait in the queue while the workers are fast, it
// sleeps once per call: what it would enqueue could not be begun sooner, and the queue empties. If jobs wait in the
// queue while the ring has hardly any, the workers wait for the keeper. The producer sleeps until the keeper has filled
// the ring: it would take the keeper's processor to lengthen a queue that the keeper cannot empty.
#pragma once

#include <ctime>

#include <algorithm>
#include <cstdint>

#include "ipc/clock.h"
#include "ipc/ring.h"

namespace ringmill {

/// Of one producer. It remembers one level: a producer that floods several at once waits less.
class RingPressure {
 public:
  /// The ring is full. Returns true if the caller pushes again: the workers have made room, faster than the keeper
  /// could have filled it. Sleeps for 1 ms at most, or 6 ms where workers have stopped that were fast before.
  bool has_eased(std::uint32_t level, const Ring& ring) noexcept {
    if (ring.slot_count() < least_slots) return false;
    follow(level, ring);
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns < no_pause_before_ns_) return false;
    const bool were_fast = now_ns - fast_at_ns_ < recent_ns;
    for (int n = 0; n < (were_fast ? most_pauses_if_fast : most_pauses); ++n) {
      if (pause(ring)) {
        slow_for_ns_ = least_slow_ns;
        return true;
      }
    }
    stop_pausing();
    return false;
  }

  /// Jobs of this level wait in the overflow queue. Sleeps for pause_ns if the workers are fast, and for 6 ms at most
  /// if they wait for the keeper.
  void ease_queue(std::uint32_t level, const Ring& ring) noexcept {
    if (ring.slot_count() < least_slots) return;
    follow(level, ring);
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns < no_pause_before_ns_) return;
    if (is_nearly_empty(ring)) {
      if (since_filled_ns(ring, now_ns) >= late_keeper_ns) await_keeper(ring);
      return;
    }
    if (now_ns - looked_at_ns_ >= pause_ns) static_cast<void>(are_fast(ring));
    if (now_ns - fast_at_ns_ >= recent_ns) return;
    const std::uint64_t head = ring.head();
    static_cast<void>(pause(ring));
    if ((ring.head() - head) * 1'000 >= pause_ns * worth_rate) {
      vain_pauses_ = 0;
      slow_for_ns_ = least_slow_ns;
    } else if (++vain_pauses_ == most_pauses_if_fast) {
      vain_pauses_ = 0;
      stop_pausing();  // they were only as fast as this producer
    }
  }

 private:
  /// The rings of small engines, and of levels made at run time, are empty before a pause is over.
  static constexpr std::uint64_t least_slots = 8192;
  static constexpr std::uint64_t pause_ns = 300'000;
  static constexpr int most_pauses = 3;
  /// The same if the workers were fast a short while ago: then something else has their processor for a moment.
  static constexpr int most_pauses_if_fast = 20;
  static constexpr std::uint64_t recent_ns = 50'000'000;
  static constexpr std::uint64_t late_keeper_ns = 1'000'000;
  static constexpr std::uint64_t long_keeper_ns = 200'000'000;
  /// So many jobs per microsecond are fast.
  static constexpr std::uint64_t fast_rate = 2;
  /// A pause for the queue is worth it at so many: then the queue empties while this producer sleeps.
  static constexpr std::uint64_t worth_rate = 4;
  /// After a pause in which the workers were slow there is none for so long; twice as long after each further one.
  static constexpr std::uint64_t least_slow_ns = 2'000'000;
  static constexpr std::uint64_t most_slow_ns = 64'000'000;

  void follow(std::uint32_t level, const Ring& ring) noexcept {
    if (level == level_) return;
    level_ = level;
    no_pause_before_ns_ = 0;
    static_cast<void>(are_fast(ring));
  }
  /// The keeper fills a ring that is half empty, so it has not come to this one yet.
  static bool is_nearly_empty(const Ring& ring) noexcept {
    const std::uint64_t head = ring.head();
    const std::uint64_t tail = ring.tail();
    return tail - std::min(head, tail) < ring.slot_count() / 4;
  }
  /// For how long the keeper has filled nothing, as far as was seen. With a processor of its own it is back sooner than
  /// after late_keeper_ns.
  std::uint64_t since_filled_ns(const Ring& ring, std::uint64_t now_ns) noexcept {
    if (const std::uint64_t tail = ring.tail(); tail != filled_until_) {
      filled_until_ = tail;
      filled_at_ns_ = now_ns;
    }
    return now_ns - filled_at_ns_;
  }
  /// A keeper that fills nothing for long_keeper_ns has no processor at all, waits for a device, or is stopped.
  void await_keeper(const Ring& ring) noexcept {
    for (int n = 0; n < most_pauses_if_fast; ++n) {
      static_cast<void>(pause(ring));
      if (!is_nearly_empty(ring)) return;
    }
    if (since_filled_ns(ring, steady_clock_ns()) > long_keeper_ns) stop_pausing();
  }
  void stop_pausing() noexcept {
    no_pause_before_ns_ = steady_clock_ns() + slow_for_ns_;
    slow_for_ns_ = std::min(2 * slow_for_ns_, most_slow_ns);
  }
  /// By how far the head has come since the look before.
  bool are_fast(const Ring& ring) noexcept {
    const std::uint64_t head = ring.head();
    const std::uint64_t now_ns = steady_clock_ns();
    const bool are = (head - head_) * 1'000 >= (now_ns - looked_at_ns_) * fast_rate;
    head_ = head;
    looked_at_ns_ = now_ns;
    if (are) fast_at_ns_ = now_ns;
    return are;
  }
  /// Returns whether they were fast meanwhile. A signal ends it early, which does no harm.
  bool pause(const Ring& ring) noexcept {
    static_cast<void>(are_fast(ring));
    const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(pause_ns)};
    static_cast<void>(::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr));
    return are_fast(ring);
  }

  std::uint32_t level_ = ~std::uint32_t{0};
  std::uint64_t head_ = 0;
  std::uint64_t looked_at_ns_ = 0;
  std::uint64_t fast_at_ns_ = 0;
  int vain_pauses_ = 0;             // in a row, of ease_queue()
  std::uint64_t filled_until_ = 0;  // the ring's tail, when it was seen to have moved
  std::uint64_t filled_at_ns_ = 0;
  std::uint64_t no_pause_before_ns_ = 0;
  std::uint64_t slow_for_ns_ = least_slow_ns;
};

}  // namespace ringmill
