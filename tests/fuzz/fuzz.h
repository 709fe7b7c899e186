// What the fuzzers share: an input taken apart, and a check that ends the run.
//
// Each fuzzer is one small file that defines ringmill::test::run(). Built by clang as libFuzzer targets; tools/fuzz
// runs them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace ringmill::test {

/// What is left of an input, taken from its front.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  bool is_empty() const noexcept { return rest_.empty(); }
  /// Zero where nothing is left.
  template <class T>
  T take() noexcept {
    T value{};
    const std::size_t count = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), count);
    rest_ = rest_.subspan(count);
    return value;
  }
  std::span<const std::uint8_t> take(std::size_t count) noexcept {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::string take_text(std::size_t count) {
    const auto bytes = take(count);
    return {bytes.begin(), bytes.end()};
  }
  std::string rest() { return take_text(rest_.size()); }

 private:
  std::span<const std::uint8_t> rest_;
};

inline void check(bool is_true, const char* what) {
  if (is_true) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

/// One input. Defined by each fuzzer.
void run(Input input);

}  // namespace ringmill::test

// NOLINTNEXTLINE(misc-definitions-in-headers): each fuzzer is one file
extern "C" inline __attribute__((used)) int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ringmill::test::run({data, size});
  return 0;
}
