#include "core/keeper/death_watch.h"

#include <algorithm>
#include <exception>

#include "core/base/engine_thread.h"
#include "ipc/registry.h"
#include "ipc/time_slice.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// A marked participant that the keeper has not reaped by then is told of again.
constexpr std::uint64_t tell_again_ns = 1'000'000;

constexpr std::uint32_t first_of(std::uint32_t group) noexcept { return group * DeathWatch::group_entries; }

}  // namespace

DeathWatch::~DeathWatch() {
  stop_.store(true);
  for (Group& group : groups_) {
    if (!group.thread.joinable()) continue;
    group.bell.fetch_add(1);
    futex_wake(group.bell, 1);
    group.thread.join();
  }
}

/// Grows with every state of every entry: an entry's states go up, and then on with the next epoch.
std::uint64_t DeathWatch::changes_of(std::uint32_t group) const noexcept {
  std::uint64_t sum = 0;
  const std::uint32_t end = std::min(segment_->participants_end(), first_of(group + 1));
  for (std::uint32_t number = first_of(group); number < end; ++number) {
    const EntryState state = EntryState::of(segment_->participant(number));
    sum += state.epoch * 4 + static_cast<std::uint64_t>(state.state);
  }
  return sum;
}

void DeathWatch::look_for_changes() {
  for (std::uint32_t number = 1; number < groups && first_of(number) < segment_->participants_end(); ++number) {
    Group& group = groups_[number];
    const std::uint64_t changes = changes_of(number);
    if (changes == group.seen) continue;
    group.seen = changes;
    if (!group.thread.joinable()) {
      start(number);
      continue;
    }
    group.bell.fetch_add(1);  // watch.H1
    futex_wake(group.bell, 1);
  }
}

void DeathWatch::start(std::uint32_t group) {
  try {
    groups_[group].thread = start_engine_thread("ringmill-watch", [this, group] { watch(group); });
  } catch (const std::exception&) {
    groups_[group].seen = 0;  // no thread is to be had: the next turn tries again
  }
}

bool DeathWatch::must_look_at(std::uint32_t group) noexcept {
  return group == 0 || !groups_[group].thread.joinable() || groups_[group].found.exchange(false);
}

bool DeathWatch::collect(const Segment& segment, std::uint32_t group, std::array<FutexWatch, most_watches>& watches,
                         std::size_t& count) noexcept {
  bool all_live = true;
  for_each_entry_in_use(segment, first_of(group), first_of(group + 1),
                        [&](std::uint32_t number, ParticipantState state) {
                          const ParticipantEntry& entry = segment.participant(number);
                          if (state != ParticipantState::alive || entry.robust_linked.load() == 0) return;
                          const std::uint32_t word = entry.robust_word.load();
                          if (is_marked_dead(word)) all_live = false;
                          if (count < watches.size()) watches[count++] = {&entry.robust_word, word};
                        });
  return all_live;
}

void DeathWatch::watch(std::uint32_t group) noexcept {
  ask_for_short_time_slices();
  Group& own = groups_[group];
  std::array<FutexWatch, most_watches> watches;
  while (true) {
    const std::uint32_t bell = own.bell.load();  // watch.H2
    if (stop_.load()) return;
    std::size_t count = 0;
    watches[count++] = {&own.bell, bell};
    if (collect(*segment_, group, watches, count)) {
      futex_wait_any(std::span(watches).first(count), no_timeout);  // watch.H3
      continue;
    }
    own.found.store(true);
    ring_keeper(*segment_);
    futex_wait(own.bell, bell, tell_again_ns);
  }
}

}  // namespace ringmill
