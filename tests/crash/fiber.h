// A call that may be left in the middle and never be gone on with: what a process is for the rest of the world when it
// is killed within a system call, without a process of its own.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace ringmill::crash {

class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs `body` until it returns, or until something in it calls abandon(). False: abandoned; what stood on its stack
  /// is never destroyed.
  bool run(const std::function<void()>& body);
  /// From within `body` only. Does not return.
  [[noreturn]] void abandon();
  bool is_running() const noexcept { return body_ != nullptr; }

 private:
  static constexpr std::size_t stack_bytes = std::size_t{1} << 20;
  static void enter(unsigned high, unsigned low);

  std::unique_ptr<std::byte[]> stack_;
  ucontext_t outside_{};
  ucontext_t inside_{};
  const std::function<void()>* body_ = nullptr;
  bool is_whole_ = false;
};

}  // namespace ringmill::crash
