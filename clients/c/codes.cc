#include "clients/c/codes.h"

#include <array>

namespace ringmill::c {

rm_code code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::would_block:
      return RM_WOULD_BLOCK;
    case ErrorCode::timed_out:
      return RM_TIMED_OUT;
    case ErrorCode::not_found:
      return RM_NOT_FOUND;
    case ErrorCode::already_exists:
      return RM_ALREADY_EXISTS;
    case ErrorCode::invalid_argument:
      return RM_INVALID_ARGUMENT;
    case ErrorCode::too_large:
      return RM_TOO_LARGE;
    case ErrorCode::level_removed:
      return RM_LEVEL_REMOVED;
    case ErrorCode::lease_lost:
      return RM_LEASE_LOST;
    case ErrorCode::not_held:
      return RM_NOT_HELD;
    case ErrorCode::wrong_thread:
      return RM_WRONG_THREAD;
    case ErrorCode::after_fork:
      return RM_AFTER_FORK;
    case ErrorCode::too_many_participants:
      return RM_TOO_MANY_PARTICIPANTS;
    case ErrorCode::permission_denied:
      return RM_PERMISSION_DENIED;
    case ErrorCode::incompatible:
      return RM_INCOMPATIBLE;
    case ErrorCode::stale:
      return RM_STALE;
    case ErrorCode::corrupt:
      return RM_CORRUPT;
    case ErrorCode::no_space:
      return RM_NO_SPACE;
    case ErrorCode::journal_failed:
      return RM_JOURNAL_FAILED;
    case ErrorCode::not_durable:
      return RM_NOT_DURABLE;
    case ErrorCode::out_of_memory:
      return RM_OUT_OF_MEMORY;
    case ErrorCode::busy:
      return RM_BUSY;
    case ErrorCode::system:
      return RM_SYSTEM;
  }
  return RM_SYSTEM;
}

std::optional<ErrorCode> error_code_of(rm_code code) noexcept {
  for (int value = 0; value <= static_cast<int>(ErrorCode::system); ++value) {
    if (code_of(static_cast<ErrorCode>(value)) == code) return static_cast<ErrorCode>(value);
  }
  return std::nullopt;
}

std::uint32_t number_of(Settled settled) noexcept {
  switch (settled) {
    case Settled::waits:
      return RM_WAITS;
    case Settled::dead:
      return RM_DEAD;
    case Settled::over:
      return RM_OVER;
  }
  return RM_OVER;
}

std::uint32_t number_of(Cancelled cancelled) noexcept {
  switch (cancelled) {
    case Cancelled::before_start:
      return RM_CANCELLED_BEFORE_START;
    case Cancelled::asked_to_stop:
      return RM_ASKED_TO_STOP;
    case Cancelled::already_over:
      return RM_ALREADY_OVER;
  }
  return RM_ALREADY_OVER;
}

std::uint32_t number_of(JobState state) noexcept {
  switch (state) {
    case JobState::queued:
      return RM_QUEUED;
    case JobState::delayed:
      return RM_DELAYED;
    case JobState::blocked:
      return RM_BLOCKED;
    case JobState::running:
      return RM_RUNNING;
    case JobState::completed:
      return RM_COMPLETED;
    case JobState::dead:
      return RM_STATE_DEAD;
    case JobState::cancelled:
      return RM_STATE_CANCELLED;
    case JobState::ended:
      return RM_ENDED;
  }
  return RM_ENDED;
}

std::uint32_t number_of(DeathCause cause) noexcept {
  switch (cause) {
    case DeathCause::failed:
      return RM_CAUSE_FAILED;
    case DeathCause::rejected:
      return RM_CAUSE_REJECTED;
    case DeathCause::worker_lost:
      return RM_CAUSE_WORKER_LOST;
    case DeathCause::lease_expired:
      return RM_CAUSE_LEASE_EXPIRED;
    case DeathCause::timeout:
      return RM_CAUSE_TIMEOUT;
    case DeathCause::expired:
      return RM_CAUSE_EXPIRED;
    case DeathCause::parent_dead:
      return RM_CAUSE_PARENT_DEAD;
  }
  return RM_CAUSE_NONE;
}

std::optional<Durability> durability_of(std::uint32_t number) noexcept {
  constexpr std::array all{Durability::journaled, Durability::memory, Durability::durable};
  static_assert(RM_JOURNALED == 0 && RM_MEMORY == 1 && RM_DURABLE == 2);
  return number < all.size() ? std::optional(all[number]) : std::nullopt;
}

std::optional<Role> role_of(std::uint32_t number) noexcept {
  switch (number) {
    case RM_PRODUCER:
      return Role::producer;
    case RM_WORKER:
      return Role::worker;
    case RM_TOOL:
      return Role::tool;
    default:
      return std::nullopt;
  }
}

}  // namespace ringmill::c
