// Which handler runs a job: by the name of its kind at registration, by the number of its kind when jobs run.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/async.h>
#include <ringmill/engine.h>
#include <ringmill/worker.h>

namespace ringmill {

template <class AnyHandler>
class HandlersByKind {
 public:
  void add(std::string_view kind, AnyHandler handler) { named_.emplace_back(std::string(kind), std::move(handler)); }
  void add_default(AnyHandler handler) { defaults_.push_back(std::move(handler)); }

  /// Interns the names in the engine. From here on the registry is only read, by all threads.
  /// Errors: invalid_argument (nothing or something twice registered, an empty handler, a bad name), no_space.
  Result<void> resolve(Engine& engine);

  /// Returns the kinds to subscribe to. Empty: every kind, because there is a default handler.
  const std::vector<Kind>& kinds() const noexcept { return kinds_; }
  bool takes(std::string_view kind) const noexcept;
  /// Null: no handler for this kind.
  const AnyHandler* find(Kind kind) const noexcept;
  /// The name a kind was registered with; empty when only the default handler runs it.
  std::string_view name_of(Kind kind) const noexcept;

 private:
  using Named = std::pair<std::string, AnyHandler>;
  struct Place {
    Kind kind{};
    const Named* named = nullptr;
  };
  /// Kinds of one engine differ in these low bits: there are at most as many of them.
  static constexpr std::size_t places = 1024;
  static std::size_t place_of(Kind kind) noexcept { return static_cast<std::uint32_t>(kind) % places; }
  const Named* named(Kind kind) const noexcept;

  std::vector<Named> named_;
  std::vector<AnyHandler> defaults_;
  std::vector<Kind> kinds_;
  std::vector<Place> by_kind_;
};

using HandlerRegistry = HandlersByKind<Handler>;
using AsyncHandlerRegistry = HandlersByKind<AsyncHandler>;

}  // namespace ringmill
