#include "core/keeper/process_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <limits>

#include <ringmill/role.h>

#include "core/base/engine_thread.h"
#include "ipc/clock.h"
#include "ipc/process_end.h"
#include "ipc/registry.h"
#include "ipc/time_slice.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// What the bell is in the set; the others are numbers of participants.
constexpr std::uint64_t bell_name = most_participants;

}  // namespace

ProcessWatch::ProcessWatch(const Segment& segment) noexcept : segment_(&segment), pid_namespace_(own_pid_namespace()) {}

ProcessWatch::~ProcessWatch() {
  if (!thread_.joinable()) return;
  stop_.store(true);
  static_cast<void>(::eventfd_write(bell_.descriptor(), 1));
  thread_.join();
}

/// True for a living participant without a robust word that may hold jobs, unless it is of this process.
bool ProcessWatch::needs_watch(std::uint32_t number) const noexcept {
  const ParticipantEntry& entry = segment_->participant(number);
  if (EntryState::of(entry).state != ParticipantState::alive || entry.robust_linked.load() != 0) return false;
  if (entry.role.load() == static_cast<std::uint32_t>(Role::producer)) return false;
  const bool is_own =
      entry.process_id.load() == static_cast<std::uint32_t>(::getpid()) && entry.pid_namespace.load() == pid_namespace_;
  return !is_own;
}

bool ProcessWatch::holds_a_job(std::uint32_t number) const noexcept {
  const auto& leases = segment_->participant(number).leases;
  return std::any_of(std::begin(leases), std::end(leases),
                     [](const LeaseSlot& slot) { return slot.job_id.load() != 0; });
}

void ProcessWatch::look_for_changes() noexcept {
  const std::uint32_t end = segment_->participants_end();
  for (std::uint32_t number = 0; number < end; ++number) {
    Watch& known = watches_[number];
    const std::uint64_t state = segment_->participant(number).state.load();
    if (known.state == state) continue;
    if (known.process) --descriptors_;
    if (known.is_unwatched) --unwatched_;
    known = {.state = state, .process = {}, .is_unwatched = false};
    if (needs_watch(number)) watch(number);
  }
}

void ProcessWatch::watch(std::uint32_t number) noexcept {
  Watch& made = watches_[number];
  const ParticipantEntry& entry = segment_->participant(number);
  if (entry.pid_namespace.load() == pid_namespace_ && descriptors_ < most_descriptors && start_thread()) {
    File process =
        File::above_standard(static_cast<int>(::syscall(SYS_pidfd_open, entry.process_id.load(), 0)));  // proc.P1
    if (!process && errno == ESRCH) return note(number);
    // Once: the bit stands until the keeper has asked, and the process does not come back.
    epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = number}};
    if (process && ::epoll_ctl(set_.descriptor(), EPOLL_CTL_ADD, process.descriptor(), &event) == 0) {
      made.process = std::move(process);
      ++descriptors_;
      return;
    }
  }
  made.is_unwatched = true;
  ++unwatched_;
}

void ProcessWatch::note(std::uint32_t number) noexcept {
  noted_[number / 64].fetch_or(std::uint64_t{1} << (number % 64));
  is_any_noted_.store(true);
}

void ProcessWatch::note_unwatched_holders() noexcept {
  if (unwatched_ == 0) return;
  const std::uint64_t now_ns = steady_clock_ns();
  if (now_ns - asked_at_ns_ < ask_unwatched_every_ns) return;
  asked_at_ns_ = now_ns;
  for (std::uint32_t number = 0; number < most_participants; ++number) {
    if (watches_[number].is_unwatched && holds_a_job(number)) note(number);
  }
}

std::uint64_t ProcessWatch::longest_rest_ns() const noexcept {
  if (is_any_noted_.load()) return 0;
  for (std::uint32_t number = 0; unwatched_ != 0 && number < most_participants; ++number) {
    if (watches_[number].is_unwatched && holds_a_job(number)) return ask_unwatched_every_ns;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

/// Returns false if the process lacks descriptors or threads; the next participant tries again.
bool ProcessWatch::start_thread() noexcept {
  if (thread_.joinable()) return true;
  try {
    set_ = File::above_standard(::epoll_create1(EPOLL_CLOEXEC));
    bell_ = File::above_standard(::eventfd(0, EFD_CLOEXEC));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = bell_name}};
    if (!set_ || !bell_ || ::epoll_ctl(set_.descriptor(), EPOLL_CTL_ADD, bell_.descriptor(), &event) != 0) return false;
    thread_ = start_engine_thread("ringmill-ends", [this] { run(); });
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void ProcessWatch::run() noexcept {
  ask_for_short_time_slices();
  std::array<epoll_event, 16> events;
  while (!stop_.load()) {
    const int count = ::epoll_wait(set_.descriptor(), events.data(), static_cast<int>(events.size()), -1);
    for (int n = 0; n < count; ++n) {
      if (events[static_cast<std::size_t>(n)].data.u64 == bell_name) continue;
      note(static_cast<std::uint32_t>(events[static_cast<std::size_t>(n)].data.u64));  // proc.P2
    }
    if (count > 0) ring_keeper(*segment_);
  }
}

}  // namespace ringmill
