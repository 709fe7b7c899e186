#include <ringmill/values.h>

#include "core/base/exceptions.h"
#include "core/participant/participant_implementation.h"

namespace ringmill {

namespace {

std::uint64_t ns_of(std::chrono::nanoseconds time) noexcept {
  return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
}

}  // namespace

Result<bool> Values::set(std::string_view key, Payload bytes, const ValueOptions& options) try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().set(key, bytes, options);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Value> Values::get(std::string_view key) const try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().get(key);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<bool> Values::remove(std::string_view key) try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().remove(key);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::int64_t> Values::increment(std::string_view key, std::int64_t by, const ValueOptions& options) try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().increment(key, by, options);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<bool> Values::expire(std::string_view key, std::chrono::milliseconds ttl) try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().expire(key, ttl);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Value> Values::wait(std::string_view key, std::chrono::nanoseconds timeout,
                           std::optional<std::uint64_t> seen) const try {
  auto& holder = *participant_->implementation_;
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  const Visiting visiting(holder.context());
  return holder.values().wait(key, ns_of(timeout), seen);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

}  // namespace ringmill
