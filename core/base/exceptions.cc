#include "core/base/exceptions.h"

#include <filesystem>
#include <new>
#include <system_error>

namespace ringmill {

namespace {

Error out_of_memory() noexcept {
  return Error(ErrorCode::out_of_memory, "this process gets no more memory; free some, or raise its limit");
}

Error error_with_text(const std::exception& thrown) {
  if (const auto* path = dynamic_cast<const std::filesystem::filesystem_error*>(&thrown)) {
    return Error(ErrorCode::system, "a path cannot be used", path->what());
  }
  const auto* failed = dynamic_cast<const std::system_error*>(&thrown);
  if (failed != nullptr && failed->code() == std::errc::resource_unavailable_try_again) {
    return Error(ErrorCode::system,
                 "no thread can be started; the limit of processes of this user, or of its control group",
                 failed->what());
  }
  return Error(ErrorCode::system, "the standard library failed", thrown.what());
}

}  // namespace

Error error_of(const std::exception& thrown) noexcept {
  if (dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr) return out_of_memory();
  try {
    return error_with_text(thrown);
  } catch (const std::exception&) {  // no memory for the text
    return out_of_memory();
  }
}

void expect_memory_for_json(std::size_t text_bytes) {
  constexpr std::size_t least_bytes = 64 * 1024;
  constexpr std::size_t bytes_per_byte = 32;  // a value of a few characters is a node of a map
  // What is given back stays with the allocator, for the small pieces that follow.
  ::operator delete(::operator new(least_bytes + bytes_per_byte * text_bytes));
}

}  // namespace ringmill
