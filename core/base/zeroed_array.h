// An array of zeros whose memory the kernel gives when it is touched: for tables with a row per cell, of which most
// engines use few.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace ringmill {

template <class T>
requires std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>
class ZeroedArray {
 public:
  ZeroedArray() noexcept = default;
  /// Throws std::bad_alloc.
  explicit ZeroedArray(std::size_t size) : rows_(static_cast<T*>(std::calloc(size, sizeof(T)))), size_(size) {
    if (!rows_ && size != 0) throw std::bad_alloc();
  }

  T& operator[](std::size_t n) noexcept { return rows_[n]; }
  const T& operator[](std::size_t n) const noexcept { return rows_[n]; }
  std::size_t size() const noexcept { return size_; }
  bool is_empty() const noexcept { return size_ == 0; }

 private:
  struct Free {
    void operator()(T* rows) const noexcept { std::free(rows); }
  };
  std::unique_ptr<T[], Free> rows_;
  std::size_t size_ = 0;
};

}  // namespace ringmill
