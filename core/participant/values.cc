#include <ringmill/values.h>

#include "core/base/exceptions.h"
#include "core/participant/participant_implementation.h"

namespace ringmill {

namespace {

std::uint64_t ns_of(std::chrono::nanoseconds time) noexcept {
  return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
}

/// Calls the store, in a visit: any thread may be stopped in it. A removed engine refuses: what is set there is lost.
template <typename Holder, typename Call>
auto with_store(Holder& holder, const Call& call) -> decltype(call(holder.values())) try {
  if (!holder.context().is_mine()) return std::unexpected(holder.context().misuse());
  if (holder.context().segment.signals().removed.load() != 0) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
  }
  const Visiting visiting(holder.context());
  return call(holder.values());
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

}  // namespace

Result<bool> Values::set(std::string_view key, Payload bytes, const ValueOptions& options) {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.set(key, bytes, options); });
}

Result<Value> Values::get(std::string_view key) const {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.get(key); });
}

Result<bool> Values::remove(std::string_view key) {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.remove(key); });
}

Result<std::int64_t> Values::increment(std::string_view key, std::int64_t by, const ValueOptions& options) {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.increment(key, by, options); });
}

Result<bool> Values::expire(std::string_view key, std::chrono::milliseconds ttl) {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.expire(key, ttl); });
}

Result<Value> Values::wait(std::string_view key, std::chrono::nanoseconds timeout,
                           std::optional<std::uint64_t> seen) const {
  return with_store(*participant_->implementation_, [&](auto& store) { return store.wait(key, ns_of(timeout), seen); });
}

}  // namespace ringmill
