#include "workers/handler_registry.h"

#include <algorithm>

namespace ringmill {

namespace {

Error refused(const char* why, const std::string& kind = {}) { return Error(ErrorCode::invalid_argument, why, kind); }

}  // namespace

template <class AnyHandler>
Result<void> HandlersByKind<AnyHandler>::resolve(Engine& engine) {
  if (named_.empty() && defaults_.empty())
    return std::unexpected(refused("the worker has no handler: register one with on()"));
  if (defaults_.size() > 1) return std::unexpected(refused("on_any() was called twice"));
  if (!defaults_.empty() && !defaults_.front())
    return std::unexpected(refused("the handler given to on_any() is empty"));
  kinds_.clear();
  by_kind_.assign(places, {});
  for (const Named& entry : named_) {
    if (!entry.second) return std::unexpected(refused("the handler of this kind is empty", entry.first));
    const auto kind = engine.kind(entry.first);
    if (!kind) return std::unexpected(kind.error());
    if (named(*kind) != nullptr) return std::unexpected(refused("this kind has two handlers", entry.first));
    by_kind_[place_of(*kind)] = {*kind, &entry};
    kinds_.push_back(*kind);
  }
  if (!defaults_.empty()) kinds_.clear();
  return {};
}

template <class AnyHandler>
auto HandlersByKind<AnyHandler>::named(Kind kind) const noexcept -> const Named* {
  if (by_kind_.empty()) return nullptr;
  const Place& place = by_kind_[place_of(kind)];
  return place.kind == kind ? place.named : nullptr;
}

template <class AnyHandler>
bool HandlersByKind<AnyHandler>::takes(std::string_view kind) const noexcept {
  return !defaults_.empty() || std::ranges::any_of(named_, [kind](const Named& entry) { return entry.first == kind; });
}

template <class AnyHandler>
const AnyHandler* HandlersByKind<AnyHandler>::find(Kind kind) const noexcept {
  if (const Named* entry = named(kind)) return &entry->second;
  return defaults_.empty() ? nullptr : &defaults_.front();
}

template <class AnyHandler>
std::string_view HandlersByKind<AnyHandler>::name_of(Kind kind) const noexcept {
  const Named* entry = named(kind);
  return entry == nullptr ? std::string_view{} : std::string_view(entry->first);
}

template class HandlersByKind<Handler>;
template class HandlersByKind<AsyncHandler>;

}  // namespace ringmill
