// Tells the keeper at once when a process has ended whose participants have no robust word: those that are bound to
// their process, and all where there is no robust list of glibc's shape.
//
// Their death is decided by the lock byte alone. This only says when to ask for it:
//
//   proc.P1  (keeper, each thorough turn)  such a participant has come: open a pidfd of its process, and wait for it
//   proc.P2  (thread)  a pidfd is readable: note the participant, ring the keeper
//   proc.P3  (keeper, next turn)  ask for the lock bytes of those that are noted
//
// The kernel reports by a pidfd after it has closed the files of a process. So in P3 its lock byte is free already, and
// the death is seen as soon as the process is gone, by no clock. A pidfd of the wrong process, because an id was used
// again, costs one question too many or leaves the death to the next thorough turn.
//
// Where no pidfd can be had (the participant is of another pid namespace; no descriptors are left), P3 asks every
// `ask_unwatched_every_ns`, as long as the participant holds a job. Producers are not watched: no job waits for them.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <thread>

#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

class ProcessWatch {
 public:
  /// How often lock bytes are asked for that no pidfd speaks for.
  static constexpr std::uint64_t ask_unwatched_every_ns = 10'000'000;
  /// So many descriptors it opens in the keeper's process, a quarter of what a process may have by default.
  static constexpr std::uint32_t most_descriptors = 256;

  explicit ProcessWatch(const Segment& segment) noexcept;
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;

  /// P1.
  void look_for_changes() noexcept;
  /// P3: calls `visit(number)` for each participant whose lock byte should be asked for now.
  template <class Visit>
  void take_noted(Visit&& visit) {
    note_unwatched_holders();
    if (!is_any_noted_.load()) return;
    is_any_noted_.store(false);  // before the bits: what is noted meanwhile is told again
    for (std::uint32_t word = 0; word < participant_words; ++word) {
      for (std::uint64_t bits = noted_[word].exchange(0); bits != 0; bits &= bits - 1) {
        visit(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      }
    }
  }
  /// How long the keeper may sleep; the largest number: as far as this goes, without end.
  std::uint64_t longest_rest_ns() const noexcept;

 private:
  struct Watch {
    std::uint64_t state = 0;  // of the entry, as this was made for it
    File process;             // empty: not watched by the kernel
    bool is_unwatched = false;
  };

  bool needs_watch(std::uint32_t number) const noexcept;
  bool holds_a_job(std::uint32_t number) const noexcept;
  void watch(std::uint32_t number) noexcept;
  void note(std::uint32_t number) noexcept;
  void note_unwatched_holders() noexcept;
  bool start_thread() noexcept;
  void run() noexcept;

  const Segment* segment_;
  std::uint64_t pid_namespace_;
  std::array<Watch, most_participants> watches_;  // of the keeper's thread, as all down to asked_at_ns_
  std::uint32_t descriptors_ = 0;
  std::uint32_t unwatched_ = 0;
  std::uint64_t asked_at_ns_ = 0;
  std::array<std::atomic<std::uint64_t>, participant_words> noted_{};
  std::atomic<bool> is_any_noted_{false};
  std::atomic<bool> stop_{false};
  File set_;   // epoll: the bell and the pidfds
  File bell_;  // an eventfd that ends the thread
  std::thread thread_;
};

}  // namespace ringmill
