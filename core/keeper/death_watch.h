// Threads that sleep on the robust words of more participants than one call of the kernel can watch.
//
// futex_waitv watches 128 words. The keeper's own thread watches the entries of the first group, and for each further
// group that was ever in use one thread watches those, and calls the keeper when one is marked dead:
//
//   watch.H1  (keeper, each thorough turn)  the group has changed since the last one: change its bell, wake its thread
//   watch.H2  (thread)  read the bell, then the words; one is marked: note it, ring the keeper
//   watch.H3  (thread)  sleep while bell and words are what H2 has read
//
// So a death is noticed as fast behind the first group as in it, but for the way through one more thread, and a
// participant is watched 50 ms after it came, as one of the first group is. The threads wake for nothing else. Where no
// thread is to be had, the keeper looks at the group's words by itself, in each turn.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "ipc/futex.h"
#include "ipc/segment.h"

namespace ringmill {

class DeathWatch {
 public:
  /// Entries of one group: what one call watches, less the words that call the watcher.
  static constexpr std::uint32_t group_entries = 124;
  static_assert(group_entries + 2 <= most_watches);
  static constexpr std::uint32_t groups = (most_participants + group_entries - 1) / group_entries;

  explicit DeathWatch(const Segment& segment) noexcept : segment_(&segment) {}
  ~DeathWatch();
  DeathWatch(const DeathWatch&) = delete;
  DeathWatch& operator=(const DeathWatch&) = delete;

  /// H1.
  void look_for_changes();
  /// True if the words of a group have to be looked at: it is the first one, no thread watches it, or its thread has
  /// found one that is marked.
  bool must_look_at(std::uint32_t group) noexcept;

  /// Adds the robust words of a group's living to `watches`, from `count` on. Returns false if one of them is marked.
  static bool collect(const Segment& segment, std::uint32_t group, std::array<FutexWatch, most_watches>& watches,
                      std::size_t& count) noexcept;

 private:
  struct Group {
    std::atomic<std::uint32_t> bell{0};
    std::atomic<bool> found{false};
    std::uint64_t seen = 0;  // what changes with every entry of the group; of the keeper's thread
    std::thread thread;
  };

  std::uint64_t changes_of(std::uint32_t group) const noexcept;
  void start(std::uint32_t group);
  void watch(std::uint32_t group) noexcept;

  const Segment* segment_;
  std::atomic<bool> stop_{false};
  std::array<Group, groups> groups_;
};

}  // namespace ringmill
