// An object whose destructor does not run, without a leak: what it was made in goes with the scope.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace ringmill::test {

/// For a Job whose participant goes first: nothing may touch it afterwards, its own destructor included.
template <class T>
class Undestroyed {
 public:
  explicit Undestroyed(T value) { new (&storage_) T(std::move(value)); }
  Undestroyed(const Undestroyed&) = delete;
  Undestroyed& operator=(const Undestroyed&) = delete;

  T& operator*() noexcept { return *std::launder(reinterpret_cast<T*>(&storage_)); }
  T* operator->() noexcept { return &**this; }

 private:
  alignas(T) std::byte storage_[sizeof(T)];
};

}  // namespace ringmill::test
