// The words of the public headers.
#include <array>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/role.h>

#include "core/base/shown_text.h"

namespace ringmill {

std::string_view name_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::would_block:
      return "would_block";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::already_exists:
      return "already_exists";
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::level_removed:
      return "level_removed";
    case ErrorCode::lease_lost:
      return "lease_lost";
    case ErrorCode::not_held:
      return "not_held";
    case ErrorCode::wrong_thread:
      return "wrong_thread";
    case ErrorCode::after_fork:
      return "after_fork";
    case ErrorCode::too_many_participants:
      return "too_many_participants";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::incompatible:
      return "incompatible";
    case ErrorCode::stale:
      return "stale";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::no_space:
      return "no_space";
    case ErrorCode::journal_failed:
      return "journal_failed";
    case ErrorCode::not_durable:
      return "not_durable";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::system:
      return "system";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text = *summary_ != '\0' ? std::string(summary_) : std::string(name_of(code_));
  // Paths, names and texts come from outside: the message is one line without terminal controls.
  if (!detail_.empty()) text += ": " + shown_line(detail_);
  return text;
}

namespace {
constexpr std::array<std::string_view, 8> job_state_names{"queued",    "delayed", "blocked",   "running",
                                                          "completed", "dead",    "cancelled", "ended"};
}

std::string_view name_of(JobState state) noexcept { return job_state_names[static_cast<std::size_t>(state)]; }

std::optional<JobState> job_state_of(std::string_view name) noexcept {
  for (std::size_t n = 0; n < job_state_names.size(); ++n) {
    if (job_state_names[n] == name) return static_cast<JobState>(n);
  }
  return std::nullopt;
}

namespace {
constexpr std::array<std::string_view, 3> durability_names{"journaled", "memory", "durable"};
}

std::string_view name_of(Durability durability) noexcept {
  return durability_names[static_cast<std::size_t>(durability)];
}

std::optional<Durability> durability_of(std::string_view name) noexcept {
  for (std::size_t n = 0; n < durability_names.size(); ++n) {
    if (durability_names[n] == name) return static_cast<Durability>(n);
  }
  return std::nullopt;
}

namespace {
constexpr std::array<std::string_view, 7> death_cause_names{"failed",  "rejected", "worker_lost", "lease_expired",
                                                            "timeout", "expired",  "parent_dead"};
}

std::string_view name_of(DeathCause cause) noexcept { return death_cause_names[static_cast<std::size_t>(cause)]; }

std::string_view reason_of(ResultRefusal refusal) noexcept {
  switch (refusal) {
    case ResultRefusal::none:
      break;
    case ResultRefusal::too_long:
      return "longer than the engine keeps: make it with a larger --max-payload";
    case ResultRefusal::no_room:
      return "the arena or the table had no room: make the engine with a larger --arena, or keep results for less time";
    case ResultRefusal::lost:
      return "lost: its worker died, and shared memory was damaged";
  }
  return {};
}

std::optional<DeathCause> death_cause_of(std::string_view name) noexcept {
  for (std::size_t n = 0; n < death_cause_names.size(); ++n) {
    if (death_cause_names[n] == name) return static_cast<DeathCause>(n);
  }
  return std::nullopt;
}

std::string_view name_of(Role role) noexcept {
  switch (role) {
    case Role::producer:
      return "producer";
    case Role::worker:
      return "worker";
    case Role::keeper:
      return "keeper";
    case Role::tool:
      return "tool";
  }
  return "unknown";
}

std::string JobId::to_string() const {
  constexpr char digits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t n = 0; n < 16; ++n) text[15 - n] = digits[value_ >> (4 * n) & 0xf];
  return text;
}

std::optional<JobId> JobId::parse(std::string_view text) noexcept {
  if (text.size() != 16) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    std::uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint64_t>(c - 'a') + 10;
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return JobId(value);
}

}  // namespace ringmill
