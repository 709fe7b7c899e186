// What every call of the C interface does: it turns errors into codes and texts, and lets no exception out.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <ringmill/error.h>
#include <ringmill/ringmill.h>

namespace ringmill::c {

/// Fills the caller's error, if there is one. Texts are cut to its room.
rm_code report(rm_error* error, rm_code code, std::string_view text = {}, int system_number = 0) noexcept;
/// An Error without a text costs no allocation.
rm_code report(rm_error* error, const Error& why) noexcept;
inline rm_code report(rm_error* error, const Result<void>& result) noexcept {
  return result ? RM_OK : report(error, result.error());
}
rm_code report_thrown(rm_error* error, const std::exception& thrown) noexcept;

/// Runs a call. What the standard library throws becomes a code; the unwinding of a cancelled thread goes on.
template <class Body>
rm_code guarded(rm_error* error, Body&& body) try {
  return body();
} catch (const std::exception& thrown) {
  return report_thrown(error, thrown);
}

inline std::span<const std::byte> span_of(const rm_bytes& bytes) noexcept {
  return {static_cast<const std::byte*>(bytes.data), bytes.data == nullptr ? 0 : bytes.size};
}
inline std::string_view text_of(const rm_bytes& bytes) noexcept {
  return {static_cast<const char*>(bytes.data), bytes.data == nullptr ? 0 : bytes.size};
}
/// Writes a text and a NUL, cut to `room` bytes. Returns the text's length.
inline std::size_t copy_text(const std::string& text, char* place, std::size_t room) noexcept {
  if (place != nullptr && room != 0) {
    const std::size_t length = std::min(text.size(), room - 1);
    std::memcpy(place, text.data(), length);
    place[length] = '\0';
  }
  return text.size();
}
inline rm_bytes bytes_of(std::string_view text) noexcept { return {text.data(), text.size()}; }

/// RM_FOREVER is as good as 292 years.
inline std::chrono::nanoseconds wait_of(std::int64_t wait_ns) noexcept {
  return wait_ns < 0 ? std::chrono::nanoseconds::max() : std::chrono::nanoseconds(wait_ns);
}

/// A struct of the caller, which may be of an older or a newer header, as this library knows it.
///
/// Smaller than ours: the rest is zero, that is, the defaults. Larger: the rest must be zero, else the caller asks for
/// something that we would not do.
template <class T>
class Given {
 public:
  /// `size` is the one that the caller states; for an element of an array that of the first one.
  Given(const void* given, std::uint32_t size) noexcept {
    constexpr std::uint32_t least = 8;  // the size, and one field
    if (given == nullptr || size < least) return;
    if (size == sizeof(T)) {
      known_ = static_cast<const T*>(given);
      return;
    }
    const auto* bytes = static_cast<const std::byte*>(given);
    const std::size_t shared = std::min<std::size_t>(size, sizeof(T));
    if (std::any_of(bytes + shared, bytes + size, [](std::byte byte) { return byte != std::byte{0}; })) return;
    known_ = new (copy_) T{};
    std::memcpy(copy_, bytes, shared);
  }
  Given(const Given&) = delete;
  Given& operator=(const Given&) = delete;
  /// False: it cannot be taken.
  explicit operator bool() const noexcept { return known_ != nullptr; }
  const T& operator*() const noexcept { return *known_; }
  const T* operator->() const noexcept { return known_; }

 private:
  alignas(T) std::byte copy_[sizeof(T)];  // written only for a struct of another size
  const T* known_ = nullptr;
};

/// Writes as much of `value` as the caller's struct has room for. Returns false if it states no size.
template <class T>
bool give(void* place, std::uint32_t size, T value) noexcept {
  if (place == nullptr || size < 8) return false;
  value.size = size;
  std::memcpy(place, &value, std::min<std::size_t>(size, sizeof(T)));
  return true;
}

/// The first elements of an array that is the call's own: the others are not made.
template <class T, std::size_t most>
class Row {
 public:
  explicit Row(std::size_t count) : count_(count) { std::uninitialized_value_construct_n(data(), count_); }
  ~Row() { std::destroy_n(data(), count_); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  T& operator[](std::size_t n) noexcept { return data()[n]; }
  std::span<T> first(std::size_t count) noexcept { return {data(), count}; }

 private:
  T* data() noexcept { return std::launder(reinterpret_cast<T*>(bytes_)); }

  std::size_t count_;
  alignas(T) std::byte bytes_[sizeof(T) * most];  // as many as `count_` live
};

/// The element of an array whose elements the caller knows as `size` bytes.
inline void* element(void* array, std::uint32_t size, std::uint32_t index) noexcept {
  return static_cast<std::byte*>(array) + std::size_t{size} * index;
}
inline const void* element(const void* array, std::uint32_t size, std::uint32_t index) noexcept {
  return static_cast<const std::byte*>(array) + std::size_t{size} * index;
}

rm_code report_bad_struct(rm_error* error, std::string_view name) noexcept;

}  // namespace ringmill::c
