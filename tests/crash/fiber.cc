#include "tests/crash/fiber.h"

#include <cstdint>
#include <cstdlib>

namespace ringmill::crash {

Fiber::Fiber() : stack_(std::make_unique_for_overwrite<std::byte[]>(stack_bytes)) {}

// makecontext() hands on ints only.
void Fiber::enter(unsigned high, unsigned low) {
  auto* const self = reinterpret_cast<Fiber*>(std::uint64_t{high} << 32 | low);
  (*self->body_)();
  self->is_whole_ = true;
  ::swapcontext(&self->inside_, &self->outside_);
}

bool Fiber::run(const std::function<void()>& body) {
  body_ = &body;
  is_whole_ = false;
  ::getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = stack_bytes;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uint64_t>(this);
  ::makecontext(&inside_, reinterpret_cast<void (*)()>(&enter), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
  ::swapcontext(&outside_, &inside_);
  body_ = nullptr;
  return is_whole_;
}

void Fiber::abandon() {
  ::swapcontext(&inside_, &outside_);
  std::abort();
}

}  // namespace ringmill::crash
