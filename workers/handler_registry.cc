#include "workers/handler_registry.h"

#include <algorithm>

namespace ringmill {

namespace {

Error refused(const char* why, const std::string& kind = {}) { return Error(ErrorCode::invalid_argument, why, kind); }

}  // namespace

Result<void> HandlerRegistry::resolve(Engine& engine) {
  if (named_.empty() && defaults_.empty())
    return std::unexpected(refused("the worker has no handler: register one with on()"));
  if (defaults_.size() > 1) return std::unexpected(refused("on_any() was called twice"));
  if (!defaults_.empty() && !defaults_.front())
    return std::unexpected(refused("the handler given to on_any() is empty"));
  kinds_.clear();
  by_kind_.clear();
  for (const Named& entry : named_) {
    if (!entry.second) return std::unexpected(refused("the handler of this kind is empty", entry.first));
    const auto kind = engine.kind(entry.first);
    if (!kind) return std::unexpected(kind.error());
    const auto number = static_cast<std::size_t>(*kind);
    if (number >= by_kind_.size()) by_kind_.resize(number + 1, nullptr);
    if (by_kind_[number] != nullptr) return std::unexpected(refused("this kind has two handlers", entry.first));
    by_kind_[number] = &entry;
    kinds_.push_back(*kind);
  }
  if (!defaults_.empty()) kinds_.clear();
  return {};
}

const HandlerRegistry::Named* HandlerRegistry::named(Kind kind) const noexcept {
  const auto number = static_cast<std::size_t>(kind);
  return number < by_kind_.size() ? by_kind_[number] : nullptr;
}

bool HandlerRegistry::takes(std::string_view kind) const noexcept {
  return !defaults_.empty() || std::ranges::any_of(named_, [kind](const Named& entry) { return entry.first == kind; });
}

const Handler* HandlerRegistry::find(Kind kind) const noexcept {
  if (const Named* entry = named(kind)) return &entry->second;
  return defaults_.empty() ? nullptr : &defaults_.front();
}

std::string_view HandlerRegistry::name_of(Kind kind) const noexcept {
  const Named* entry = named(kind);
  return entry == nullptr ? std::string_view{} : std::string_view(entry->first);
}

}  // namespace ringmill
