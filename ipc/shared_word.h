// Words of shared memory that serve as an index, a length, a count or an offset. Any participant may write any bytes
// there at any time, so such a word is read once into private memory, bounded there, and then used.
//
//   SharedWord<T>   the word. load_once() is its only read, and gives an Untrusted<T>.
//   Untrusted<T>    what one read has found, in private memory. A number that may index or measure comes out of it
//                   through a bound only: below(), at_most().
//
// So a bound that is checked on one read and used after another, the double fetch, does not compile: code that wants
// the number twice keeps the bounded one. A value that is only compared, printed or written on goes by unbounded().
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace ringmill {

template <std::unsigned_integral T>
class [[nodiscard]] Untrusted {
 public:
  constexpr explicit Untrusted(T value) noexcept : value_(value) {}

  /// The value, or `most` if it is larger. `most` is of the caller's private memory.
  template <std::unsigned_integral Bound>
  constexpr Bound at_most(Bound most) const noexcept {
    return value_ < most ? static_cast<Bound>(value_) : most;
  }
  /// The value; nothing if it is `limit` or more.
  template <std::unsigned_integral Bound>
  constexpr std::optional<Bound> below(Bound limit) const noexcept {
    if (value_ < limit) return static_cast<Bound>(value_);
    return std::nullopt;
  }
  /// The value itself: to compare, to print, to hand to what bounds it by itself. Never an index, a length or a shift.
  constexpr T unbounded() const noexcept { return value_; }

  template <std::unsigned_integral Other>
  friend constexpr bool operator==(Untrusted left, Other right) noexcept {
    return left.value_ == right;
  }

 private:
  T value_;
};

template <std::unsigned_integral T>
class SharedWord {
 public:
  SharedWord() noexcept = default;
  SharedWord(const SharedWord&) = delete;
  SharedWord& operator=(const SharedWord&) = delete;

  /// One load.
  Untrusted<T> load_once(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    return Untrusted<T>(word_.load(order));
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept { word_.store(value, order); }
  /// Writes `desired` if `expected` stands there. seq_cst.
  bool swap(T expected, T desired) noexcept { return word_.compare_exchange_strong(expected, desired); }
  /// Raises it to `value` unless it is there already. Gives up when others write all the time: it is a bound that its
  /// readers clamp. ORDER position: success releases, as raise_to() of ipc/ring.h does.
  void raise_to(T value) noexcept {
    T seen = word_.load(std::memory_order_relaxed);
    for (int attempt = 0; seen < value && attempt < most_attempts; ++attempt) {
      if (word_.compare_exchange_weak(seen, value, std::memory_order_release, std::memory_order_relaxed)) return;
    }
  }
  /// For futex calls alone: the kernel compares it, and nothing else.
  const std::atomic<T>& futex() const noexcept { return word_; }

 private:
  static constexpr int most_attempts = 1000;

  std::atomic<T> word_;
};

/// False for an atomic with a lock inside: other processes do not know that lock.
template <class T>
inline constexpr bool is_lock_free = true;
template <class T>
inline constexpr bool is_lock_free<std::atomic<T>> = std::atomic<T>::is_always_lock_free;
template <class T>
inline constexpr bool is_lock_free<SharedWord<T>> = is_lock_free<std::atomic<T>>;

/// What may lie in shared memory: its layout is the same for each compiler and process, nothing is destroyed when a
/// process leaves, and it is no pointer, which is worth nothing in another process. (The atomics inside a struct are of
/// 16, 32 and 64 bits, which ipc/layout.h asserts to be lock-free.)
template <class T>
concept SharedStruct =
    std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T> && !std::is_pointer_v<T> && is_lock_free<T>;

/// The object at a place of shared memory. All typed views begin here.
template <SharedStruct T>
T& shared_at(std::byte* place) noexcept {
  return *reinterpret_cast<T*>(place);
}

static_assert(sizeof(SharedWord<std::uint16_t>) == 2 && alignof(SharedWord<std::uint16_t>) == 2);
static_assert(sizeof(SharedWord<std::uint32_t>) == 4 && alignof(SharedWord<std::uint32_t>) == 4);
static_assert(sizeof(SharedWord<std::uint64_t>) == 8 && alignof(SharedWord<std::uint64_t>) == 8);
static_assert(SharedStruct<SharedWord<std::uint64_t>> && SharedStruct<std::atomic<std::uint64_t>>);
static_assert(std::is_trivially_copyable_v<Untrusted<std::uint64_t>>);

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free &&
                  std::atomic<std::uint16_t>::is_always_lock_free,
              "a word in shared memory must not hide a lock");

}  // namespace ringmill
