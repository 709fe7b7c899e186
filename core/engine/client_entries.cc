#include "core/engine/client_entries.h"

namespace ringmill {

bool Turns::begin(std::uint64_t end_ns) {
  constexpr std::uint64_t longest_look_ns = 1'000'000'000;
  std::unique_lock lock(mutex_);
  const auto own = waiting_.emplace(waiting_.end());
  while (own != waiting_.begin()) {
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) {
      waiting_.erase(own);
      return false;
    }
    own->wait_for(lock, std::chrono::nanoseconds(std::min(end_ns - now_ns, longest_look_ns)));
  }
  return true;
}

void Turns::end() noexcept {
  const std::lock_guard lock(mutex_);
  waiting_.pop_front();
  if (!waiting_.empty()) waiting_.front().notify_one();
}

ClientEntries::ClientEntries(std::shared_ptr<EngineCore> engine, std::uint32_t most)
    : engine_(std::move(engine)), fork_generation_(fork_generation()), entries_(most) {}

Result<void> ClientEntries::begin() {
  auto first = attach(engine_, Role::producer, Binding::process);
  if (!first) return std::unexpected(first.error());
  entries_.front().participant = *std::move(first);
  attached_.store(1);
  return {};
}

ClientEntries::Taken ClientEntries::take() {
  const std::size_t home = number_this_thread() % entries_.size();
  for (std::size_t n = 0; n < entries_.size(); ++n) {
    Entry& entry = entries_[(home + n) % entries_.size()];
    std::unique_lock lock(entry.mutex, std::try_to_lock);
    if (!lock) continue;
    if (Participant* const participant = participant_of(entry)) return {std::move(lock), participant};
  }
  // All are in use, or there are no more to be had. The first one has a participant in any case.
  Entry& entry = entries_[home % attached_.load()];
  std::unique_lock lock(entry.mutex);
  if (Participant* const participant = participant_of(entry)) return {std::move(lock), participant};
  lock = std::unique_lock(entries_.front().mutex);
  return {std::move(lock), entries_.front().participant.get()};
}

Participant* ClientEntries::participant_of(Entry& entry) noexcept try {
  if (!entry.participant) {
    auto attached = attach(engine_, Role::producer, Binding::process);
    if (!attached) return nullptr;
    entry.participant = *std::move(attached);
    attached_.fetch_add(1);
  }
  return entry.participant.get();
} catch (const std::exception&) {  // no memory for it: those that are there have to do
  return nullptr;
}

Result<Participant*> ClientEntries::waiting_participant() {
  if (!waiting_) {
    auto attached = attach(engine_, Role::producer, Binding::process);
    if (!attached) return std::unexpected(attached.error());
    waiting_ = *std::move(attached);
    attached_.fetch_add(1);
  }
  return waiting_.get();
}

}  // namespace ringmill
