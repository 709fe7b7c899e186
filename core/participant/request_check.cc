#include "core/participant/request_check.h"

#include <string>

#include "core/table/notes.h"

namespace ringmill {

namespace {

constexpr std::size_t most_serial_key_bytes = 65535;

Error no_level_named() {
  return Error(ErrorCode::invalid_argument,
               "this job names no level, and the engine has several, none of them called default: use Engine::level()");
}

Error too_large(const JobRequest& request, std::uint32_t most, const char* what_to_do) {
  return Error(ErrorCode::too_large, "the payload is too long",
               std::to_string(request.payload.size()) + " bytes, at most " + std::to_string(most) + "; " + what_to_do);
}

}  // namespace

Error RequestCheck::too_large_for_cell(const JobRequest& request, std::uint32_t room) {
  return too_large(request, room,
                   "this engine has no room for larger ones: `ringmill resize` with a larger --max-payload makes it");
}

Error RequestCheck::no_kind_of_this_engine() {
  return Error(ErrorCode::invalid_argument, "not a kind of this engine: use Engine::kind()");
}

std::uint32_t RequestCheck::room_beside(const JobRequest& request) const noexcept {
  const bool has_some = has_notes(request) || has_cell_options(request.options);
  return has_some ? room_beside_options(request) : table_.inline_bytes();
}

std::optional<Error> RequestCheck::refusal_of_notes(const JobRequest& request) const {
  if (!has_notes(request)) return std::nullopt;
  if (!table_.has_room_for_notes()) {
    return Error(ErrorCode::too_large, "the cells of this engine are too small for a tag, a trace or a serial key",
                 "`ringmill resize` with a larger --cell-size makes room");
  }
  if (request.serial_key.size() > most_serial_key_bytes) {
    return Error(ErrorCode::invalid_argument, "a serial key has 1 to 65535 bytes");
  }
  if (!request.tag.empty()) {
    if (const char* const fault = fault_of_tag(request.tag); fault != nullptr)
      return Error(ErrorCode::invalid_argument, "not a tag", fault);
  }
  if (!request.trace_parent.empty()) {
    if (const auto parent = TraceParent::parse(request.trace_parent); !parent)
      return Error(ErrorCode::invalid_argument, "not a traceparent", parent.error());
  }
  return std::nullopt;
}

bool RequestCheck::accepts_options(const JobRequest& request) const {
  const JobOptions& options = request.options;
  const auto is_time = [](std::chrono::milliseconds time) {
    return time.count() >= 0 && static_cast<std::uint64_t>(time.count()) <= most_wait_ms;
  };
  const bool has_times = is_time(options.delay) && is_time(options.expires) && is_time(options.keep_result) &&
                         options.at.time_since_epoch().count() >= 0;
  const bool is_known =
      options.retry_policy == RetryPolicy::standard || retry_policies_.knows(segment_, options.retry_policy);
  return has_times && is_known && (options.delay.count() == 0 || options.at.time_since_epoch().count() == 0) &&
         (request.payload.size() <= room_beside(request) || has_arena_) && !refusal_of_notes(request);
}

Error RequestCheck::refusal_of(const JobRequest& request) const {
  if (request.payload.size() > most_payload_) {
    return too_large(request, most_payload_, "`ringmill resize` with a larger --max-payload makes room");
  }
  if (std::uint32_t level = handles_.value_of(request.level);
      level >= level_count_ && !accepts_level(request.level, level)) {
    return request.level == Level{} ? no_level_named() : refusal_of_level(level);
  }
  if (request.kind == Kind{})
    return Error(ErrorCode::invalid_argument, "a job needs a kind: get one from Engine::kind()");
  if (handles_.number_of(request.kind) >= most_kinds) return no_kind_of_this_engine();
  if (static_cast<std::uint64_t>(request.lease.count()) > most_lease_ms) {
    return Error(ErrorCode::invalid_argument, "a lease is 1 ms to 24 days");
  }
  const JobOptions& options = request.options;
  if (auto refused = refusal_of_notes(request)) return *std::move(refused);
  if (const std::uint32_t room = room_beside(request); request.payload.size() > room && !has_arena_) {
    return too_large_for_cell(request, room);
  }
  if (options.delay.count() != 0 && options.at.time_since_epoch().count() != 0) {
    return Error(ErrorCode::invalid_argument, "a job has a delay or a time at which it begins, not both");
  }
  if (options.retry_policy != RetryPolicy::standard &&
      !RetryPolicies::text_of(segment_, static_cast<std::uint32_t>(options.retry_policy))) {
    return Error(ErrorCode::invalid_argument, "not a retry policy of this engine: use Engine::retry_policy()");
  }
  return Error(ErrorCode::invalid_argument, "times are not negative, and ten years at most");
}

bool RequestCheck::accepts_other(const JobRequest& request, Checked& checked) const {
  std::uint32_t level = handles_.value_of(request.level);
  const std::uint32_t kind = handles_.number_of(request.kind);
  const bool is_sound = request.payload.size() <= most_payload_ && accepts_level(request.level, level) &&
                        kind < most_kinds && static_cast<std::uint64_t>(request.lease.count()) <= most_lease_ms;
  if (!is_sound) return false;
  checked = Checked(level, kind, !are_default(request));
  return !checked.has_options() || accepts_options(request);
}

bool RequestCheck::accepts_level(Level level, std::uint32_t& value) const noexcept {
  if (level != Level{}) return value < level_count_ || is_open(value);
  value = default_level_;
  return value < level_count_;
}

bool RequestCheck::is_open(std::uint32_t value) const noexcept {
  const std::uint32_t number = level_number(value);
  if (number < level_count_ || number >= segment_.geometry().level_numbers()) return false;
  const LevelWord word = segment_.level_word(number);
  return word.state == LevelState::open && word.epoch == level_epoch(value);
}

Error RequestCheck::refusal_of_level(std::uint32_t value) const {
  const std::uint32_t number = level_number(value);
  const bool is_known = number >= level_count_ && number < segment_.geometry().level_numbers() &&
                        segment_.level_word(number).state != LevelState::unused;
  return is_known ? Error(ErrorCode::level_removed, "the level was removed, or is being removed: use Engine::level()")
                  : Error(ErrorCode::invalid_argument, "not a level of this engine: use Engine::level()");
}

Result<Checked> RequestCheck::check_linked(const LinkedRequest& linked, std::size_t earlier) const {
  Checked checked;
  if (!accepts(linked.request, checked)) return std::unexpected(refusal_of(linked.request));
  if (!linked.request.serial_key.empty() && bytes_of_ids(linked) != 0) {
    return std::unexpected(Error(ErrorCode::invalid_argument,
                                 "a job with a serial key waits for those of its key alone, not for other jobs"));
  }
  for (const JobId parent : linked.after) {
    if (!table_.can_have_given(parent)) {
      return std::unexpected(Error(ErrorCode::not_found, "no such job to wait for", parent.to_string()));
    }
  }
  for (const std::uint32_t place : linked.after_earlier) {
    if (place >= earlier)
      return std::unexpected(
          Error(ErrorCode::invalid_argument, "a job waits for an earlier one of the call, not for a later"));
  }
  if (!table_.has_room_for_links()) {
    return std::unexpected(Error(ErrorCode::too_large, "the cells of this engine are too small for linked jobs",
                                 "`ringmill resize` with a larger --cell-size makes room"));
  }
  const std::size_t most = has_arena_ ? most_payload_ : linked_room(linked.request);
  if (bytes_of_body(linked) > most) {
    return std::unexpected(Error(ErrorCode::too_large,
                                 "a linked job's payload and the ids of those it waits for are too long",
                                 std::to_string(bytes_of_body(linked)) + " bytes, at most " + std::to_string(most) +
                                     "; `ringmill resize` with a larger --max-payload makes room"));
  }
  return checked;
}

}  // namespace ringmill
