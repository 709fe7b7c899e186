// Which parts of a sparse file have their memory: a map in shared memory says it, and the kernel is asked once.
//
// Any peer may set a bit of the map. A process that believed it would touch a hole: tmpfs gives a page, or SIGBUS when
// it is full. So each process has a map of its own of what it knows to be there, and reads that one. A part that only
// the shared map names is known after the kernel has said so: it allocates what is missing, or refuses.
//
//   presence.K1  the own bit is set: there                   no other is asked
//   presence.K2  the shared bit is clear: absent
//   presence.K3  ask the kernel; refused: absent
//   presence.K4  set the own bit
//   presence.K5  look at the shared bit again; clear: clear the own one, absent
//
// When parts leave (give.B3 of ipc/cell_chunks.h, shrink.X3 of core/keeper/arena_trimming.h), each visit and look that
// begins later clears the own bits of what is not in the shared map: forget_absent(). A thread in K3 to K5 is inside a
// visit of before. So is no process's own bit left behind: K5 comes after K4, and the shared bit was clear before
// forget_absent() came.
#pragma once

#include <atomic>
#include <cstdint>

namespace ringmill {

class Presence {
 public:
  /// Whether the kernel has, or gives, the memory of a part.
  using Ask = bool (*)(const void* segment, std::uint64_t part) noexcept;

  Presence() noexcept = default;
  /// `shared` and `own` have a bit per part.
  Presence(std::atomic<std::uint64_t>* shared, std::atomic<std::uint64_t>* own, Ask ask, const void* segment) noexcept
      : shared_(shared), own_(own), ask_(ask), segment_(segment) {}

  /// `part` is below the number of parts.
  bool has(std::uint64_t part) const noexcept {
    // ORDER chunk: acquires what was made, as the thread saw it that set the own bit.
    if ((own_[part / 64].load(std::memory_order_acquire) & bit(part)) != 0) [[likely]]
      return true;  // presence.K1
    return is_shared(part) && is_there_by_kernel(part);
  }
  /// Parts that may be there, of 64 in a row.
  std::uint64_t candidates(std::uint64_t word) const noexcept {
    return shared_[word].load(std::memory_order_acquire);  // ORDER chunk
  }
  /// By the process that has allocated the part.
  void set(std::uint64_t part) const noexcept {
    own_[part / 64].fetch_or(bit(part), std::memory_order_release);     // ORDER chunk
    shared_[part / 64].fetch_or(bit(part), std::memory_order_release);  // ORDER chunk: releases what was made
  }
  /// By a process that has not allocated it just now: the own bit comes when the kernel was asked.
  void announce(std::uint64_t part) const noexcept {
    shared_[part / 64].fetch_or(bit(part), std::memory_order_release);  // ORDER chunk
  }
  void clear(std::uint64_t part) const noexcept {
    shared_[part / 64].fetch_and(~bit(part));
    own_[part / 64].fetch_and(~bit(part));
  }
  void forget_absent(std::uint64_t parts) const noexcept {
    for (std::uint64_t word = 0; word * 64 < parts; ++word) own_[word].fetch_and(shared_[word].load());
  }

 private:
  static constexpr std::uint64_t bit(std::uint64_t part) noexcept { return std::uint64_t{1} << (part % 64); }
  bool is_shared(std::uint64_t part) const noexcept {
    return (shared_[part / 64].load(std::memory_order_acquire) & bit(part)) != 0;  // presence.K2, ORDER chunk
  }
  [[gnu::noinline, gnu::cold]] bool is_there_by_kernel(std::uint64_t part) const noexcept {
    if (!ask_(segment_, part)) return false;  // presence.K3
    own_[part / 64].fetch_or(bit(part));      // presence.K4
    if ((shared_[part / 64].load() & bit(part)) != 0) return true;
    own_[part / 64].fetch_and(~bit(part));  // presence.K5
    return false;
  }

  std::atomic<std::uint64_t>* shared_ = nullptr;
  std::atomic<std::uint64_t>* own_ = nullptr;
  Ask ask_ = nullptr;
  const void* segment_ = nullptr;
};

}  // namespace ringmill
